"""Fixed-point functions of gemmlowp, which TensorFlow Lite's int8 kernels are made of.

Numbers are raw integers of 32 bits; Qm.n has m integer bits and n = 31 - m fractional ones. The
rules are those of gemmlowp's public ``fixedpoint.h`` (Jacob and Warden, Apache-2.0), said here in
arrays and checked against the runtimes by the tests.
"""

from __future__ import annotations

import math

import numpy as np

from .arith import IntArray, round_shift
from .types import Rounding

MAX_32 = (1 << 31) - 1
_MIN_32 = -(1 << 31)

# exp(-2**e) for the bits of a negative exponent, as Q0.31.
_EXPONENTIALS = {
    -2: 1672461947,
    -1: 1302514674,
    0: 790015084,
    1: 290630308,
    2: 39332535,
    3: 720401,
    4: 242,
}
_EXP_EIGHTH = 1895147668  # exp(-1/8), Q0.31
_THIRD = 715827883  # Q0.31
_48_OVER_17 = 1515870810  # Q2.29
_MINUS_32_OVER_17 = -1010580540  # Q2.29


def high_product(a: IntArray | int, b: IntArray | int) -> IntArray:
    """Half the product's high word, doubled and rounded: Qm * Qn is Q(m + n).

    gemmlowp's SaturatingRoundingDoublingHighMul.
    """
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    return np.minimum(round_shift(product, 31, Rounding.HALF_UP), MAX_32)


def rounding_divide(x: IntArray, exponent: int | IntArray) -> IntArray:
    """``x / 2**exponent``, ties away from zero (RoundingDivideByPOT)."""
    return round_shift(np.asarray(x, np.int64), exponent, Rounding.HALF_AWAY)


def saturating_shift(x: IntArray, left: int) -> IntArray:
    """``x * 2**left``, saturated to 32 bits."""
    return np.clip(np.asarray(x, np.int64) << left, _MIN_32, MAX_32)


def _exp_of_small(a: IntArray) -> IntArray:
    """exp of Q0.31 in [-1/4, 0): a polynomial around -1/8."""
    x = a + (1 << 28)
    x2 = high_product(x, x)
    x3, x4 = high_product(x2, x), high_product(x2, x2)
    sixth = high_product(rounding_divide(x4, 2) + x3, _THIRD)
    series = rounding_divide(sixth + x2, 1)
    return _EXP_EIGHTH + high_product(_EXP_EIGHTH, x + series)


def exp_of_negative(a: IntArray, integer_bits: int) -> IntArray:
    """exp of numbers up to 0 with so many integer bits, as Q0.31."""
    a = np.asarray(a, np.int64)
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    small = (a & (quarter - 1)) - quarter
    result = _exp_of_small(saturating_shift(small, integer_bits))
    rest = small - a
    for exponent, factor in _EXPONENTIALS.items():
        if integer_bits > exponent:
            has = (rest >> (fraction_bits + exponent)) & 1
            result = np.where(has == 1, high_product(result, factor), result)
    return np.where(a == 0, MAX_32, result)


def _newton(a: IntArray) -> IntArray:
    """2 / (1 + a) as Q2.29 for Q0.31 in [0, 1]: three Newton steps of a division."""
    total = a + MAX_32
    half = (total + 1) >> 1  # total is never negative
    x = _48_OVER_17 + high_product(half, _MINUS_32_OVER_17)
    for _ in range(3):
        error = (1 << 29) - high_product(half, x)
        x = x + saturating_shift(high_product(x, error), 2)
    return x


def one_over_one_plus(a: IntArray) -> IntArray:
    """1 / (1 + a) for Q0.31 in [0, 1]."""
    return saturating_shift(_newton(a), 1)


def one_minus_over_one_plus(a: IntArray) -> IntArray:
    """(1 - a) / (1 + a) for Q0.31 in [0, 1]."""
    return saturating_shift(_newton(a) - (1 << 29), 2)


def logistic(a: IntArray, integer_bits: int) -> IntArray:
    """1 / (1 + exp(-a)) as Q0.31."""
    a = np.asarray(a, np.int64)
    positive = one_over_one_plus(exp_of_negative(-np.abs(a), integer_bits))
    return np.where(a > 0, positive, np.where(a == 0, 1 << 30, MAX_32 - positive))


