"""What the numbers of a TensorFlow Lite file mean to each runtime that runs it.

TFLM: TensorFlow Lite Micro. XNNPACK: LiteRT as it is by default. REFERENCE: LiteRT with its
reference kernels. Each was compared with its runtime, integer by integer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from ...errors import UserError
from ...numeric import QType, Rounding, Scaling, multiplier_of


class Runtime(StrEnum):
    """Whose integers the graph keeps."""

    TFLM = "tflm"
    XNNPACK = "xnnpack"
    REFERENCE = "reference"


@dataclass(frozen=True)
class Multipliers:
    """A real number for each channel in the form that a scaling rule takes.

    ``reduced`` : multipliers of 15 bits, as kernels with sums of 64 bits have them: a half is
    added, then it is shifted.
    """

    scaling: Scaling
    mult: np.ndarray
    shift: np.ndarray
    reduced: bool = False

    @classmethod
    def of(cls, scaling: Scaling, reals: Sequence[float]) -> Multipliers:
        """Raises UserError for a number that the rule can not take."""
        try:
            pairs = [multiplier_of(float(real), scaling) for real in reals]
            mult, shift = (np.array(column, np.int64) for column in zip(*pairs, strict=True))
        except ValueError as error:
            raise UserError(str(error)) from None
        except OverflowError:
            raise UserError(f"a scale of {max(reals):g} is too large") from None
        return cls(scaling, mult, shift)

    @classmethod
    def reduced_of(cls, reals: Sequence[float]) -> Multipliers:
        """The same numbers for sums of 64 bits. Raises UserError."""
        whole = cls.of(Scaling.TFLM_DOUBLE, reals)
        mult = np.where(whole.mult < 0x7FFF0000, (whole.mult + (1 << 15)) >> 16, 0x7FFF)
        if whole.shift.min() <= 16:
            raise UserError(f"a scale of {max(reals):g} is too large")
        return replace(whole, mult=mult, shift=whole.shift - 16, reduced=True)

    def repeated(self, times: int) -> Multipliers:
        """The same numbers for several groups of channels, one behind the other."""
        if self.mult.size == 1:
            return self
        return replace(self, mult=np.tile(self.mult, times), shift=np.tile(self.shift, times))


def convolution(
    runtime: Runtime | None, x: float, weights: Sequence[float], out: float
) -> Multipliers:
    """The rule from the accumulators of a convolution to its output; None: that of LiteRT's
    optimized kernels, which do what XNNPACK leaves."""
    if runtime is None:
        return Multipliers.of(Scaling.SRDHM_HALF_UP, [x * w / out for w in weights])
    if runtime is Runtime.XNNPACK:
        return Multipliers.of(Scaling.FP32_HALF_EVEN, _float32(x, weights, out))
    return Multipliers.of(Scaling.TFLM_DOUBLE, [x * w / out for w in weights])


def fully_connected(
    runtime: Runtime, x: float, weights: Sequence[float], out: float
) -> Multipliers:
    """The rule of a fully connected layer's accumulators; in TFLM a single scale is a float32
    product."""
    if runtime is Runtime.XNNPACK:
        return Multipliers.of(Scaling.FP32_HALF_EVEN, _float32(x, weights, out))
    if runtime is Runtime.REFERENCE:
        return Multipliers.of(Scaling.DOUBLE_HALF_AWAY, [x * w / out for w in weights])
    if len(weights) > 1:
        return Multipliers.of(Scaling.TFLM_DOUBLE, [x * w / out for w in weights])
    product = float(np.float32(x) * np.float32(weights[0]))
    return Multipliers.of(Scaling.TFLM_DOUBLE, [product / out])


def convolution_of_16_bits(
    x: float, weights: Sequence[float], out: float, bias: str | None
) -> Multipliers:
    """The rule of a convolution of int16; ``bias`` : its type, by which TFLM chooses."""
    reals = [x * w / out for w in weights]
    if bias == "INT32":
        return Multipliers.of(Scaling.TFLM_DOUBLE, reals)
    return Multipliers.reduced_of(reals)


def fully_connected_of_16_bits(
    runtime: Runtime, x: float, weights: Sequence[float], out: float, wide: bool
) -> Multipliers:
    """The rule of a fully connected layer of int16; ``wide`` : it has a bias of int64, or would
    have. Others are done by LiteRT's optimized kernel."""
    products = [float(np.float32(x) * np.float32(w)) / out for w in weights]
    if runtime is Runtime.TFLM:
        return Multipliers.reduced_of(products)
    if runtime is Runtime.XNNPACK and not wide:
        return Multipliers.of(Scaling.SRDHM_HALF_UP, products)
    return Multipliers.of(Scaling.DOUBLE_HALF_AWAY, [x * w / out for w in weights])


