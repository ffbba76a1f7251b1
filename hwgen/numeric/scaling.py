"""Scalings: how runtimes multiply an accumulator by a real number and round.

Each rule takes the real number as ``mult / 2**shift``, a float or a fixed-point number of its own
precision, and has a rounding of its own that no single shift expresses. What a rule does is that
of the runtime's public sources, said here in this project's words and checked against each
runtime by the tests:

- TFLM_DOUBLE: a rounding doubling high product of 32 bits (gemmlowp's
  SaturatingRoundingDoublingHighMul: ties toward plus infinity), then a rounding shift (ties away
  from zero). TensorFlow Lite Micro, and LiteRT's reference convolutions.
- SRDHM_HALF_UP: the same product, then a shift whose ties go toward plus infinity (LiteRT's
  optimized kernels).
- FP32_HALF_EVEN: the accumulator as float32 times a float32, rounded to an integer, each time to
  nearest, ties to even (XNNPACK, ONNX Runtime).
- DOUBLE_HALF_AWAY: the accumulator times a float64, ties away from zero (LiteRT's reference
  fully connected layer).
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import numpy as np

from .arith import IntArray, magnitude, round_shift, to_integers
from .types import Rounding


class Scaling(StrEnum):
    """A rule to multiply by a real number; see the module."""

    TFLM_DOUBLE = "tflm_double"
    SRDHM_HALF_UP = "srdhm_half_up"
    FP32_HALF_EVEN = "fp32_half_even"
    DOUBLE_HALF_AWAY = "double_half_away"

    @property
    def precision(self) -> int:
        """Bits of the multiplier."""
        return {"tflm_double": 31, "srdhm_half_up": 31, "fp32_half_even": 24}.get(self.value, 53)

    @property
    def fixed_point(self) -> bool:
        """Whether it works on integers of 32 bits rather than on floats."""
        return self in (Scaling.TFLM_DOUBLE, Scaling.SRDHM_HALF_UP)


FIXED_FRAC = 31
"""Fractional bits of a fixed-point multiplier."""
SCALED_WIDTH = 32
"""Bits of what is scaled, its sign included: a runtime's accumulator."""


def multiplier_of(real: float, scaling: Scaling) -> tuple[int, int]:
    """(mult, shift) that stand for a real number, 0 or positive, in a rule's precision.

    A fixed-point multiplier is rounded to 31 bits, ties away from zero, as TensorFlow Lite's
    QuantizeMultiplier does, and vanishes below 2**-32. Floats are taken as they are: give what
    the runtime computes.

    Raises ValueError for a negative or infinite number, and one too large for the rule: from
    ``2**precision`` on for floats, from ``2**30`` on for fixed-point numbers.
    """
    if not 0.0 <= real < math.inf:
        raise ValueError(f"a scale of {real} can not be used")
    if not scaling.fixed_point:
        if real >= 1 << scaling.precision:
            raise ValueError(f"a scale of {real:g} is too large")
        fraction, exponent = math.frexp(real)
        mult = round(math.ldexp(fraction, scaling.precision))
        if math.ldexp(mult, exponent - scaling.precision) != real:
            raise ValueError(f"{real!r} is not a number of {scaling.precision} bits")
        return _normalized(mult, scaling.precision - exponent)
    fraction, exponent = math.frexp(real)
    mult = math.floor(math.ldexp(fraction, FIXED_FRAC) + 0.5)
    if mult == 1 << FIXED_FRAC:
        mult, exponent = mult >> 1, exponent + 1
    if exponent < -FIXED_FRAC:
        return 0, FIXED_FRAC
    if exponent >= FIXED_FRAC:
        raise ValueError(f"a scale of {real:g} is too large")
    return mult, FIXED_FRAC - exponent


def _normalized(mult: int, shift: int) -> tuple[int, int]:
    """The same number with a shift that is not negative, and none for zero."""
    if mult == 0:
        return 0, 0
    return (mult << -shift, 0) if shift < 0 else (mult, shift)


def apply_scaling(values: IntArray, mult: IntArray, shift: IntArray, scaling: Scaling) -> IntArray:
    """``values * mult / 2**shift`` as the rule rounds it, whatever its size.

    values : int64, within 32 bits with sign.
    mult, shift : broadcast against the last axis (channels); as multiplier_of gives them.

    Results of up to 84 bits are possible: they are Python integers then. Raises ValueError for
    values that leave the 32 bits, also after the left shift of a fixed-point rule.
    """
    values, mult, shift = (np.asarray(a, np.int64) for a in (values, mult, shift))
    up = left_shift(shift) if scaling.fixed_point else 0
    if magnitude(values) << up > 1 << (SCALED_WIDTH - 1):
        raise ValueError(
            f"values of up to {magnitude(values)} leave the {SCALED_WIDTH} bits of {scaling}"
            + (f" after a shift by {up}" if up else "")
        )
    if scaling is Scaling.FP32_HALF_EVEN:
        real = np.ldexp(mult.astype(np.float32), -shift.astype(np.int32))
        return to_integers(np.rint(values.astype(np.float32) * real))
    if scaling is Scaling.DOUBLE_HALF_AWAY:
        product = values.astype(np.float64) * np.ldexp(mult.astype(np.float64), -shift)
        whole = np.trunc(product)
        away = np.abs(product - whole) >= 0.5
        return to_integers(whole + np.where(away, np.sign(product), 0.0))
    left, right = np.maximum(FIXED_FRAC - shift, 0), np.maximum(shift - FIXED_FRAC, 0)
    high = round_shift((values << left) * mult, FIXED_FRAC, Rounding.HALF_UP)
    ties = Rounding.HALF_AWAY if scaling is Scaling.TFLM_DOUBLE else Rounding.HALF_UP
    return round_shift(high, right, ties)


def left_shift(shift: Any) -> int:
    """Most bits by which a fixed-point rule moves its input to the left first."""
    return max(0, FIXED_FRAC - int(np.min(shift)))
