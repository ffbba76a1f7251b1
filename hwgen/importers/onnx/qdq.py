"""ONNX's own quantizers, as ONNX Runtime computes with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir import Op, Tensor
from ...ir.ops import Add, Requantize, Rescale
from ...ir.ops.multi_threshold import MAX_STEPS
from ...numeric import Overflow, QType, Rounding, Scaling, multiplier_of, to_integers
from ..sums import WIDE
from . import joins, pairs
from .averages import window_quantizer
from .file import OxNode
from .fusion import in_float, is_exact, is_power_of_two, parted, scale_of
from .real import (
    FloatStep,
    Quantizer,
    check_table,
    evaluate,
    line,
    lines,
    multi_threshold,
    slope_of,
    table,
)
from .work import Codes, Const, Joined, OnnxImport, Value, check_finite

_DTYPES = {"int8": (True, 8), "uint8": (False, 8), "int16": (True, 16), "uint16": (False, 16),
           "int32": (True, 32), "int4": (True, 4), "uint4": (False, 4)}  # fmt: skip


def integer_type(array: Array, scale: float | None = None, zero: int = 0) -> QType:
    """The type of a tensor that is stored as this array is. Raises UserError."""
    name = str(array.dtype)
    if name not in _DTYPES:
        raise UserError(f"integers of type {name} are not supported")
    signed, width = _DTYPES[name]
    return QType(signed, width, 0, Rounding.HALF_EVEN, Overflow.SATURATE, scale, zero)


def scale_and_zero(
    work: OnnxImport, node: OxNode, scale_at: int, zero_at: int
) -> tuple[np.float32, Array]:
    """The one scale of a tensor, and its zero point as stored (its dtype says the type)."""
    scale = work.number(node, scale_at)
    if not 0 < float(scale) < np.inf:
        raise UserError(f"scale {float(scale)} must be a positive number")
    if not work.has(node, zero_at):
        return np.float32(scale), np.zeros((), np.uint8)
    zero = work.const(node, zero_at).array
    if zero.size != 1:
        raise UserError("zero points of channels are supported in weights only")
    return np.float32(scale), zero.reshape(())


def quantize_linear(work: OnnxImport, node: OxNode) -> None:
    """QuantizeLinear: behind a product one scaling in float32, else a table."""
    _check_plain(node)
    found = work.get(node, 0)
    if isinstance(found, Const):
        check_finite(found)
        zero = work.const(node, 2).array if work.has(node, 2) else np.zeros((), np.uint8)
        scale, zero = (_along(a, found.array, node) for a in (work.const(node, 1).array, zero))
        if not np.all((scale > 0) & np.isfinite(scale)):
            raise UserError("scales of constants must be positive numbers")
        codes = np.rint(found.array / scale) + zero.astype(np.int64)
        limits = integer_type(zero)
        codes = np.clip(codes, limits.min, limits.max).astype(zero.dtype)
        work.give(node, Const(codes))
        return
    scale, zero = scale_and_zero(work, node, 1, 2)
    qtype = integer_type(zero, float(scale), int(zero))
    work.give(node, replace(stored(work, node.name, found, qtype), codes=True))


def _check_plain(node: OxNode) -> None:
    if node.get("block_size", 0) or node.get("output_dtype", 0):
        raise UserError("scales of blocks, or an output type of its own, are not supported",
                        hint="give a zero point of the output's type")  # fmt: skip


def stored(
    work: OnnxImport, name: str, found: Value | Joined, qtype: QType, fused: bool = False
) -> Value:
    """A value in a runtime's stored type, which has a scale and a zero point. ``fused``: the file
    itself says that the operator before it takes integers."""
    scale, zero = np.float32(scale_of(qtype)), qtype.zero_point

    def codes(values: Array) -> Array:
        rounded = np.rint(values / scale).astype(np.float64) + zero
        return to_integers(np.clip(rounded, qtype.min, qtype.max))

    def result(edge: Tensor, where: Array) -> Value:
        return Value(edge, where, scale.reshape(1), zero)

    by = Quantizer(qtype, codes, exact=False)
    if isinstance(found, Joined):
        edge, where = joins.quantized(work, name, found, by, stored, fused)
        return result(edge, where)
    if found.sums:
        return result(_of_sums(work, name, found, by, fused), found.where)
    kept = (found.edge.type.scale, found.zero) == (qtype.scale, zero)
    if found.plain and kept and found.edge.type.width == qtype.width:
        return result(found.edge, found.where)
    return result(_of_elements(work, name, found, by), found.where)


def _of_sums(work: OnnxImport, name: str, found: Value, by: Quantizer, fused: bool) -> Tensor:
    """The integers of a product or an average, as ONNX Runtime rounds them."""
    assert found.group is not None
    qtype = by.type
    reason = parted([found.apart], [found.group.type], found.steps, qtype) if not fused else ""
    if not reason:
        return _of_fused_sums(work, name, replace(found, steps=()), by)
    if not is_exact(found):
        raise in_float(reason)
    rounding = np.array([scale_of(qtype), found.count or 1], np.float32)
    if not is_power_of_two(rounding):
        return work.quantize(name, found, by)
    # No step but the last one rounds, so that a factor does all of them.
    clip = tuple(int(by.codes(end)) for end in _bounds(found.steps))
    factor = found.scale / (np.float32(scale_of(qtype)) * np.float32(found.count or 1))
    return _rescaled(work, name, found, qtype, factor, (clip[0], clip[1]))


def _bounds(steps: tuple[FloatStep, ...]) -> Array:
    """The least and the greatest number that pass a chain of bounds."""
    ends = np.array([-np.inf, np.inf], np.float32)
    for step in steps:
        ends = step(ends)
    return np.clip(ends, np.finfo(np.float32).min, np.finfo(np.float32).max)


def _of_fused_sums(work: OnnxImport, name: str, found: Value, by: Quantizer) -> Tensor:
    """A product takes one scaling in float32, and so does the average of a whole image; that of a
    window becomes a real number first."""
    scale = np.float32(scale_of(by.type))
    if found.count is None:
        return _rescaled(work, name, found, by.type, found.scale.astype(np.float32) / scale)
    if found.whole:
        factor = found.scale / (scale * np.float32(found.count))
        return _rescaled(work, name, found, by.type, factor)
    return work.quantize(name, found, window_quantizer(found, by))


def _of_elements(work: OnnxImport, name: str, found: Value, by: Quantizer) -> Tensor:
    """A float32 chain on each element: a table, or a clip where it is nothing more."""
    operands = [s.operand for s in found.steps if s.operand is not None]
    qtype = by.type
    function = _function(found, by)
    if not all(step.rises for step in found.steps):
        if operands and _is_bent(found):
            return _of_bent(work, name, found, by)
        check_table(found.edge, found.scale, found.steps)
    if any(step.pixels for step in found.steps):
        each = _of_pixels(found, by)
        if each is not None:
            return work.add(name, each, found.edge)
    if any(o.size > 1 for o in (found.scale, *operands)):
        return work.chain(name, multi_threshold(found.edge, function, qtype), found.edge)
    if found.edge.type.width > 16:  # sums: too many to try all of them
        return work.chain(name, multi_threshold(found.edge, function, qtype), found.edge)
    x = np.arange(found.edge.range[0], found.edge.range[1] + 1)
    if len(x) > MAX_STEPS + 1:
        slope = slope_of(float(found.scale[0]), found.steps) / scale_of(qtype)
        found_line = line(x, function(x[:, np.newaxis])[:, 0], qtype, slope)
        if found_line is not None:
            return work.add(name, found_line, found.edge)
        return work.chain(name, multi_threshold(found.edge, function, qtype), found.edge)
    op: Op = table(found.edge, function, qtype)
    values = op.golden([x], [found.edge])
    clip = (int(values.min()), int(values.max()))
    if found.edge.type == qtype and np.array_equal(values, np.clip(x, *clip)):
        op = Requantize.identity(found.edge, clip)
    return work.add(name, op, found.edge)


def _is_bent(found: Value) -> bool:
    """Whether a chain rises above the zero point, and rises or falls below, in each channel."""
    first, *rest = found.steps
    return first.bent and found.scale.size == 1 and all(step.rises for step in rest)


def _of_bent(work: OnnxImport, name: str, found: Value, by: Quantizer) -> Tensor:
    """A staircase for what lies above the zero point and one for what lies below, added: one of
    them is zero."""
    function, zero = _function(found, by), found.zero
    middle = function(np.full((1, found.edge.channels), zero))[0]
    sides = {
        "above": lambda x: function(np.maximum(x, zero)) - middle,
        "below": lambda x: function(np.minimum(x, zero)) - middle,
    }
    parts = [
        work.chain(f"{name}_{side}", multi_threshold(found.edge, part, WIDE), found.edge)
        for side, part in sides.items()
    ]
    total = work.add(f"{name}_sum", Add(), *parts)
    return work.add(name, Requantize.scaled(by.type, 1, middle), total)


def _function(found: Value, by: Quantizer) -> Callable[[Array], Array]:
    """What a quantizer makes of the edge's integers, channels last."""

    def in_float32(x: Array) -> Array:
        return by.codes(evaluate(x, found.scale, found.zero, found.steps))

    return _fused_constant(found, by.type) or in_float32


