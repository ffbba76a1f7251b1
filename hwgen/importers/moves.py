"""Elements that change their places, by ops that keep their order: no op of its own is needed.

Elements lie channels last. So along any axis, what lies behind it can be seen as channels, what
lies before it as pixels, and a tensor as an image of (before, axis, behind). Joining rows is then
joining channels, and padding channels is padding columns. Elements in another order are in
``permutation``.

Every function appends nodes by ``add(name, op, *edges)``; the last one has the name given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..errors import UserError
from ..ir import Pads, Tensor
from ..ir.ops import Concat, Pad, Requantize, Reshape, Slice, Upsample
from ..numeric import QType

Adder = Callable[..., Tensor]
Shape = tuple[int, ...]


def viewed(add: Adder, name: str, x: Tensor, shape: Shape) -> Tensor:
    """The elements in their order under another shape; no node where it is theirs."""
    return x if x.shape == shape else add(name, Reshape(shape), x)


def around(shape: Shape, axis: int) -> tuple[int, int, int]:
    """A shape as (before, axis, behind)."""
    return prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])


def taken(add: Adder, name: str, x: Tensor, axis: int, start: int, size: int) -> Tensor:
    """``size`` elements along an axis from ``start`` on."""
    starts = tuple(start if n == axis else 0 for n in range(len(x.shape)))
    sizes = tuple(size if n == axis else length for n, length in enumerate(x.shape))
    return add(name, Slice(starts, sizes, (1,) * len(x.shape)), x)


def joined(add: Adder, name: str, parts: Sequence[Tensor], axis: int) -> Tensor:
    """The parts one after the other along an axis; a single one is left as it is."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if axis == len(first.shape) - 1:
        return add(name, Concat(), *parts)
    shapes = {(*x.shape[:axis], 0, *x.shape[axis + 1 :]) for x in parts}
    if len(shapes) > 1:
        raise UserError(f"parts of shapes {[x.shape for x in parts]} are joined along axis {axis}")
    outer = prod(first.shape[:axis])
    rows = [
        viewed(add, f"{name}_{n}", x, (x.size,) if outer == 1 else (outer, x.size // outer))
        for n, x in enumerate(parts)
    ]
    length = sum(x.shape[axis] for x in parts)
    flat = add(f"{name}_flat", Concat(), *rows)
    return add(name, Reshape((*first.shape[:axis], length, *first.shape[axis + 1 :])), flat)


def padded(add: Adder, name: str, x: Tensor, pads: Sequence[tuple[int, int]], value: int) -> Tensor:
    """``value`` before and behind the elements of each axis."""
    if len(x.shape) == 3 and any(any(p) for p in pads[:2]):
        more = any(pads[2])
        x = add(f"{name}_image" if more else name, Pad((pads[0], pads[1]), value), x)
        pads = [(0, 0), (0, 0), pads[2]]
    axes = [n for n, p in enumerate(pads) if any(p)]
    for axis in axes:
        last = name if axis == axes[-1] else f"{name}_{axis}"
        image = viewed(add, f"{last}_view", x, around(x.shape, axis))
        image = add(f"{last}_border", Pad(((0, 0), pads[axis]), value), image)
        shape = (*x.shape[:axis], image.shape[1], *x.shape[axis + 1 :])
        x = add(last, Reshape(shape), image)
    return x


def bordered(
    add: Adder, name: str, x: Tensor, pads: Pads, window: Sequence[int]
) -> tuple[Tensor, Pads]:
    """An image and the padding of a convolution of it: windows of nothing but padding are none of a
    convolution's, so that such a border becomes a part of the image."""
    if all(max(pad) < length for pad, length in zip(pads, window, strict=True)):
        return x, pads
    return add(name, Pad(pads, x.type.zero_point), x), ((0, 0), (0, 0))


def repeated(add: Adder, name: str, x: Tensor, shape: Shape) -> Tensor:
    """A tensor as one of another shape: axes of one element are repeated, new ones come first.

    Raises UserError where an axis has more than one element and another length.
    """
    own = (1,) * (len(shape) - len(x.shape)) + x.shape
    if any(n not in (1, wanted) for n, wanted in zip(own, shape, strict=True)):
        raise UserError(f"shapes {x.shape} and {shape} do not fit each other")
    axes = [n for n, (a, b) in enumerate(zip(own, shape, strict=True)) if a != b]
    if len(own) == 3 and axes in ([0, 1], [0], [1]):
        x = viewed(add, f"{name}_view", x, own)
        return add(name, Upsample((shape[0] // own[0], shape[1] // own[1])), x)
    for axis in axes:
        last = name if axis == axes[-1] else f"{name}_{axis}"
        image = viewed(add, f"{last}_view", x, around(own, axis))
        image = add(f"{last}_rows", Upsample((1, shape[axis])), image)
        own = (*own[:axis], shape[axis], *own[axis + 1 :])
        x = add(last, Reshape(own), image)
    return viewed(add, name, x, shape)


def filled(add: Adder, name: str, x: Tensor, values: np.ndarray, qtype: QType) -> Tensor:
    """A tensor of constants: for each of x's frames the same ``values``, integers of ``qtype``."""
    one = add(
        f"{name}_one", Slice((0,) * len(x.shape), (1,) * len(x.shape), (1,) * len(x.shape)), x
    )
    image = add(
        f"{name}_many", Upsample((1, values.size)), viewed(add, f"{name}_pixel", one, (1, 1, 1))
    )
    flat = viewed(add, f"{name}_vector", image, (values.size,))
    last = name if values.shape == flat.shape else f"{name}_flat"
    made = add(last, Requantize.scaled(qtype, 0, values.reshape(-1)), flat)
    return viewed(add, name, made, values.shape)


@dataclass(frozen=True)
class Spread:
    """Constants of a tensor's elements as one of each channel of another view of the tensor."""

    view: Shape
    values: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, shape: Shape) -> Spread:
        """The view that keeps most axes. Raises UserError where the shapes do not fit."""
        more = values.ndim - len(shape)
        if more > 0 and set(values.shape[:more]) == {1}:
            values = values.reshape(values.shape[more:])
        if values.size == 1:
            return cls(shape, values.reshape(1))
        try:
            full = np.broadcast_to(values, shape)
        except ValueError:
            raise UserError(
                f"constants of shape {list(values.shape)} do not fit {list(shape)}"
            ) from None
        first = len(shape) - values.ndim
        varies = [first + n for n, length in enumerate(values.shape) if length > 1]
        axis = min(varies)
        view = (*shape[:axis], prod(shape[axis:]))
        return cls(view, full.reshape(-1)[: view[-1]])
