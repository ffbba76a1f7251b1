"""Operators that work on each element of one tensor: activations, requantizations, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import MultiThreshold, Requantize, Softmax, SoftmaxTable
from ...numeric import QType, Scaling, apply_scaling, gemmlowp, multiplier_of, to_integers
from . import meaning, sixteen
from .file import TfOperator, TfTensor, options
from .meaning import Multipliers, Runtime
from .work import TfliteImport, quantized, same_meaning


def requantization(work: TfliteImport, op: TfOperator) -> None:
    """QUANTIZE from one type to another."""
    out = work.output(op)
    source = work.model.tensors[op.inputs[0]]
    x = work.edge(op, 0)
    if meaning.of_width(work.runtime, source.dtype) is Runtime.XNNPACK:
        work.give(op, _xnnpack_requantization(work, op, x, source, out))
        return
    runtime = meaning.of_width(work.runtime, source.dtype)
    by = meaning.plain(runtime, source.scale / out.scale)
    work.give(op, work.rescale(op.name, x, by, out, center=True))


_CONVERT_SHIFT = 8
"""Fractional bits of the multiplier of XNNPACK's conversion between two scales."""

_VECTOR = 16
"""Elements that LiteRT's optimized QUANTIZE takes at once."""


def _xnnpack_requantization(
    work: TfliteImport, op: TfOperator, x: Tensor, source: TfTensor, out: TfTensor
) -> Tensor:
    """XNNPACK converts between equal types whose scales differ within limits; what it leaves is
    done by LiteRT's optimized kernel, which rounds the last elements of a tensor, those that do
    not fill a vector, by another rule than the rest."""
    qtype = quantized(out)
    ratio = np.float32(source.scale) / np.float32(out.scale)
    converts = source.dtype == out.dtype and 1 / 256 <= ratio <= 128
    # Between equal scales both are exact, also from one type to another.
    if converts or source.scale == out.scale:
        unit = 1 << _CONVERT_SHIFT
        mult = int(np.rint(np.float32(unit) * ratio))
        bias = unit // 2 + out.zero_point * unit - source.zero_point * mult
        rule = Requantize.scaled(meaning.rounded_down(qtype), mult, bias, _CONVERT_SHIFT)
        return work.add(op.name, rule, x)
    by = Multipliers.of(Scaling.SRDHM_HALF_UP, [source.scale / out.scale])
    codes = np.arange(x.type.min, x.type.max + 1) - source.zero_point
    body, tail = (
        np.clip(
            apply_scaling(codes, by.mult, by.shift, rule) + out.zero_point, qtype.min, qtype.max
        )
        for rule in (Scaling.SRDHM_HALF_UP, Scaling.TFLM_DOUBLE)
    )
    rest = x.size % _VECTOR
    if rest == x.size:
        return table(work, op, x, tail, qtype)
    if rest and not np.array_equal(body, tail):
        raise UserError(
            f"{x.size} elements from {source.dtype.lower()} at another scale to "
            f"{out.dtype.lower()}: the runtime rounds the last {rest} of them by another rule",
            hint="use --runtime tflm or reference, or keep type and scale",
        )
    return table(work, op, x, body, qtype)


def table(
    work: TfliteImport, op: TfOperator, x: Tensor, values: np.ndarray, qtype: QType
) -> Tensor:
    """One value for each integer of the input's type, limited to the output's."""
    codes = np.arange(x.type.min + 1, x.type.max + 1)
    return work.add(op.name, MultiThreshold(codes, np.clip(values, qtype.min, qtype.max), qtype), x)


def clipping(activation: str) -> Callable[[TfliteImport, TfOperator], None]:
    """The handler of an activation that stands alone: RELU, RELU6, RELU_N1_TO_1."""

    def handler(work: TfliteImport, op: TfOperator) -> None:
        out, source = work.output(op), work.model.tensors[op.inputs[0]]
        x, small = work.edge(op, 0), work.runtime is Runtime.TFLM
        if source.dtype != out.dtype:
            raise UserError(f"{source.dtype.lower()} in and {out.dtype.lower()} out")
        if small and activation == "RELU_N1_TO_1":
            raise UserError("TensorFlow Lite Micro has no such operator")
        # TFLM's RELU6 only limits: its output's integers are those of the input, whatever the
        # output's scale says.
        if same_meaning(source, out) or (small and activation == "RELU6"):
            low, high = x.type.min, x.type.max
            clip = meaning.activation_bounds(activation, source.scale, source.zero_point, low, high)
            work.give(op, work.add(op.name, Requantize.scaled(quantized(out), clip=clip), x))
            return
        # XNNPACK takes no activation between scales, so it is LiteRT's own kernel, which divides
        # the scales as float32.
        real = source.scale / out.scale
        real = real if small else float(np.float32(real))
        by = Multipliers.of(Scaling.TFLM_DOUBLE, [real])
        work.give(op, work.rescale(op.name, x, by, out, activation, center=True))

    return handler


_CURVE_INTEGER_BITS = 4


