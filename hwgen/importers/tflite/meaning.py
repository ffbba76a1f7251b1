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
    """A real number for each channel in the form that a scaling rule takes."""

    scaling: Scaling
    mult: np.ndarray
    shift: np.ndarray

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
    """The rule of a fully connected layer's accumulators; a single scale is a float32 product."""
    if runtime is Runtime.XNNPACK:
        return Multipliers.of(Scaling.FP32_HALF_EVEN, _float32(x, weights, out))
    rule = Scaling.DOUBLE_HALF_AWAY if runtime is Runtime.REFERENCE else Scaling.TFLM_DOUBLE
    if len(weights) > 1:
        return Multipliers.of(rule, [x * w / out for w in weights])
    product = float(np.float32(x) * np.float32(weights[0]))
    return Multipliers.of(rule, [product / out])


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
