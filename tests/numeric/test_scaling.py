"""Scalings against formulas of rational numbers, and what the encodings hold."""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random

import numpy as np
import pytest

from hwgen.numeric import Scaling, apply_scaling, multiplier_of


def to_nearest(value: Fraction, tie: str) -> int:
    """The nearest integer; ``tie``: up, away or even."""
    floor = math.floor(value)
    rest = value - floor
    if rest != Fraction(1, 2):
        return floor + (rest > Fraction(1, 2))
    return {"up": floor + 1, "away": floor + (value > 0), "even": floor + floor % 2}[tie]


def float32(value: Fraction) -> Fraction:
    """The nearest number of 24 bits, ties to even."""
    if value == 0:
        return value
    exponent = math.floor(math.log2(abs(value))) - 23
    while abs(value) >= Fraction(2) ** (exponent + 24):
        exponent += 1
    while abs(value) < Fraction(2) ** (exponent + 23):
        exponent -= 1
    unit = Fraction(2) ** exponent
    return to_nearest(value / unit, "even") * unit


def defined(x: int, mult: int, shift: int, scaling: Scaling) -> int:
    """A rule as its definition says, in rational numbers."""
    number = Fraction(mult, 1 << shift)
    if scaling is Scaling.FP32_HALF_EVEN:
        return to_nearest(float32(float32(Fraction(x)) * number), "even")
    if scaling is Scaling.DOUBLE_HALF_AWAY:
        return to_nearest(Fraction(float(x) * float(number)), "away")
    left, right = max(0, 31 - shift), max(0, shift - 31)
    high = to_nearest(Fraction((x << left) * mult, 1 << 31), "up")
    ties = "away" if scaling is Scaling.TFLM_DOUBLE else "up"
    return to_nearest(Fraction(high, 1 << right), ties)


@pytest.mark.parametrize("scaling", Scaling)
def test_rules_equal_their_definition(scaling: Scaling) -> None:
    rng = Random(31)
    for trial in range(400):
        real = math.ldexp(rng.uniform(0.5, 1.0), rng.randint(-14, 3))
        if trial % 4 == 0:  # ties are frequent
            real = rng.choice([1, 3, 5]) * 2.0 ** -rng.randint(1, 10)
        real = float(np.float32(real)) if scaling is Scaling.FP32_HALF_EVEN else real
        mult, shift = multiplier_of(real, scaling)
        size = 1 << rng.choice([4, 10, 17, 26])
        values = [rng.randint(-size, size) for _ in range(20)]
        got = apply_scaling(np.array(values), np.array(mult), np.array(shift), scaling)
        assert got.tolist() == [defined(x, mult, shift, scaling) for x in values], (real, trial)


@pytest.mark.parametrize("scaling", Scaling)
def test_channels_have_numbers_of_their_own(scaling: Scaling) -> None:
    reals = [0.5, 0.0078125, 1.0, 0.0]
    pairs = [multiplier_of(real, scaling) for real in reals]
    mult, shift = np.array(pairs).T
    values = np.arange(-60, 60).reshape(-1, 4)
    got = apply_scaling(values, mult, shift, scaling)
    for channel, (m, s) in enumerate(pairs):
        wanted = [defined(int(x), m, s, scaling) for x in values[:, channel]]
        assert got[:, channel].tolist() == wanted


def largest_scale(scaling: Scaling) -> float:
    """The largest real number that a rule takes."""
    bound = 2.0**30 if scaling.fixed_point else 2.0**scaling.precision
    return bound * (1 - 2.0 ** -min(scaling.precision, 52))


def any_scale(rng: Random, scaling: Scaling) -> float:
    """A real number from 2**-60 to 2**60, or the largest that the rule takes."""
    real = math.ldexp(rng.uniform(0.5, 1.0), rng.randint(-59, 60))
    real = float(np.float32(real)) if scaling is Scaling.FP32_HALF_EVEN else real
    return min(real, largest_scale(scaling))


