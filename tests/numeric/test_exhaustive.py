"""The number system against rational arithmetic, exhaustively at small widths."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from hwgen.numeric import (
    Overflow,
    QType,
    Rounding,
    apply_overflow,
    quantize,
    requantize,
    round_shift,
    type_for_range,
)


def rounded(value: Fraction, mode: Rounding) -> int:
    """The definition: neighbours of a rational, and which of them the mode takes."""
    below, above = floor(value), ceil(value)
    if below == above:
        return below
    inward, outward = (below, above) if value > 0 else (above, below)
    directed = {
        Rounding.FLOOR: below,
        Rounding.CEIL: above,
        Rounding.TO_ZERO: inward,
        Rounding.FROM_ZERO: outward,
    }
    if mode in directed:
        return directed[mode]
    if value - below != above - value:
        return below if value - below < above - value else above
    even, odd = (below, above) if below % 2 == 0 else (above, below)
    return {
        Rounding.HALF_UP: above,
        Rounding.HALF_DOWN: below,
        Rounding.HALF_TO_ZERO: inward,
        Rounding.HALF_AWAY: outward,
        Rounding.HALF_EVEN: even,
        Rounding.HALF_ODD: odd,
    }[mode]


def fitted(value: int, qtype: QType) -> int:
    """The definition of overflow: patterns, or bounds."""
    codes = range(qtype.min, qtype.max + 1)
    if qtype.overflow is Overflow.WRAP:
        return next(code for code in codes if (code - value) % (1 << qtype.width) == 0)
    if qtype.overflow is Overflow.SATURATE_SYMMETRIC and qtype.signed:
        codes = range(-qtype.max, qtype.max + 1)
    if value in codes:
        return value
    if qtype.overflow is Overflow.SATURATE_ZERO:
        return 0
    return codes[0] if value < codes[0] else codes[-1]


@pytest.mark.parametrize("mode", list(Rounding))
def test_shift_is_division_by_a_power_of_two(mode: Rounding) -> None:
    values = np.arange(-140, 141)
    for shift in range(8):
        expected = [rounded(Fraction(int(v), 1 << shift), mode) for v in values]
        assert round_shift(values, shift, mode).tolist() == expected
        wide = np.array([int(v) << 80 for v in values], dtype=object)
        assert round_shift(wide, shift + 80, mode).tolist() == expected


@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("signed", [True, False])
def test_every_overflow_of_every_small_type(overflow: Overflow, signed: bool) -> None:
    values = np.arange(-70, 71)
    for width in range(1, 6):
        qtype = QType(signed, width, 0, Rounding.FLOOR, overflow)
        expected = [fitted(int(v), qtype) for v in values]
        assert apply_overflow(values, qtype).tolist() == expected
        assert apply_overflow(values.astype(object), qtype).tolist() == expected


@pytest.mark.parametrize("mode", list(Rounding))
@pytest.mark.parametrize("overflow", list(Overflow))
def test_quantize_and_requantize(mode: Rounding, overflow: Overflow) -> None:
    values = np.arange(-100, 101)
    for signed in (True, False):
        for width, frac in ((1, 0), (3, 1), (4, -1), (5, 2)):
            qtype = QType(signed, width, frac, mode, overflow)
            real = values / 8
            scale = Fraction(2) ** frac
            expected = [fitted(rounded(Fraction(float(r)) * scale, mode), qtype) for r in real]
            assert quantize(real, qtype).tolist() == expected
            mult, bias, shift = 3, -5, 4
            exact = [Fraction(int(v) * mult + bias, 1 << shift) for v in values]
            expected = [fitted(rounded(e, mode), qtype) for e in exact]
            one = np.array([1])
            got = requantize(values[:, None], mult * one, bias * one, shift * one, qtype)
            assert got[:, 0].tolist() == expected


def test_wide_products_stay_exact() -> None:
    big = (1 << 60) + 1
    qtype = QType(True, 32, 0, Rounding.HALF_EVEN, Overflow.SATURATE)
    one = np.array([1])
    got = requantize(np.array([[big]]), np.array([1 << 20]), one, np.array([50]), qtype)
    assert got.tolist() == [[rounded(Fraction((big << 20) + 1, 1 << 50), Rounding.HALF_EVEN)]]


def test_nothing_but_numbers_is_quantized() -> None:
    qtype = QType(True, 8, 4, Rounding.HALF_EVEN, Overflow.SATURATE)
    with pytest.raises(ValueError, match="finite"):
        quantize(np.array([0.0, np.nan]), qtype)


def test_the_narrowest_type_of_a_range() -> None:
    for low in range(-20, 20):
        for high in range(low, 20):
            qtype = type_for_range(low, high)
            assert qtype.min <= low <= high <= qtype.max
            if qtype.width > 1:
                assert qtype.signed == (low < 0)
                narrower = QType(qtype.signed, qtype.width - 1, 0, qtype.rounding, qtype.overflow)
                assert not narrower.min <= low <= high <= narrower.max
