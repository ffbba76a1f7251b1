"""LOGISTIC, TANH and SOFTMAX of int16: straight lines between the knots of a table.

An integer's piece of the line is a table of few bits, which gives its slope and its height; slope
times integer plus height, shifted, is the result. So these curves are sums and products of tensors.
The rules are those of TensorFlow Lite's public reference kernels (logistic.h, tanh.h, softmax.h,
common.h; Apache-2.0), whose tables are computed here as those are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Add, MaxPool, Mul, MultiThreshold, Requantize, Rescale, SumPool
from ...numeric import Overflow, QType, Rounding, Scaling, type_for_range
from .. import moves
from .file import TfOperator, TfTensor, options
from .meaning import Multipliers, Runtime
from .work import TfliteImport, frame_shape, quantized

_OUTPUT_BITS = 15
"""Fractional bits of the results."""
_POWER_OF_TWO = 1e-3
"""How near a scale's logarithm is to an integer where the kernels call it a power of two."""
_PART = QType(False, _OUTPUT_BITS, 0, Rounding.FLOOR, Overflow.SATURATE)
"""Numbers from 0 to 1 inside a softmax."""


@dataclass(frozen=True)
class Lines:
    """``(heights[n] + slopes[n] * x) >> shift`` with ``n = ((x - before) >> bits) - first``."""

    first: int
    bits: int
    before: int
    heights: np.ndarray
    slopes: np.ndarray
    shift: int

    def of(self, work: TfliteImport, name: str, x: Tensor, qtype: QType) -> Tensor:
        """The function's nodes, of an edge whose integers all have a piece."""
        last = self.first + len(self.heights) - 1
        kind = type_for_range(self.first, last)
        index = Requantize.scaled(
            replace(kind, rounding=Rounding.FLOOR), 1, -self.before, self.bits
        )
        piece = work.add(f"{name}_piece", index, x)
        steps = np.arange(self.first + 1, last + 1)
        slopes, heights = (
            work.add(
                f"{name}_{what}",
                MultiThreshold(steps, values, type_for_range(*_ends(values))),
                piece,
            )
            for what, values in (("slope", self.slopes), ("height", self.heights))
        )
        product = work.add(f"{name}_product", Mul(), x, slopes)
        total = work.add(f"{name}_sum", Add(), product, heights)
        down = replace(qtype, rounding=Rounding.FLOOR)
        return work.add(name, Requantize.scaled(down, 1, 0, self.shift), total)


def _ends(values: np.ndarray) -> tuple[int, int]:
    return int(values.min()), int(values.max())


def logistic(work: TfliteImport, op: TfOperator) -> None:
    """LOGISTIC of int16."""
    _sigmoid(work, op, 9, (0,), _logistic_lines())


def tanh(work: TfliteImport, op: TfOperator) -> None:
    """TANH of int16: twice the sigmoid of twice the number, less one."""
    _sigmoid(work, op, 8, (0, 1), _tanh_lines())


def _sigmoid(
    work: TfliteImport, op: TfOperator, bits: int, exact_shifts: tuple[int, ...], lines: Lines
) -> None:
    """A curve on the sigmoid's knots, which are 2**bits apart.

    exact_shifts : where the scale is 2**-12 shifted by one of them the kernels multiply exactly.
    """
    out, source, x = work.output(op), work.model.tensors[op.inputs[0]], work.edge(op, 0)
    _check_output(source, out)
    log2 = _log2(source.scale)
    left = 12 + round(log2)
    exact = abs(log2 - round(log2)) < _POWER_OF_TWO and left in exact_shifts
    if exact and work.runtime is Runtime.XNNPACK:
        raise UserError(
            f"{op.kind} of int16 at a scale of {source.scale:g}: where it is a power of two LiteRT "
            "computes another function by default, which is no table with lines between",
            hint="use --runtime tflm or reference, or another input scale",
        )
    # To a scale of 1 / (3 * 4096), in which knots are 1 / 24 apart.
    real, shift = 3.0 * (1 << left) if exact else source.scale * 3.0 * 4096.0, 0
    while not exact and real <= 32767.0 / 2.0 and shift <= 30:
        real, shift = real * 2.0, shift + 1
    if not real < 1 << 15:
        raise UserError(f"a scale of {source.scale:g} leaves the runtime's 16 bits")
    reach = 255 << bits
    qtype = QType(True, bits + 10, 0, Rounding.FLOOR, Overflow.SATURATE)
    half = (1 << shift) >> 1
    fine = Requantize.scaled(qtype, int(real), half, shift, clip=(-reach, reach))
    scaled = work.add(f"{op.name}_scaled", fine, x)
    work.give(op, lines.of(work, op.name, scaled, quantized(out)))


