"""Operators that work on each element: sums, products, activations, requantizations, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Add, Mul, Requantize, Rescale, Softmax, SoftmaxTable, Staircase
from ...numeric import Overflow, QType, Rounding, apply_scaling, gemmlowp, multiplier_of
from . import meaning
from .file import TfOperator, TfTensor, enumerated, options
from .meaning import ADD_SHIFT, Multipliers, Runtime
from .work import Work, quantized, same_meaning

_WIDE = QType(True, 32, 0, Rounding.HALF_UP, Overflow.SATURATE)


def addition(work: Work, op: TfOperator) -> None:
    """ADD of two tensors."""
    _sum(work, op, "AddOptions", 1)


def subtraction(work: Work, op: TfOperator) -> None:
    """SUB of two tensors."""
    _sum(work, op, "SubOptions", -1)


def _sum(work: Work, op: TfOperator, table: str, sign: int) -> None:
    chosen = options(op, table, "FusedActivationFunction")
    activation = enumerated("ActivationFunctionType", chosen.FusedActivationFunction)
    out = work.output(op)
    tensors = [work.model.tensors[i] for i in op.inputs]
    edges = [work.edge(op, n) for n in range(2)]
    a, b = (t.scale for t in tensors)
    if work.runtime is Runtime.XNNPACK:
        work.give(op, _xnnpack_sum(work, op, edges, meaning.Addition.of(a, b, out.scale), sign,
                                   out, activation))  # fmt: skip
        return
    twice = 2.0 * max(a, b)
    signs = (1, sign)
    parts = [
        _scaled_operand(work, f"{op.name}_{'ab'[n]}", edges[n], tensors[n].scale / twice, signs[n])
        for n in range(2)
    ]
    total = work.add(f"{op.name}_sum", Add(), *parts)
    by = Multipliers.of(meaning.plain(work.runtime, 1.0).scaling,
                        [twice / ((1 << ADD_SHIFT) * out.scale)])  # fmt: skip
    work.give(op, work.rescale(op.name, total, by, out, activation))


def _scaled_operand(work: Work, name: str, x: Tensor, real: float, sign: int) -> Tensor:
    """An operand less its zero point, moved to the left and multiplied by a number below one."""
    unit = 1 << ADD_SHIFT
    wide = work.add(f"{name}_wide", Requantize.scaled(_WIDE, unit, -x.type.zero_point * unit, 0), x)
    by = meaning.plain(work.runtime, real)
    scaled = work.add(name, Rescale(by.scaling, by.mult, by.shift, _WIDE), wide)
    if sign > 0:
        return scaled
    return work.add(f"{name}_negative", Requantize.scaled(_WIDE, -1), scaled)


def _xnnpack_sum(
    work: Work,
    op: TfOperator,
    edges: list[Tensor],
    rule: meaning.Addition,
    sign: int,
    out: TfTensor,
    activation: str,
) -> Tensor:
    parts = []
    for n, (x, mult) in enumerate(zip(edges, rule.multipliers, strict=True)):
        mult = mult if n == 0 else sign * mult
        requant = Requantize.scaled(_WIDE, mult, -x.type.zero_point * mult, 0)
        parts.append(work.add(f"{op.name}_{'ab'[n]}", requant, x))
    total = work.add(f"{op.name}_sum", Add(), *parts)
    qtype = quantized(out)
    clip = meaning.activation_bounds(activation, out.scale, out.zero_point, qtype.min, qtype.max)
    bias = (out.zero_point << rule.shift) + (1 << (rule.shift - 1))
    qtype = QType(
        qtype.signed, 8, 0, Rounding.FLOOR, Overflow.SATURATE, qtype.scale, qtype.zero_point
    )
    last = Requantize.scaled(
        qtype, 1, bias, rule.shift, None if clip == (qtype.min, qtype.max) else clip
    )
    return work.add(op.name, last, total)


def multiplication(work: Work, op: TfOperator) -> None:
    """MUL of two tensors."""
    chosen = options(op, "MulOptions", "FusedActivationFunction")
    activation = enumerated("ActivationFunctionType", chosen.FusedActivationFunction)
    out = work.output(op)
    a, b = (work.model.tensors[i].scale for i in op.inputs)
    edges = [work.edge(op, n) for n in range(2)]
    if edges[0].size < edges[1].size:
        edges.reverse()
    product = work.add(f"{op.name}_product", Mul(), *edges)
    as_float = float(np.float32(a) * np.float32(b) / np.float32(out.scale))
    by = meaning.plain(work.runtime, a * b / out.scale, as_float)
    work.give(op, work.rescale(op.name, product, by, out, activation))


def requantization(work: Work, op: TfOperator) -> None:
    """QUANTIZE: of real numbers at the input, else from one type to another."""
    out = work.output(op)
    source = work.model.tensors[op.inputs[0]]
    if source.dtype == "FLOAT32":
        raise UserError("real numbers inside of the model can not be quantized again")
    work.give(op, requantize_to(work, op.name, work.edge(op, 0), source, out))


def requantize_to(work: Work, name: str, x: Tensor, source: TfTensor, out: TfTensor) -> Tensor:
    """A tensor's integers as those of another tensor's type."""
    return work.rescale(name, x, _between(work, source, out), out, center=True)


def _between(work: Work, source: TfTensor, out: TfTensor) -> Multipliers:
    as_float = float(np.float32(source.scale) / np.float32(out.scale))
    return meaning.plain(work.runtime, source.scale / out.scale, as_float)


def clipping(activation: str) -> Callable[[Work, TfOperator], None]:
    """The handler of an activation that stands alone: RELU, RELU6, RELU_N1_TO_1."""

    def handler(work: Work, op: TfOperator) -> None:
        out, source = work.output(op), work.model.tensors[op.inputs[0]]
        x = work.edge(op, 0)
        if same_meaning(source, out):
            low, high = x.type.min, x.type.max
            clip = meaning.activation_bounds(activation, out.scale, out.zero_point, low, high)
            work.give(op, work.add(op.name, Requantize.identity(x, clip), x))
            return
        by = _between(work, source, out)
        work.give(op, work.rescale(op.name, x, by, out, activation, center=True))

    return handler


_CURVE_INTEGER_BITS = 4


def logistic(work: Work, op: TfOperator) -> None:
    """LOGISTIC by a table."""
    _curve(work, op, gemmlowp.logistic, 8, lambda x: 1.0 / (1.0 + math.exp(-x)))


def tanh(work: Work, op: TfOperator) -> None:
    """TANH by a table."""
    _curve(work, op, gemmlowp.tanh, 7, math.tanh)


def _curve(
    work: Work,
    op: TfOperator,
    fixed: Callable[[np.ndarray, int], np.ndarray],
    fraction_bits: int,
    real: Callable[[float], float],
) -> None:
    """A curve whose output has its runtime's only scale, as one value for each input integer."""
    out, x = work.output(op), work.edge(op, 0)
    codes = np.arange(x.type.min, x.type.max + 1)
    qtype = quantized(out)
    scale = work.model.tensors[op.inputs[0]].scale
    if work.runtime is Runtime.TFLM:
        if out.scale != 2.0**-fraction_bits:
            raise UserError(f"the output's scale must be 1/{1 << fraction_bits}, not {out.scale}")
        values = _fixed_curve(codes - x.type.zero_point, scale, fixed, fraction_bits)
        values = values + out.zero_point
    else:
        values = _real_curve(codes - x.type.zero_point, scale, real, out)
    values = np.clip(values, qtype.min, qtype.max)
    work.give(op, work.add(op.name, Staircase(codes[1:], values, qtype), x))


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
    return away.astype(np.int64) + out.zero_point


def softmax(work: Work, op: TfOperator) -> None:
    """SOFTMAX over the last axis."""
    chosen = options(op, "SoftmaxOptions", "Beta")
    out, x = work.output(op), work.edge(op, 0)
    qtype = quantized(out)
    scale = work.model.tensors[op.inputs[0]].scale
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
