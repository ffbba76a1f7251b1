"""Elements that change their places, by ops that keep their order: no op of its own is needed.

Elements lie channels last. So along any axis, what lies behind it can be seen as channels, what
lies before it as pixels, and a tensor as an image of (before, axis, behind). Joining rows is then
joining channels, padding channels is padding columns, and exchanging two axes is taking the parts
along the shorter one and joining them.

Every function appends nodes by ``add(name, op, *edges)``; the last one has the name given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ..errors import UserError
from ..ir import Tensor
from ..ir.ops import Concat, Pad, Requantize, Reshape, Slice, Upsample
from ..numeric import QType

Adder = Callable[..., Tensor]
Shape = tuple[int, ...]

MAX_PARTS = 128
"""Parts that an exchange of two axes may take: each is a layer of the graph."""


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


def transposed(add: Adder, name: str, x: Tensor, order: Sequence[int]) -> Tensor:
    """The axes in another order, as numpy.transpose. Raises UserError for too many parts."""
    shape = tuple(x.shape[n] for n in order)
    lengths, places = _blocks(x.shape, order)
    if len(places) == 1:
        return add(name, Reshape(shape), x)
    if places == [2, 1, 0]:
        a, b, c = lengths
        x = _exchanged(add, f"{name}_first", x, (1, a, b * c, 1), (b, c, a))
        return _exchanged(add, name, x, (1, b, c, a), shape)
    outer, inner = 1, 1
    if places == [0, 2, 1]:
        outer, *lengths = lengths
    if places == [1, 0, 2]:
        *lengths, inner = lengths
    a, b = lengths
    return _exchanged(add, name, x, (outer, a, b, inner), shape)


def _blocks(shape: Shape, order: Sequence[int]) -> tuple[list[int], list[int]]:
    """Axes that stay together as one: their lengths before, and their order behind."""
    kept = [n for n in order if shape[n] > 1] or [0]
    real = sorted(kept)
    groups = [[kept[0]]]
    for axis in kept[1:]:
        if real.index(axis) == real.index(groups[-1][-1]) + 1:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    before = sorted(groups)
    return [prod(shape[n] for n in g) for g in before], [before.index(g) for g in groups]


def _exchanged(
    add: Adder, name: str, x: Tensor, lengths: tuple[int, int, int, int], shape: Shape
) -> Tensor:
    """Elements of (outer, a, b, inner) as (outer, b, a, inner), under a shape."""
    outer, a, b, inner = lengths
    if min(a, b) > MAX_PARTS:
        raise UserError(
            f"exchanges axes of {a} and {b} elements; at most {MAX_PARTS} in the shorter one are "
            "supported",
            hint="keep the network in channels-last order",
        )
    if a <= b:
        view, rows, count = (outer, a, b * inner), (outer * b, inner), a
    else:
        view, rows, count = (outer * a, b, inner), (outer, a * inner), b
    x = viewed(add, f"{name}_view", x, view)
    parts = [
        viewed(add, f"{name}_row{n}", taken(add, f"{name}_part{n}", x, 1, n, 1), rows)
        for n in range(count)
    ]
    flat = (rows[0], rows[1] * count)
    last = add(name if flat == shape else f"{name}_flat", Concat(), *parts)
    return viewed(add, name, last, shape)


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