def _log2(scale: float) -> float:
    """A scale's logarithm in float32, as the kernels compare it."""
    if not scale > 0.0:
        raise UserError(f"a scale of {scale:g} has no logarithm")
    return float(np.log(np.float32(scale)) * (np.float32(1) / np.log(np.float32(2))))


def _check_output(source: TfTensor, out: TfTensor) -> None:
    """Raises UserError where an output does not hold numbers from -1 to 1 in 16 bits."""
    if source.dtype != out.dtype:
        raise UserError(
            f"{source.dtype.lower()} in and {out.dtype.lower()} out",
            hint="quantize its input and output to one type",
        )
    if out.zero_point or abs(_log2(out.scale) + _OUTPUT_BITS) >= _POWER_OF_TWO:
        raise UserError(f"the output's scale must be 1/{1 << _OUTPUT_BITS}, not {out.scale:g}")


@cache
def _sigmoid_knots() -> np.ndarray:
    """The sigmoid at multiples of 1 / 24 in units of 2**-16: each knot is moved by half the error
    that lines between them have in the middle; the last one is the largest number."""
    at = np.arange(256)

    def real(x: np.ndarray) -> np.ndarray:
        return (1 << 16) / (1.0 + np.exp(-x / 24.0))

    error = real(at + 0.5) - (real(at) + real(at + 1)) / 2
    knots = np.rint(real(at) + error / 2).astype(np.int64)
    knots[-1] = (1 << 16) - 1
    return knots


