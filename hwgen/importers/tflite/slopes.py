"""Activations that are tables of few integers, or lines of two slopes: HARD_SWISH, LEAKY_RELU and
PRELU. Of int16 the latter are lines."""

from __future__ import annotations

import math

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Add, Requantize, Rescale
from ...numeric import Scaling, apply_scaling, gemmlowp
from .. import moves
from .arithmetic import WIDE
from .elementwise import table
from .file import TfOperator, TfTensor, options
from .meaning import Multipliers, Runtime
from .work import TfliteImport, frame_shape, quantized

_UNIT = 1 << 8
"""XNNPACK's slopes are numbers of this many parts."""
_FLATTEST, _STEEPEST = 1 / _UNIT, 128.0
"""Slopes that XNNPACK takes; it leaves others to LiteRT's own kernel."""


def _codes(work: TfliteImport, op: TfOperator) -> tuple[Tensor, TfTensor, TfTensor, np.ndarray]:
    """The edge, input and output of an activation, and the input's codes less the zero point."""
    x, source, out = work.edge(op, 0), work.model.tensors[op.inputs[0]], work.output(op)
    if source.dtype != out.dtype:
        raise UserError(f"{source.dtype.lower()} in and {out.dtype.lower()} out")
    return x, source, out, np.arange(x.type.min, x.type.max + 1) - x.type.zero_point


def _times(codes: np.ndarray, real: float) -> np.ndarray:
    """Codes times a real number of any sign, as TensorFlow Lite's fixed-point product."""
    by = Multipliers.of(Scaling.TFLM_DOUBLE, [abs(real)])
    # The product rounds ties away from zero: it does not hang on which factor has the sign.
    return apply_scaling(codes if real >= 0 else -codes, by.mult, by.shift, by.scaling)


def _number(runtime: Runtime) -> type[np.floating]:
    """The floats in which a kernel computes its multipliers; TFLM's are doubles."""
    return np.float64 if runtime is Runtime.TFLM else np.float32


def hard_swish(work: TfliteImport, op: TfOperator) -> None:
    """HARD_SWISH: all runtimes have the reference kernel's arithmetic of 16 bits."""
    x, source, out, codes = _codes(work, op)
    number = _number(work.runtime)
    fine = number(source.scale) / number(128)
    to_output = _short(float(fine / number(out.scale)))
    if to_output[1] > 0:
        raise UserError(
            f"an output scale of {out.scale:g} is too small for one of {source.scale:g}"
        )
    values = gemmlowp.hard_swish(codes, to_output, _short(float(fine / number(3 / 32768))))
    work.give(op, table(work, op, x, values + out.zero_point, quantized(out)))


def _short(real: float) -> tuple[int, int]:
    """A number as a multiplier of 16 bits and an exponent."""
    if not 0.0 < real < 2.0**15:
        raise UserError(f"a quotient of scales of {real:g} leaves the runtime's 16 bits")
    fraction, exponent = math.frexp(real)
    mult = math.floor(fraction * 2.0**31 + 0.5)
    if mult == 1 << 31:
        mult, exponent = mult >> 1, exponent + 1
    return min((mult + (1 << 15)) >> 16, (1 << 15) - 1), exponent