ENDS = [-(1 << 31), 1 - (1 << 31), -(10**6), -2049, -1, 0, 1, 2048, 10**6, (1 << 31) - 1]


@pytest.mark.parametrize("scaling", Scaling)
def test_every_scale_at_every_size(scaling: Scaling) -> None:
    """Results beyond 64 bits are as exact as small ones."""
    rng, widest = Random(60), 0
    for real in [largest_scale(scaling), *(any_scale(rng, scaling) for _ in range(300))]:
        mult, shift = multiplier_of(real, scaling)
        room = max(0, 31 - shift) if scaling.fixed_point else 0
        values = [v >> room for v in ENDS] + [rng.randint(-(1 << 31), 1 << 31) >> room]
        # Inputs whose product is near a power of two, where integer types end.
        for power in (31, 32, 52, 53, 61, 62, 63, 64):
            near = round(2.0**power / real)
            values += [v for v in (near - 1, near, -near) if abs(v) <= (1 << 31 - room) - 1]
        got = apply_scaling(np.array(values), np.array(mult), np.array(shift), scaling)
        wanted = [defined(x, mult, shift, scaling) for x in values]
        assert got.tolist() == wanted, real
        widest = max(widest, *(abs(v).bit_length() for v in wanted))
    assert widest == {"fp32_half_even": 55, "double_half_away": 84}.get(scaling.value, 31)


def test_a_product_of_2_to_the_63_is_positive() -> None:
    got = apply_scaling(
        np.array([2048, -(10**6)]), np.array(1 << 52), np.array(0), Scaling.DOUBLE_HALF_AWAY
    )
    assert got.tolist() == [1 << 63, -(10**6) << 52]


@pytest.mark.parametrize("scaling", Scaling)
def test_scales_too_large_for_a_rule_are_refused(scaling: Scaling) -> None:
    multiplier_of(largest_scale(scaling), scaling)
    for power in (30 if scaling.fixed_point else scaling.precision, 60, 127, 1000):
        with pytest.raises(ValueError, match=r"a scale of .* is too large"):
            multiplier_of(2.0**power, scaling)


@pytest.mark.parametrize("scaling", Scaling)
def test_values_of_more_than_32_bits_are_refused(scaling: Scaling) -> None:
    one = np.array([1])
    with pytest.raises(ValueError, match="leave the 32 bits"):
        apply_scaling(np.array([(1 << 31) + 1]), one, one * 31, scaling)
    if scaling.fixed_point:
        with pytest.raises(ValueError, match="after a shift by 10"):
            apply_scaling(np.array([1 << 22]), one, one * 21, scaling)


def test_fixed_point_numbers_are_rounded_to_31_bits() -> None:
    assert multiplier_of(0.5, Scaling.TFLM_DOUBLE) == (1 << 30, 31)
    assert multiplier_of(1.0, Scaling.TFLM_DOUBLE) == (1 << 30, 30)
    assert multiplier_of(1.0 - 2.0**-40, Scaling.TFLM_DOUBLE) == (1 << 30, 30)
    assert multiplier_of(2.0**-40, Scaling.TFLM_DOUBLE) == (0, 31)


def test_floats_are_taken_as_they_are() -> None:
    real = float(np.float32(0.1))
    mult, shift = multiplier_of(real, Scaling.FP32_HALF_EVEN)
    assert Fraction(mult, 1 << shift) == Fraction(real)
    with pytest.raises(ValueError, match="not a number of 24 bits"):
        multiplier_of(0.1, Scaling.FP32_HALF_EVEN)
    mult, shift = multiplier_of(0.1, Scaling.DOUBLE_HALF_AWAY)
    assert Fraction(mult, 1 << shift) == Fraction(0.1)


@pytest.mark.parametrize("real", [-0.5, math.inf, math.nan, 2.0**40])
def test_other_numbers_are_refused(real: float) -> None:
    with pytest.raises(ValueError):
        multiplier_of(real, Scaling.TFLM_DOUBLE)
