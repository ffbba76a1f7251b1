"""Values that meet: sums, products and concatenations, and the quantizer behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Add, Concat, Mul, Requantize, Rescale
from ...numeric import Overflow, QType, Rounding, Scaling, multiplier_of
from .real import Step
from .work import Array, Joined, Value, Work, canonical

_WIDE = QType(True, 32, 0, Rounding.HALF_UP, Overflow.SATURATE)
_SHIFTS = range(22, 9, -1)
"""Fractional bits tried for the factors of a sum, the most exact first."""


def scale_of(qtype: QType) -> float:
    """The one scale of a stored type."""
    assert isinstance(qtype.scale, float)
    return qtype.scale


def clip_of(steps: tuple[Step, ...], qtype: QType) -> tuple[int, int] | None:
    """Integers that a chain of clips lets through; None where it is something else."""
    low, high = qtype.min, qtype.max
    for step in steps:
        if step.kind not in ("max", "min") or step.operand is None or step.operand.size != 1:
            return None
        code = int(np.rint(step.operand[0] / np.float32(scale_of(qtype)))) + qtype.zero_point
        low, high = (max(low, code), high) if step.kind == "max" else (low, min(high, code))
    return min(max(low, qtype.min), qtype.max), max(min(high, qtype.max), qtype.min)


def quantized(
    work: Work,
    name: str,
    joined: Joined,
    qtype: QType,
    stored: Callable[[Work, str, Value, QType], Value],
) -> tuple[Tensor, Array]:
    """The integers of joined values in a runtime's stored type; and their arrangement."""
    if joined.kind == "concat":
        parts = [
            stored(work, f"{name}_{n}", part.then(*joined.steps), qtype)
            for n, part in enumerate(joined.parts)
        ]
        return concatenated(work, name, parts, joined.axis)
    clip = clip_of(joined.steps, qtype)
    if clip is None:
        raise UserError("real arithmetic behind a sum or product is not supported")
    if any(not part.plain for part in joined.parts):
        raise UserError("a sum or product of numbers that are not quantized is not supported",
                        hint="put a quantizer before it")  # fmt: skip
    a, b = joined.parts
    _same_places(a, b, joined.kind)
    whole = None if clip == (qtype.min, qtype.max) else clip
    make = _sum if joined.kind == "add" else _product
    return make(work, name, a, b, qtype, whole), a.where


def _same_places(a: Value, b: Value, kind: str) -> None:
    if a.where.shape != b.where.shape or np.any(a.where != b.where):
        raise UserError(
            f"{kind} of tensors of shapes {list(a.where.shape)} and {list(b.where.shape)}, or of "
            "different order, is not supported"
        )


def _sum(
    work: Work, name: str, a: Value, b: Value, qtype: QType, clip: tuple[int, int] | None
) -> Tensor:
    """ONNX Runtime's sum of two stored tensors: factors in float32, one rounding.

    Its two fused multiply-adds are not one exact sum; integer factors are used that give the same
    integers for every pair of inputs, which is tried here.
    """
    scale = np.float32(scale_of(qtype))
    ratios = [np.float32(v.scale[0]) / scale for v in (a, b)]
    x, y = (np.arange(v.edge.type.min, v.edge.type.max + 1) for v in (a, b))
    wanted = _float_sum(x, y, ratios, [a.zero, b.zero], qtype)
    for shift in _SHIFTS:
        factors = [int(np.rint(np.ldexp(np.float64(r), shift))) for r in ratios]
        if max(factors) * 255 >= 1 << 31:
            continue
        exact = (x[:, None] - a.zero) * factors[0] + (y[None, :] - b.zero) * factors[1]
        for bias in (0, 1, -1, 2, -2):
            half = (1 << (shift - 1)) + bias
            got = np.clip(((exact + half) >> shift) + qtype.zero_point, qtype.min, qtype.max)
            if np.array_equal(got, wanted):
                return _integer_sum(work, name, (a, b), factors, shift, half, qtype, clip)
        tie = np.where(exact & ((1 << shift) - 1) == 1 << (shift - 1), exact >> shift & 1, 1)
        got = ((exact + (1 << (shift - 1)) - 1 + tie) >> shift) + qtype.zero_point
        if np.array_equal(np.clip(got, qtype.min, qtype.max), wanted) and not qtype.zero_point % 2:
            return _integer_sum(work, name, (a, b), factors, shift, None, qtype, clip)
    raise UserError(
        f"no integer factors give this sum of scales {float(a.scale[0]):g} and "
        f"{float(b.scale[0]):g} to {qtype.scale:g} as the runtime rounds it"
    )


def _float_sum(
    x: Array, y: Array, ratios: list[np.float32], zeros: list[int], qtype: QType
) -> Array:
    """All sums as ONNX Runtime computes them (MLAS, quantized addition)."""
    first, second = (np.float64(r) for r in ratios)
    # A fused multiply-add rounds once: float64 holds its exact result (24 + 8 bits).
    fixed = np.float32(
        np.float32(qtype.zero_point)
        - np.float32(first * np.float32(zeros[0]) + np.float32(second * zeros[1]))
    )
    part = (first * x[:, None] + np.float64(fixed)).astype(np.float32)
    total = (second * y[None, :] + part.astype(np.float64)).astype(np.float32)
    return np.clip(np.rint(total), qtype.min, qtype.max).astype(np.int64)


def _integer_sum(
    work: Work, name: str, values, factors, shift: int, half: int | None, qtype: QType, clip
) -> Tensor:
    """``half`` : what is added before the shift; None: ties to even."""
    parts = [
        work.add(f"{name}_{n}", Requantize.scaled(_WIDE, factor, -value.zero * factor), value.edge)
        for n, (value, factor) in enumerate(zip(values, factors, strict=True))
    ]
    total = work.add(f"{name}_sum", Add(), *parts)
    rounding = Rounding.HALF_EVEN if half is None else Rounding.FLOOR
    bias = (qtype.zero_point << shift) + (half or 0)
    last = Requantize.scaled(replace(qtype, rounding=rounding), 1, bias, shift, clip)
    return work.add(name, last, total)


def _product(
    work: Work, name: str, a: Value, b: Value, qtype: QType, clip: tuple[int, int] | None
) -> Tensor:
    """ONNX Runtime's product of two stored tensors: exact, times one float32."""
    product = work.add(f"{name}_product", Mul(), a.edge, b.edge)
    real = np.float32(a.scale[0]) * np.float32(b.scale[0]) / np.float32(scale_of(qtype))
    mult, shift = multiplier_of(float(real), Scaling.FP32_HALF_EVEN)
    op = Rescale(Scaling.FP32_HALF_EVEN, np.array([mult]), np.array([shift]), qtype,
                 offset=qtype.zero_point, clip=clip)  # fmt: skip
    return work.add(name, op, product)


def concatenated(work: Work, name: str, parts: list[Value], axis: int) -> tuple[Tensor, Array]:
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


def summed(work: Work, name: str, joined: Joined) -> Value:
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