def of_width(runtime: Runtime, dtype: str) -> Runtime:
    """Whose arithmetic a runtime has for a type: XNNPACK takes no int16."""
    return Runtime.REFERENCE if dtype == "INT16" and runtime is Runtime.XNNPACK else runtime


def plain(runtime: Runtime, real: float, as_float: float | None = None) -> Multipliers:
    """The rule that multiplies by one real number; XNNPACK's is a float32, which it computes in
    its own way where that matters."""
    if runtime is Runtime.XNNPACK:
        number = np.float32(real) if as_float is None else np.float32(as_float)
        return Multipliers.of(Scaling.FP32_HALF_EVEN, [float(number)])
    return Multipliers.of(Scaling.TFLM_DOUBLE, [real])


def _float32(x: float, weights: Sequence[float], out: float) -> list[float]:
    products = np.float32(x) * np.asarray(weights, np.float32) / np.float32(out)
    return [float(p) for p in products]


ADD_SHIFT = 20
"""Bits by which TensorFlow Lite moves the operands of an addition to the left."""
ADD_SHIFT_OF_16_BITS = 15
"""The same where they are int16."""


ADD_SCALES = (2.0**-10, 2.0**8)
"""Quotients of scales that XNNPACK's additions take (its sources: the limits of its operators)."""


@dataclass(frozen=True)
class Addition:
    """XNNPACK's addition: integer multipliers of both operands and one shift of their sum."""

    multipliers: tuple[int, int]
    shift: int

    @classmethod
    def of(cls, a: float, b: float, out: float) -> Addition:
        """Find the rule from the scales of operands and result. Raises UserError."""
        scales = [np.float32(s) / np.float32(out) for s in (a, b)]
        least, most = ADD_SCALES
        if not all(least <= s < most for s in scales):
            raise UserError(
                f"scales {a:g} and {b:g} to {out:g}: XNNPACK adds where their quotients are from "
                f"{least:g} to {most:g}",
                hint="use --runtime tflm or reference",
            )
        _, exponent = math.frexp(float(max(scales)))
        shift = ADD_SHIFT - (exponent - 1)
        first, second = (int(np.rint(np.ldexp(s, shift))) for s in scales)
        return cls((first, second), shift)


def rounded_down(qtype: QType) -> QType:
    """The type of a result whose rule adds its half before a shift."""
    return replace(qtype, rounding=Rounding.FLOOR)


def activation_bounds(
    kind: str, scale: float, zero_point: int, low: int, high: int
) -> tuple[int, int]:
    """Integers that a fused activation lets through. Raises UserError where it is not known."""

    def code(real: float) -> int:
        # As TfLiteRound of a float32 quotient.
        quotient = float(np.float32(real) / np.float32(scale))
        if not abs(quotient) < 1 << 31:
            raise UserError(f"{real:g} at a scale of {scale:g} leaves the runtime's 32 bits")
        return zero_point + int(math.copysign(math.floor(abs(quotient) + 0.5), quotient))

    bounds = {
        "NONE": (low, high),
        "RELU": (zero_point, high),
        "RELU6": (zero_point, code(6.0)),
        "RELU_N1_TO_1": (code(-1.0), code(1.0)),
    }
    if kind not in bounds:
        raise UserError(f"fused activation {kind} is not supported")
    first, last = bounds[kind]
    return min(max(first, low), high), max(min(last, high), low)