def _pieces(bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Heights, in units of ``2**-(16 + bits)``, and slopes of the pieces at and above zero."""
    knots = _sigmoid_knots()
    slopes = np.diff(knots)
    return (knots[:-1] << bits) - slopes * (np.arange(255) << bits), slopes


@cache
def _logistic_lines() -> Lines:
    """A half is added, and one less below zero, where the curve is one less itself.

    At its lowest number the curve is 1 and not 0, since it ends one unit before the last knot; at
    its highest the result's type ends it.
    """
    bits = 9
    heights, slopes = _pieces(bits)
    half = 1 << bits
    below = (1 << (16 + bits)) - heights + half - 1
    lowest = (1 << (16 + bits)) - (((1 << 16) - 2) << bits) + half - 1
    return Lines(-256, bits, 1, np.concatenate([[lowest], below[::-1], heights + half]),
                 np.concatenate([[0], slopes[::-1], slopes]), bits + 1)  # fmt: skip


@cache
def _tanh_lines() -> Lines:
    """As the logistic function, one half lower and twice as large."""
    bits = 8
    heights, slopes = _pieces(bits)
    middle, half = 1 << (15 + bits), 1 << (bits - 1)
    lowest = middle - (((1 << 16) - 1) << bits) + half - 1
    below = middle - heights + half - 1
    return Lines(-256, bits, 1, np.concatenate([[lowest], below[::-1], heights - middle + half]),
                 np.concatenate([[0], slopes[::-1], slopes]), bits)  # fmt: skip


def softmax(work: TfliteImport, op: TfOperator) -> None:
    """SOFTMAX of int16 over the last axis: exponentials and the reciprocal of their sum are lines,
    shifts by as many bits as the sum has are products."""
    beta = options(op, "SoftmaxOptions", "Beta").Beta
    out, source, x = work.output(op), work.model.tensors[op.inputs[0]], work.edge(op, 0)
    _check_output(source, out)
    if not 0.0 < beta < math.inf:
        raise UserError(f"a beta of {beta:g} must be a positive number")
    count, name = x.channels, op.name
    column = (x.size // count, count, 1)
    number = np.float32 if work.runtime is Runtime.TFLM else np.float64
    image = moves.viewed(work.add, f"{name}_view", x, column)
    largest = work.add(f"{name}_largest", MaxPool((1, count), (1, count)), image)
    every = moves.repeated(work.add, f"{name}_every_largest", largest, column)
    wide = QType(True, 17, 0, Rounding.FLOOR, Overflow.SATURATE)
    below = work.add(f"{name}_negative", Requantize.scaled(wide, -1), every)
    plain = work.add(f"{name}_plain", Requantize.scaled(wide), image)
    difference = work.add(f"{name}_difference", Add(), plain, below)
    by = Multipliers.of(Scaling.TFLM_DOUBLE, [source.scale * beta / (10.0 / 65535.0)])
    short = QType(True, 16, 0, Rounding.FLOOR, Overflow.SATURATE)
    scaled = work.add(
        f"{name}_scaled", Rescale(by.scaling, by.mult, by.shift, short, offset=short.max),
        difference,
    )  # fmt: skip
    power = _table_lines("exp", number).of(work, f"{name}_exp", scaled, _PART)
    total = work.add(f"{name}_total", SumPool((1, count), (1, count)), power)
    # A sum has from 15 to so many bits: the largest exponential alone has 15.
    most = total.range[1].bit_length()
    bits = np.arange(_OUTPUT_BITS, most + 1)
    full = _of_size(work, f"{name}_full", total, bits, 31 - bits)
    # From one half to one, less that, in the steps of the table of reciprocals.
    rest = Requantize.scaled(short, 1, (1 << 13) - (3 << 29), 14)
    fraction = work.add(f"{name}_fraction", rest, full)
    over = _table_lines("reciprocal", number).of(work, f"{name}_reciprocal", fraction, _PART)
    shift = most - 1
    factors = _powers_of_two(work, f"{name}_factor", total, bits, most - bits)
    share = work.add(f"{name}_share", Mul(), over, factors)
    shares = moves.repeated(work.add, f"{name}_every_share", share, column)
    product = work.add(f"{name}_product", Mul(), power, shares)
    qtype = replace(quantized(out), rounding=Rounding.FLOOR)
    last = Requantize.scaled(qtype, 1, 1 << (shift - 1), shift, clip=(0, qtype.max))
    shape = frame_shape(out)
    result = work.add(name if shape == column else f"{name}_column", last, product)
    work.give(op, moves.viewed(work.add, name, result, shape))


def of_a_wider_softmax(out: TfTensor) -> QType:
    """The type of int16 that a SOFTMAX of bytes gives. Raises UserError for another one."""
    type_ = QType(True, 16, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-16, -(1 << 15))
    if out.zero_point != type_.zero_point or out.scale != type_.scale:
        raise UserError(
            "bytes in and int16 out: the kernels give integers of a scale of 1/65536 and a zero "
            f"point of -32768, the file says {out.scale:g} and {out.zero_point}",
            hint="give its output that scale and zero point, or the type of its input",
        )
    return type_


def _of_size(
    work: TfliteImport, name: str, total: Tensor, bits: np.ndarray, exponents: np.ndarray
) -> Tensor:
    """A sum times a power of two that its size chooses."""
    factors = _powers_of_two(work, f"{name}_factor", total, bits, exponents)
    return work.add(name, Mul(), total, factors)


def _powers_of_two(
    work: TfliteImport, name: str, total: Tensor, bits: np.ndarray, exponents: np.ndarray
) -> Tensor:
    """Powers of two with those exponents, for sums of so many bits."""
    values = 1 << exponents
    steps = 1 << bits[:-1]
    if not len(steps):  # one term: a constant
        steps, values = np.array([total.range[1] + 1]), np.repeat(values, 2)
    return work.add(name, MultiThreshold(steps, values, type_for_range(*_ends(values))), total)


_FUNCTIONS: dict[str, tuple[int, int, Callable[[float], float]]] = {
    "exp": (-10, 0, math.exp),
    "reciprocal": (0, 1, lambda x: 1.0 / (1.0 + x)),
}
"""Tables of a softmax: their first and last number, and the function between."""


@cache
def _table_lines(function: str, number: type[np.floating]) -> Lines:
    """Lines on 513 knots for integers of 16 bits.

    number : the floats in which the runtime computes the knots.
    """
    bits = 7
    knots = _knots(*_FUNCTIONS[function], number)
    slopes, first = np.diff(knots), -256
    starts = (np.arange(len(slopes)) + first) << bits
    heights = (knots[:-1] << bits) - slopes * starts + (1 << (bits - 1))
    return Lines(first, bits, 0, heights, slopes, bits)


def _knots(
    low: int, high: int, function: Callable[[float], float], number: type[np.floating]
) -> np.ndarray:
    """Each knot is moved by half the error in the middle of the line behind it."""
    ends = np.iinfo(np.int16)
    scale = number(high - low) / number(65535)
    origin = ends.max if high == 0 else ends.min
    first, last = (scale * number(end - origin) for end in (ends.min, ends.max))
    unit = number(2) / number(65535)
    inverse = number(65536) / (unit * number(ends.max) - unit * number(ends.min))
    step = (last - first) / number(512)

    def at(x: np.floating) -> np.floating:
        return number(function(float(x))) * inverse

    def rounded(x: np.floating) -> np.floating:
        return np.trunc(x + np.copysign(number(0.5), x))

    knots = []
    for n in range(512):
        x = first + number(n) * step
        here, line = rounded(at(x)), at(first + number(n + 1) * step)
        error = rounded((line + here) / number(2)) - rounded(at(x + step / number(2)))
        knots.append(here - rounded(error / number(2)))
    knots.append(rounded(at(last)))
    return np.clip(np.array(knots), ends.min, ends.max).astype(np.int64)