def tanh(a: IntArray, integer_bits: int) -> IntArray:
    """The hyperbolic tangent as Q0.31."""
    a = np.asarray(a, np.int64)
    # Twice the number: the same integer with one more integer bit.
    size = one_minus_over_one_plus(exp_of_negative(-np.abs(a), integer_bits + 1))
    return np.sign(a) * size


def reciprocal(x: IntArray, integer_bits: int) -> tuple[IntArray, IntArray]:
    """1 / x for positive x, as Q0.31 in (1/2, 1] and the bits by which it is too large."""
    x = np.asarray(x, np.int64)
    headroom = 32 - np.frexp(x.astype(np.float64))[1].astype(np.int64)
    fraction = (x << headroom) - (1 << 31)
    return one_over_one_plus(fraction), integer_bits - headroom


def input_radius(integer_bits: int, left_shift: int) -> int:
    """Largest difference that a left shift keeps within so many integer bits."""
    largest = ((1 << integer_bits) - 1) * (1 << (31 - integer_bits))
    return math.floor(
        largest / (1 << left_shift) if left_shift >= 0 else largest * 2.0**-left_shift
    )


SOFTMAX_DIFFERENCE_BITS = 5
_SOFTMAX_SUM_BITS = 12


def softmax(x: IntArray, mult: int, left_shift: int, width: int) -> IntArray:
    """Softmax over the last axis, as unsigned integers of ``width`` bits that mean n / 2**width.

    x : integers whose difference times ``mult * 2**(left_shift - 31)`` is Q5.26. The results are
    not yet limited: a sure winner has 2**width.
    """
    x = np.asarray(x, np.int64)
    difference = x - x.max(axis=-1, keepdims=True)
    counts = difference >= -input_radius(SOFTMAX_DIFFERENCE_BITS, left_shift)
    scaled = high_product(np.where(counts, difference, 0) << left_shift, mult)
    return normalized(np.where(counts, exp_of_negative(scaled, SOFTMAX_DIFFERENCE_BITS), 0), width)


def normalized(powers: IntArray, width: int) -> IntArray:
    """Exponentials (Q0.31) over their sum, along the last axis: the results of ``softmax``."""
    parts = rounding_divide(powers, _SOFTMAX_SUM_BITS)
    total = parts.sum(axis=-1, keepdims=True)
    scale, over_unit = reciprocal(total, _SOFTMAX_SUM_BITS)
    return rounding_divide(high_product(scale, powers), over_unit + (31 - width))


_SHORT = (-(1 << 15), (1 << 15) - 1)


def _short_product(a: IntArray, b: IntArray | int) -> IntArray:
    """Q0.15 times Q0.15, rounded, ties away from zero: the high product of 16 bits."""
    return np.clip(round_shift(a * b, 15, Rounding.HALF_AWAY), *_SHORT)


def hard_swish(codes: IntArray, to_output: tuple[int, int], to_unit: tuple[int, int]) -> IntArray:
    """``x * clip(x + 3, 0, 6) / 6`` of codes less their zero point, in TensorFlow Lite's 16 bits.

    codes : integers of 8 bits; they are worked on with 7 more fractional bits.
    to_output, to_unit : (mult, exponent), the real number ``mult * 2**(exponent - 15)`` that brings
        such a fine code to the output's scale, and to one of 3 / 32768.

    Results are codes of the output less its zero point. The rule is that of TensorFlow Lite's
    public reference kernel (hard_swish.h).
    """
    fine = np.asarray(codes, np.int64) << 7
    scaled = _short_product(fine, to_output[0])
    mult, exponent = to_unit
    unit = fine
    if exponent > 0:
        unit = np.clip(unit << (exponent - 1), *_SHORT)
    unit = _short_product(unit, mult)
    if exponent > 0:
        unit = np.clip(unit << 1, *_SHORT)
    unit = rounding_divide(unit, max(0, -exponent))
    # From -1..1 to 0..1; the product is cut off towards zero.
    product = round_shift(((unit + (1 << 15)) >> 1) * scaled, 15, Rounding.TO_ZERO)
    return rounding_divide(product, -to_output[1])