def leaky_relu(work: TfliteImport, op: TfOperator) -> None:
    """LEAKY_RELU by a table."""
    x, source, out, codes = _codes(work, op)
    alpha = np.float32(options(op, "LeakyReluOptions", "Alpha").Alpha)
    plain = np.float32(source.scale) / np.float32(out.scale)
    if not np.isfinite(plain * alpha):
        raise UserError(f"a slope of {alpha:g} is no number to compute with")
    number = _number(work.runtime)
    leak = float(number(source.scale) * number(alpha) / number(out.scale))
    line = float(number(source.scale) / number(out.scale))
    if source.dtype == "INT16":
        below = Requantize.scaled(WIDE, 1 if leak >= 0 else -1)
        work.give(op, _lines(work, op, x, (line, abs(leak)), below, op.name))
        return
    if work.runtime is Runtime.XNNPACK and _xnnpack_takes(float(plain), float(plain * alpha)):
        slopes = np.rint(_UNIT * np.array([plain, plain * alpha], np.float32)).astype(np.int64)
        products = codes * np.where(codes >= 0, *slopes)
        values = (products + _UNIT // 2 + out.zero_point * _UNIT) // _UNIT
    else:
        values = np.where(codes >= 0, _times(codes, line), _times(codes, leak)) + out.zero_point
    work.give(op, table(work, op, x, values, quantized(out)))


def _xnnpack_takes(plain: float, leak: float) -> bool:
    steep = _STEEPEST if leak > 0 else _STEEPEST - _FLATTEST
    return _FLATTEST <= plain <= _STEEPEST and _FLATTEST <= abs(leak) <= steep


def prelu(work: TfliteImport, op: TfOperator) -> None:
    """PRELU: all runtimes have the reference kernel's arithmetic; of int16 TFLM alone has it, with
    slopes of int8.

    One slope for all is a table. Else what lies above zero, and what lies below times its slope,
    are scaled each on its own; one of them is zero, so their sum is the other.
    """
    x, source, out, codes = _codes(work, op)
    constant = work.constant(op, 1)
    short = source.dtype == "INT16"
    if short and work.runtime is not Runtime.TFLM:
        raise UserError(
            "LiteRT has no PRELU of int16",
            hint="use --runtime tflm, which has it with slopes of int8, or quantize to int8",
        )
    if constant.dtype != ("INT8" if short else source.dtype) or constant.data is None:
        raise UserError(f"slopes {constant.name!r} are {constant.dtype.lower()}")
    number = _number(work.runtime)
    plain = float(number(source.scale) / number(out.scale))
    product = number(source.scale) * number(constant.scale) / number(out.scale)
    slopes = constant.data.astype(np.int64) - constant.zero_point
    spread = moves.Spread.of(slopes, frame_shape(out))
    if spread.values.size == 1 and not short:
        below = _times(codes * spread.values, float(product))
        values = np.where(codes >= 0, _times(codes, plain), below) + out.zero_point
        work.give(op, table(work, op, x, values, quantized(out)))
        return
    x = moves.viewed(work.add, f"{op.name}_view", x, spread.view)
    below = Requantize.scaled(WIDE, spread.values)
    last = op.name if spread.view == frame_shape(out) else f"{op.name}_flat"
    result = _lines(work, op, x, (plain, float(product)), below, last)
    work.give(op, moves.viewed(work.add, op.name, result, frame_shape(out)))


def _lines(
    work: TfliteImport,
    op: TfOperator,
    x: Tensor,
    slopes: tuple[float, float],
    slope: Requantize,
    name: str,
) -> Tensor:
    """The output, named ``name``: ``slopes[0]`` times what lies above zero, and ``slopes[1]`` times
    what ``slope`` makes of what lies below it."""
    out, zero = work.output(op), x.type.zero_point
    above = work.add(f"{op.name}_positive", _clipped(zero, (0, x.type.max - zero)), x)
    above = work.add(f"{op.name}_above", _product(slopes[0]), above)
    below = work.add(f"{op.name}_negative", _clipped(zero, (x.type.min - zero, 0)), x)
    below = work.add(f"{op.name}_slopes", slope, below)
    below = work.add(f"{op.name}_below", _product(slopes[1]), below)
    total = work.add(f"{op.name}_sum", Add(), above, below)
    return work.add(name, Requantize.scaled(quantized(out), 1, out.zero_point), total)


def _clipped(zero_point: int, clip: tuple[int, int]) -> Requantize:
    """Codes less their zero point, on one side of it."""
    return Requantize.scaled(WIDE, 1, -zero_point, clip=clip)


def _product(real: float) -> Rescale:
    by = Multipliers.of(Scaling.TFLM_DOUBLE, [real])
    return Rescale(by.scaling, by.mult, by.shift, WIDE)