def _is_short(work: TfliteImport, op: TfOperator) -> bool:
    """Whether an operator has integers of 16 bits, for which kernels have other rules."""
    kinds = [work.model.tensors[i].dtype for i in (op.inputs[0], work.output(op).index)]
    return "INT16" in kinds


def logistic(work: TfliteImport, op: TfOperator) -> None:
    """LOGISTIC by a table."""
    if _is_short(work, op):
        sixteen.logistic(work, op)
        return
    low = quantized(work.output(op)).min
    # exp() of a large number overflows where the result is long 0.
    _curve(work, op, gemmlowp.logistic, 8, low, lambda x: 1.0 / (1.0 + math.exp(min(-x, 700.0))))


def tanh(work: TfliteImport, op: TfOperator) -> None:
    """TANH by a table."""
    if _is_short(work, op):
        sixteen.tanh(work, op)
        return
    middle = quantized(work.output(op)).min + 128
    _curve(work, op, gemmlowp.tanh, 7, middle, math.tanh)


def _curve(
    work: TfliteImport,
    op: TfOperator,
    fixed: Callable[[np.ndarray, int], np.ndarray],
    fraction_bits: int,
    zero_point: int,
    real: Callable[[float], float],
) -> None:
    """A curve as one value for each input integer; TFLM takes one output type only."""
    out, x = work.output(op), work.edge(op, 0)
    codes = np.arange(x.type.min, x.type.max + 1)
    qtype = quantized(out)
    scale = work.model.tensors[op.inputs[0]].scale
    if work.runtime is Runtime.TFLM:
        if out.scale != 2.0**-fraction_bits:
            raise UserError(f"the output's scale must be 1/{1 << fraction_bits}, not {out.scale}")
        if out.zero_point != zero_point:
            raise UserError(f"the output's zero point must be {zero_point}, not {out.zero_point}")
        values = _fixed_curve(codes - x.type.zero_point, scale, fixed, fraction_bits)
        values = values + out.zero_point
    else:
        values = _real_curve(codes - x.type.zero_point, scale, real, out)
    work.give(op, table(work, op, x, values, qtype))


def _fixed_curve(
    x: np.ndarray, scale: float, fixed: Callable[[np.ndarray, int], np.ndarray], fraction_bits: int
) -> np.ndarray:
    """TFLM: gemmlowp's function of Q4.27 inputs; beyond a radius it is saturated."""
    real = scale * (1 << (31 - _CURVE_INTEGER_BITS))
    by = Multipliers.of(meaning.Scaling.TFLM_DOUBLE, [real])
    _, exponent = math.frexp(real)
    radius = gemmlowp.input_radius(_CURVE_INTEGER_BITS, exponent)
    inside = np.abs(x) < radius
    scaled = apply_scaling(np.where(inside, x, 0), by.mult, by.shift, by.scaling)
    values = gemmlowp.rounding_divide(fixed(scaled, _CURVE_INTEGER_BITS), 31 - fraction_bits)
    most = 1 << fraction_bits
    return np.where(inside, values, np.where(x > 0, most, -most))


def _real_curve(
    x: np.ndarray, scale: float, real: Callable[[float], float], out: TfTensor
) -> np.ndarray:
    """LiteRT: the float function of each code, rounded as a tensor of that scale."""
    values = np.array([real(float(np.float32(scale) * np.float32(code))) for code in x])
    rounded = values.astype(np.float32) / np.float32(out.scale)
    away = np.trunc(rounded + np.copysign(np.float32(0.5), rounded))
    # Beyond 32 bits the table saturates, whatever the number.
    return to_integers(np.clip(away, -(2.0**31), 2.0**31)) + out.zero_point


def softmax(work: TfliteImport, op: TfOperator) -> None:
    """SOFTMAX over the last axis."""
    chosen = options(op, "SoftmaxOptions", "Beta")
    out, x = work.output(op), work.edge(op, 0)
    if x.type.width == 16:
        sixteen.softmax(work, op)
        return
    qtype = sixteen.of_a_wider_softmax(out) if out.dtype == "INT16" else quantized(out)
    scale = work.model.tensors[op.inputs[0]].scale
    if not 0.0 < chosen.Beta < math.inf:
        raise UserError(f"a beta of {chosen.Beta:g} must be a positive number")
    if work.runtime == "xnnpack":
        work.give(op, work.add(op.name, SoftmaxTable(_powers(scale, chosen.Beta), qtype), x))
        return
    bits = 31 - gemmlowp.SOFTMAX_DIFFERENCE_BITS
    real = min(chosen.Beta * scale * (1 << bits), (1 << 31) - 1.0)
    mult, shift = multiplier_of(real, meaning.Scaling.TFLM_DOUBLE)
    work.give(op, work.add(op.name, Softmax(mult, 31 - shift, qtype), x))


def _powers(scale: float, beta: float) -> np.ndarray:
    """LiteRT's table: the float32 exponential of each difference of codes."""
    step = -np.float32(scale) * np.float32(beta)
    return np.array([math.exp(step * np.float32(d)) for d in range(256)], np.float32)
