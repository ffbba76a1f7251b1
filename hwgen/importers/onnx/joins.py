"""Values that meet: sums, products and concatenations, and the quantizer behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Add, Concat, Reshape, Upsample
from ...numeric import QType
from . import pairs, softmax, wide
from .fusion import parted
from .real import Quantizer
from .work import Joined, OnnxImport, Value, canonical, image, in_file_order


def quantized(
    work: OnnxImport,
    name: str,
    joined: Joined,
    by: Quantizer,
    stored: Callable[[OnnxImport, str, Value, QType], Value],
    fused: bool,
) -> tuple[Tensor, Array]:
    """The integers of joined values in a runtime's stored type; and their arrangement. ``fused``:
    the file itself says that integers are taken."""
    qtype = by.type
    if joined.kind == "concat":
        parts = [
            stored(work, f"{name}_{n}", part.then(*joined.steps), qtype)
            for n, part in enumerate(joined.parts)
        ]
        return concatenated(work, name, parts, joined.axis)
    if joined.kind == "softmax":
        return softmax.quantized(work, name, joined, qtype, fused)
    a, b = _beside(work, name, joined)
    apart = [joined.apart, *(part.apart for part in joined.parts)]
    apart += ["an input of it is not quantized" for part in joined.parts if not part.plain]
    if wide.is_wide((a, b)):
        return wide.make(work, name, joined.kind, (a, b), by, joined.steps), a.where
    reason = parted(apart, [a.edge.type, b.edge.type], joined.steps, qtype) if not fused else ""
    steps = joined.steps if reason else ()
    return pairs.make(work, name, joined.kind, (a, b), qtype, steps, reason), a.where


def _beside(work: OnnxImport, name: str, joined: Joined) -> tuple[Value, Value]:
    """Two values of one shape whose elements lie at the same places; or, of a product, one image
    and then one pixel of it. Raises UserError."""
    a, b = joined.parts
    if a.where.shape != b.where.shape:
        return _spread(work, name, joined.kind, a, b)
    if a.edge.shape != b.edge.shape or np.any(a.where != b.where):
        a, b = (in_file_order(work, f"{name}_{n}", v) for n, v in enumerate((a, b)))
    if a.edge.shape != b.edge.shape or np.any(a.where != b.where):
        raise UserError(f"{joined.kind} of tensors of different order is not supported")
    return a, b


def _spread(work: OnnxImport, name: str, kind: str, a: Value, b: Value) -> tuple[Value, Value]:
    """An image and one pixel of all channels. Raises UserError for other shapes."""
    shapes = a.where.shape, b.where.shape
    try:
        whole = np.broadcast_shapes(*shapes)
    except ValueError:
        raise UserError(f"{kind} of tensors of shapes {list(shapes[0])} and {list(shapes[1])}: "
                        "they do not fit") from None  # fmt: skip
    if len(whole) not in (3, 4) or whole not in shapes or whole[0] != 1:
        raise UserError(f"{kind} of tensors of shapes {list(shapes[0])} and {list(shapes[1])} is "
                        "not supported")  # fmt: skip
    large, small = (a, b) if shapes[0] == whole else (b, a)
    padded = small.where.reshape((1,) * (len(whole) - small.where.ndim) + small.where.shape)
    if padded.shape[1:] != (whole[1], *(1 for _ in whole[2:])):
        raise UserError(f"{kind} of an image of shape {list(whole)} with a tensor of shape "
                        f"{list(small.where.shape)} is not supported, but with one number a "
                        "channel")  # fmt: skip
    large = image(work, f"{name}_0", large)
    small = image(work, f"{name}_1", replace(small, where=padded))
    if kind == "mul":
        return large, small
    edge = work.add(f"{name}_spread", Upsample(large.edge.hwc[:2]), small.edge)
    small = replace(small, edge=edge, where=large.where)
    # The runtime makes the operand that it repeats the second one.
    return large, small


def concatenated(
    work: OnnxImport, name: str, parts: list[Value], axis: int
) -> tuple[Tensor, Array]:
    """Several values of one type, one after the other along an axis of the file."""
    first = parts[0].where
    axis = axis % first.ndim
    if any(_but(p.where.shape, axis) != _but(first.shape, axis) for p in parts):
        shapes = ", ".join(str(list(p.where.shape)) for p in parts)
        raise UserError(f"tensors of shapes {shapes} do not fit along axis {axis}")
    if len(parts) == 1:
        return parts[0].edge, first
    parts = [in_file_order(work, f"{name}_{n}", part) for n, part in enumerate(parts)]
    # Axes of the file in the order in which edges have them.
    order = list(range(first.ndim))
    if first.ndim in (3, 4) and first.shape[0] == 1:
        order = [0, *range(2, first.ndim), 1]
    shape = list(first.shape)
    shape[axis] = sum(p.where.shape[axis] for p in parts)
    place = order.index(axis)
    edges = [part.edge for part in parts]
    if place < first.ndim - 1 or len({edge.shape[:-1] for edge in edges}) > 1:
        before = int(np.prod([first.shape[a] for a in order[:place]]))
        edges = [
            work.add(f"{name}_{n}_flat", Reshape((before, 1, edge.size // before)), edge)
            for n, edge in enumerate(edges)
        ]
    edge = work.add(name, Concat(), *edges)
    ours = canonical(edge.shape).reshape([shape[a] for a in order])
    return edge, ours.transpose([order.index(a) for a in range(first.ndim)])


def _but(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def summed(work: OnnxImport, name: str, joined: Joined) -> Value:
    """A sum as exact integers: the parts have one scale, or scales that are powers of two.

    Raises UserError otherwise.
    """
    if joined.kind == "concat":
        raise UserError("a concatenation of tensors with different scales must be quantized first")
    if joined.kind == "softmax":
        raise UserError("a softmax is computed in integers between QuantizeLinear and "
                        "DequantizeLinear only, or left out at the end of the network",
                        hint="end the network with it")  # fmt: skip
    if joined.kind != "add":
        raise UserError(f"a {joined.kind} of two tensors is not supported here")
    settled = (work.settled(f"{name}_{n}", part) for n, part in enumerate(joined.parts))
    a, b = _beside(work, name, replace(joined, parts=tuple(settled)))
    if a.edge.type.scale is None and b.edge.type.scale is None:
        edge = work.add(f"{name}_sum", Add(), a.edge, b.edge)
        scale = np.array([2.0**-edge.type.frac], np.float32)
        return Value(edge, a.where, scale, 0, joined.steps)
    if a.scale[0] != b.scale[0]:
        raise UserError(
            f"a sum of scales {a.scale[0]:g} and {b.scale[0]:g} has no exact integers",
            hint="give both inputs one scale, or scales that are powers of two",
        )
    parts = [work.centered(f"{name}_{n}", v) for n, v in enumerate((a, b))]
    edge = work.add(f"{name}_sum", Add(), *parts)
    return Value(edge, a.where, a.scale, 0, joined.steps)
