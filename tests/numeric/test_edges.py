"""Where float64 and int64 end: the number system stays exact, or says no."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from hwgen.numeric import (
    Overflow,
    QType,
    Rounding,
    apply_overflow,
    dequantize,
    quantize,
    requantize,
    round_shift,
    to_integers,
)

from .test_exhaustive import fitted, rounded

HALF = 0.5
NEIGHBOURS = [np.nextafter(HALF, 0), HALF, np.nextafter(HALF, 1), 5e-324, 1e-20, 1.5, 2.5]


def clamped(value: int, qtype: QType) -> int:
    """Overflow of types too wide to list their codes."""
    if qtype.overflow is Overflow.WRAP:
        low_bits = int(f"{value % (1 << qtype.width):0{qtype.width}b}", 2)
        return low_bits - (1 << qtype.width) if low_bits > qtype.max else low_bits
    least = -qtype.max if qtype.overflow is Overflow.SATURATE_SYMMETRIC else qtype.min
    least = least if qtype.signed else 0
    if qtype.overflow is Overflow.SATURATE_ZERO and not least <= value <= qtype.max:
        return 0
    return sorted((least, value, qtype.max))[1]


@pytest.mark.parametrize("mode", list(Rounding))
def test_floats_beside_a_tie_are_no_ties(mode: Rounding) -> None:
    qtype = QType(True, 4, 0, mode, Overflow.SATURATE)
    for value in [*NEIGHBOURS, *(-v for v in NEIGHBOURS)]:
        assert quantize([value], qtype).tolist() == [rounded(Fraction(float(value)), mode)], value


@pytest.mark.parametrize("mode", list(Rounding))
@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("frac", [-256, -1, 0, 200, 256])
def test_any_float_into_any_fraction(mode: Rounding, overflow: Overflow, frac: int) -> None:
    qtype = QType(True, 5, frac, mode, overflow)
    for value in (5e-324, -5e-324, 1e-310, -1e300, 1.7e308, 2.0**60, -(2.0**63), 3.0**40):
        exact = rounded(Fraction(value) * Fraction(2) ** frac, mode)
        assert quantize([value, 0.0], qtype).tolist() == [fitted(exact, qtype), 0], value


@pytest.mark.parametrize("width", [61, 62, 63, 64, 65, 100, 128])
@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("signed", [True, False])
def test_overflow_of_wide_types(width: int, overflow: Overflow, signed: bool) -> None:
    qtype = QType(signed, width, 0, Rounding.FLOOR, overflow)
    near = [b + d for b in (0, qtype.min, qtype.max, 1 << 61, -(1 << 61)) for d in (-1, 0, 1)]
    expected = [clamped(v, qtype) for v in near]
    assert apply_overflow(np.array(near, object), qtype).tolist() == expected
    small = [v for v in near if abs(v) < 1 << 62]
    got = apply_overflow(np.array(small, np.int64), qtype)
    assert got.tolist() == [clamped(v, qtype) for v in small]


@pytest.mark.parametrize("mode", list(Rounding))
@pytest.mark.parametrize("shift", [0, 1, 60, 61, 62, 63, 64, 100])
def test_shifts_around_the_width_of_int64(mode: Rounding, shift: int) -> None:
    values = [0, 1, -1, 1 << 60, -(1 << 60), (1 << 61) - 1, 1 - (1 << 61), 3 << 59]
    expected = [rounded(Fraction(v, 1 << shift), mode) for v in values]
    assert round_shift(np.array(values), shift, mode).tolist() == expected
    assert round_shift(np.array(values, object), shift, mode).tolist() == expected
    each = np.full(len(values), shift)
    assert round_shift(np.array(values), each, mode).tolist() == expected


@pytest.mark.parametrize("bits", [20, 30, 31, 32, 40])
def test_products_leave_int64_in_time(bits: int) -> None:
    """Channels with a multiplier, bias and shift each, clip last."""
    mult = np.array([(1 << bits) - 1, -(1 << bits), 1])
    bias, shift = np.array([-1, (1 << 61) + 1, 0]), np.array([bits, 33, 0])
    acc = np.array([[(1 << 31) - 1] * 3, [-(1 << 31)] * 3, [-3] * 3])
    for mode in Rounding:
        qtype = QType(True, 33, 0, mode, Overflow.WRAP)
        got = requantize(acc, mult, bias, shift, qtype, clip=(-1000, 1 << 31))
        assert got.dtype == np.int64
        for row, out in zip(acc.tolist(), got.tolist(), strict=True):
            for a, m, b, s, o in zip(
                row, mult.tolist(), bias.tolist(), shift.tolist(), out, strict=True
            ):
                exact = clamped(rounded(Fraction(a * m + b, 1 << s), mode), qtype)
                assert o == sorted((-1000, exact, 1 << 31))[1]


def test_a_wide_result_is_clipped() -> None:
    qtype = QType(True, 100, 0, Rounding.FLOOR, Overflow.SATURATE)
    one = np.array([1])
    got = requantize(np.array([[5, -5]]), one, 0 * one, 0 * one, qtype, clip=(-1, 1 << 80))
    assert got.tolist() == [[5, -1]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        quantize([0.0, bad], QType(True, 8, 0, Rounding.FLOOR, Overflow.WRAP))


def test_too_large_for_a_scale_is_refused() -> None:
    qtype = QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE, scale=1e-300)
    with pytest.raises(ValueError, match="too large"):
        quantize([1e300], qtype)


@pytest.mark.parametrize("scale", [1e-300, 1e-46, 1e39, 1e300])
def test_a_scale_beyond_float32(scale: float) -> None:
    """As a float32 it is 0 or infinity: quotients are refused where they are no numbers."""
    qtype = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, scale=scale)
    if scale < 1:
        with pytest.raises(ValueError, match="too large for their scale in float32"):
            quantize([0.0, 1.0], qtype, single=True)
    else:
        assert quantize([0.0, 1.0], qtype, single=True).tolist() == [0, 0]


@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("scale", [None, 0.125, 0.1])
def test_quantized_numbers_are_int64(overflow: Overflow, scale: float | None) -> None:
    qtype = QType(True, 8, 0 if scale else 3, Rounding.HALF_EVEN, overflow, scale)
    for value in (0.5, 1e17, -1e17, 2.0**63, -1e200, 1e306):
        got = quantize([value], qtype)
        wide = Fraction(value / scale) if scale else Fraction(value) * 8
        assert got.dtype == np.int64, value
        assert got.tolist() == [fitted(rounded(wide, Rounding.HALF_EVEN), qtype)], value


@pytest.mark.parametrize("value", [0.0, -1.0, 2.0**53, -(2.0**62), 2.0**63, -(2.0**64), 1.7e308])
def test_whole_floats_are_exact_integers(value: float) -> None:
    got = to_integers([value, -value, 1.0])
    assert got.tolist() == [int(value), -int(value), 1]
    assert got.dtype == (np.int64 if abs(value) < 2.0**62 else object)
    assert (to_integers([value], 1 << 100) + (1 << 100)).tolist() == [int(value) + (1 << 100)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_no_integer_is_made_of_what_is_not_finite(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        to_integers([0.0, bad, 1e300])


def test_a_negative_shift_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        round_shift(np.array([1]), -1, Rounding.FLOOR)


@pytest.mark.parametrize("scale", [0.25, (0.5, 2.0)])
def test_scales_and_zero_points(scale: float | tuple[float, ...]) -> None:
    for mode in Rounding:
        qtype = QType(False, 6, 0, mode, Overflow.SATURATE, scale=scale, zero_point=20)
        codes = np.array([[0, 63], [20, 21], [19, 40]])
        weights = [Fraction(s) for s in (scale if isinstance(scale, tuple) else (scale, scale))]
        real = dequantize(codes, qtype)
        expected = [[(c - 20) * w for c, w in zip(r, weights, strict=True)] for r in codes.tolist()]
        assert [[Fraction(v) for v in r] for r in real.tolist()] == expected
        assert np.array_equal(quantize(real, qtype), codes)
        off = real + 0.125
        want = [
            [
                fitted(rounded(Fraction(v) / w, mode) + 20, qtype)
                for v, w in zip(r, weights, strict=True)
            ]
            for r in off.tolist()
        ]
        assert quantize(off, qtype).tolist() == want


@pytest.mark.parametrize("mode", list(Rounding))
def test_empty_arrays(mode: Rounding) -> None:
    qtype = QType(True, 8, 0, mode, Overflow.WRAP)
    none = np.zeros((0, 2), np.int64)
    assert quantize(none, qtype).shape == none.shape
    assert round_shift(none, 3, mode).shape == none.shape
    assert requantize(none, np.array([1]), np.array([0]), np.array([0]), qtype).shape == none.shape


def test_a_quotient_of_single_floats() -> None:
    """What lies beside a tie in float64 may be the tie in float32, and the other way round."""
    scale = float(np.float32(0.1))
    x = ((np.arange(-128, 128) + 0.5) * 0.1).astype(np.float32)
    qtype = QType(True, 9, 0, Rounding.HALF_AWAY, Overflow.SATURATE, scale, 3)
    quotient = x / np.float32(scale)
    want = np.sign(quotient) * np.floor(np.abs(quotient) + np.float32(0.5)) + 3
    single, double = quantize(x, qtype, single=True), quantize(x, qtype)
    assert np.array_equal(single, np.clip(want, -256, 255))
    assert not np.array_equal(single, double)
