"""Values that meet: sums, products and concatenations, and the quantizer behind them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Add, Concat
from ...numeric import QType
from . import pairs
from .fusion import parted
from .work import Array, Joined, OnnxImport, Value, canonical


def quantized(
    work: OnnxImport,
    name: str,
    joined: Joined,
    qtype: QType,
    stored: Callable[[OnnxImport, str, Value, QType], Value],
    fused: bool,
) -> tuple[Tensor, Array]:
    """The integers of joined values in a runtime's stored type; and their arrangement. ``fused``:
    the file itself says that integers are taken."""
    if joined.kind == "concat":
        parts = [
            stored(work, f"{name}_{n}", part.then(*joined.steps), qtype)
            for n, part in enumerate(joined.parts)
        ]
        return concatenated(work, name, parts, joined.axis)
    a, b = joined.parts
    _same_places(a, b, joined.kind)
    apart = [joined.apart, *(part.apart for part in joined.parts)]
    apart += ["an input of it is not quantized" for part in joined.parts if not part.plain]
    reason = parted(apart, [a.edge.type, b.edge.type], joined.steps, qtype) if not fused else ""
    steps = joined.steps if reason else ()
    return pairs.make(work, name, joined.kind, (a, b), qtype, steps, reason), a.where


def _same_places(a: Value, b: Value, kind: str) -> None:
    if a.where.shape != b.where.shape or np.any(a.where != b.where):
        raise UserError(
            f"{kind} of tensors of shapes {list(a.where.shape)} and {list(b.where.shape)}, or of "
            "different order, is not supported"
        )


def concatenated(
    work: OnnxImport, name: str, parts: list[Value], axis: int
) -> tuple[Tensor, Array]:
    """Channels of several values of one type, one after the other."""
    first = parts[0].where
    axis = axis % first.ndim
    channels = 1 if first.ndim > 2 else first.ndim - 1
    if axis != channels or any(p.where.ndim != first.ndim for p in parts):
        raise UserError(f"axis {axis} of {list(first.shape)}: only channels are concatenated")
    if len(parts) == 1:
        return parts[0].edge, first
    edge = work.add(name, Concat(), *(p.edge for p in parts))
    where = canonical(edge.shape)
    if first.ndim > 2:
        if len(edge.shape) != 3:
            raise UserError("a concatenation of this shape is not supported")
        where = where.transpose(2, 0, 1)
    shape = list(first.shape)
    shape[axis] = sum(p.where.shape[axis] for p in parts)
    starts = np.cumsum([0] + [p.edge.channels for p in parts])
    for part, start in zip(parts, starts, strict=False):
        _check_order(part, where, int(start))
    return edge, where.reshape(shape)


def _check_order(part: Value, where: Array, start: int) -> None:
    ours = canonical(part.edge.shape)
    ours = ours.transpose(2, 0, 1) if len(part.edge.shape) == 3 and where.ndim == 3 else ours
    if np.any(part.where.reshape(-1) != ours.reshape(-1)):
        raise UserError("its inputs are in another order, which is not supported")


def summed(work: OnnxImport, name: str, joined: Joined) -> Value:
    """A sum as exact integers: the parts have one scale, or scales that are powers of two.

    Raises UserError otherwise.
    """
    if joined.kind == "concat":
        raise UserError("a concatenation of tensors with different scales must be quantized first")
    if joined.kind != "add":
        raise UserError(f"a {joined.kind} of two tensors is not supported here")
    a, b = (work.settled(f"{name}_{n}", part) for n, part in enumerate(joined.parts))
    _same_places(a, b, joined.kind)
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