_CHANNELS_AT_ONCE = 1024


def _of_pixels(found: Value, by: Quantizer) -> Op | None:
    """Arithmetic with a constant for each element as a multiplier and a bias for each, which are
    fewer numbers than thresholds; None where they are not exact."""
    channels = found.edge.channels
    operands = [found.scale, *(s.operand for s in found.steps if s.operand is not None)]
    kinds = np.stack([np.broadcast_to(o, channels) for o in operands])
    _, first, which = np.unique(kinds, axis=1, return_index=True, return_inverse=True)
    x = np.arange(found.edge.range[0], found.edge.range[1] + 1)
    slopes, values = np.empty(len(first)), np.empty((len(x), len(first)), np.int64)
    for start in range(0, len(first), _CHANNELS_AT_ONCE):
        some = slice(start, start + _CHANNELS_AT_ONCE)
        part = replace(
            found, steps=tuple(step.of(first[some]) for step in found.steps),
            scale=found.scale if found.scale.size == 1 else found.scale[first[some]],
        )  # fmt: skip
        shape = (len(x), len(first[some]))
        values[:, some] = _function(part, by)(np.broadcast_to(x[:, np.newaxis], shape))
        slope = np.broadcast_to(part.scale, shape[1]).astype(np.float64) / scale_of(by.type)
        for step in part.steps:
            if step.kind in ("mul", "div") and step.operand is not None:
                slope = slope * step.operand if step.kind == "mul" else slope / step.operand
        slopes[some] = slope
    op = lines(x, values, by.type, slopes)
    which = which.reshape(-1)
    return None if op is None else replace(op, mult=op.mult[which], bias=op.bias[which])


def _fused_constant(found: Value, qtype: QType) -> Callable[[Array], Array] | None:
    """What ONNX Runtime computes where a stored constant is added or multiplied in integers."""
    stored = found.steps[0].stored if found.steps else None
    if stored is None or found.scale.size > 1:
        return None
    types = [found.edge.type, stored.type]
    if parted([found.apart], types, found.steps[1:], qtype):
        return None
    constant = Value(found.edge, found.where, stored.scale, stored.zero)
    parts = (constant, found) if stored.first else (found, constant)
    product = found.steps[0].kind == "mul"

    def function(x: Array) -> Array:
        codes = (stored.codes, x) if stored.first else (x, stored.codes)
        if product:
            return pairs.fused_product(parts, codes, qtype)
        return pairs.fused_sum(parts, codes, qtype)[1]

    return function


def _rescaled(
    work: OnnxImport, name: str, found: Value, qtype: QType, reals: Array,
    clip: tuple[int, int] | None = None,
) -> Tensor:  # fmt: skip
    """Sums times float32 numbers, as ONNX Runtime rounds its products."""
    try:
        found_pairs = [multiplier_of(float(r), Scaling.FP32_HALF_EVEN) for r in reals]
    except ValueError as error:
        raise UserError(str(error)) from None
    mult, shift = (np.array(column, np.int64) for column in zip(*found_pairs, strict=True))
    if clip == (qtype.min, qtype.max):
        clip = None
    op = Rescale(Scaling.FP32_HALF_EVEN, mult, shift, qtype, offset=qtype.zero_point, clip=clip)
    return work.add(name, op, found.edge)


def dequantize_linear(work: OnnxImport, node: OxNode) -> None:
    """DequantizeLinear: of a constant, its integers; else what the tensor's type already says."""
    _check_plain(node)
    found = work.get(node, 0)
    if isinstance(found, Const):
        scale = _along(work.const(node, 1).array, found.array, node).astype(np.float32)
        zero = np.zeros(1, np.int64)
        if work.has(node, 2):
            zero = _along(work.const(node, 2).array, found.array, node).astype(np.int64)
        codes = found.array.astype(np.int64)
        real = (codes - zero).astype(np.float32) * scale
        work.give(node, Const(real, Codes(codes, scale, zero, integer_type(found.array))))
        return
    scale, zero = scale_and_zero(work, node, 1, 2)
    value = work.value(node)
    if not value.plain or value.zero != int(zero) or value.scale[0] != scale:
        raise UserError("takes a tensor of another scale or zero point than its quantizer gave")
    work.give(node, replace(value, codes=False, apart="", moved=False))


def _along(numbers: Array, array: Array, node: OxNode) -> Array:
    """One number, or one for each index along the node's axis, to be broadcast."""
    if numbers.size == 1:
        return numbers.reshape([1] * array.ndim)
    axis = int(node.get("axis", 1))
    if (
        numbers.ndim != 1
        or not -array.ndim <= axis < array.ndim
        or (numbers.size != array.shape[axis])
    ):
        raise UserError(f"{numbers.size} scales or zero points along axis {axis} do not fit "
                        f"{list(array.shape)}")  # fmt: skip
    return numbers.reshape([-1 if n == axis % array.ndim else 1 for n in range(array.ndim)])
