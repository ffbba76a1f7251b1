"""Requantizer against rounding and overflow as they are defined, on fractions."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Shape, signed, unsigned

from hwgen.gateware.common.requantizer import Requantizer, RequantParameters, shape_of
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan import latency
from tests.helpers.streams import join, run, split, together


def nearest(value: Fraction, tie: int) -> int:
    """The nearest integer; ``tie`` is what a value half way becomes."""
    low = floor(value)
    rest = value - low
    if rest == Fraction(1, 2):
        return tie
    return low + (rest > Fraction(1, 2))


def rounded(value: Fraction, rounding: Rounding) -> int:
    """A rational number rounded as the mode's definition says."""
    low, high = floor(value), ceil(value)
    toward, away = (low, high) if value > 0 else (high, low)
    even = low if low % 2 == 0 else high
    return {
        Rounding.FLOOR: low,
        Rounding.CEIL: high,
        Rounding.TO_ZERO: toward,
        Rounding.FROM_ZERO: away,
        Rounding.HALF_UP: nearest(value, high),
        Rounding.HALF_DOWN: nearest(value, low),
        Rounding.HALF_TO_ZERO: nearest(value, toward),
        Rounding.HALF_AWAY: nearest(value, away),
        Rounding.HALF_EVEN: nearest(value, even),
        Rounding.HALF_ODD: nearest(value, low + high - even if low != high else low),
    }[rounding]


def in_range(value: int, out: QType) -> int:
    """An integer brought into a type as its overflow mode's definition says."""
    low, high = out.min, out.max
    if out.overflow is Overflow.SATURATE_SYMMETRIC and out.signed:
        low = -high
    if out.overflow is Overflow.WRAP:
        kept = value & ((1 << out.width) - 1)
        return kept - (1 << out.width) if kept > high else kept
    if low <= value <= high:
        return value
    if out.overflow is Overflow.SATURATE_ZERO:
        return 0
    return low if value < low else high


def expected(p: RequantParameters, channel: int, acc: int) -> int:
    bias = p.bias[channel]
    if p.split_at is not None and p.bias_below is not None and acc < p.split_at[channel]:
        bias = p.bias_below[channel]
    value = Fraction(acc * p.mult[channel] + bias, 1 << p.shift)
    result = in_range(rounded(value, p.out.rounding), p.out)
    return result if p.clip is None else min(max(result, p.clip[0]), p.clip[1])


def check(cases: list[RequantParameters], acc: Shape, lanes: int, values: list[int]) -> None:
    """Feed every value to every channel of each case, a beat a cycle; exact equality.

    All cases have the same number of channels. The latency is asserted for each beat.
    """
    units = [Requantizer(f"r{n}", acc, lanes, p) for n, p in enumerate(cases)]
    groups = -(-cases[0].channels // lanes)
    sent = [(value, n % groups) for n, value in enumerate(v for v in values for _ in range(groups))]
    depth = max(p.latency for p in cases)
    for p in cases:
        assert p.latency == latency.requantizer(p.multiplies, p.channels)

    async def process(ctx: Any) -> None:
        for cycle in range(len(sent) + depth):
            # A gap now and then: a result must not depend on what follows.
            value, index = sent[cycle] if cycle < len(sent) else (0, 0)
            for unit in units:
                ctx.set(unit.valid, cycle < len(sent) and cycle % 7 != 6)
                ctx.set(unit.acc.as_value(), join([value] * lanes, acc.width))
                ctx.set(unit.index, index)
            await ctx.tick()
            for unit, p in zip(units, cases, strict=True):
                of = cycle - p.latency + 1
                valid = 0 <= of < len(sent) and of % 7 != 6
                assert ctx.get(unit.o_valid) == valid, f"latency of {p}"
                if not valid:
                    continue
                value, index = sent[of]
                shape = signed(p.out.width) if p.out.signed else unsigned(p.out.width)
                got = split(ctx.get(unit.o.as_value()), shape, lanes)
                for lane in range(lanes):
                    channel = index * lanes + lane
                    if channel < p.channels:
                        assert got[lane] == expected(p, channel, value), f"{value}: {p}"

    run(together(**{f"r{n}": unit for n, unit in enumerate(units)}), process)


def types(is_signed: bool, width: int) -> list[QType]:
    return [QType(is_signed, width, 0, r, o) for r in Rounding for o in Overflow]


@pytest.mark.parametrize("shift", range(9))
@pytest.mark.parametrize("is_signed", [True, False])
def test_every_rounding_and_overflow_over_all_accumulators(shift: int, is_signed: bool) -> None:
    """Six-bit accumulators, every shift up to beyond their width: exhaustive."""
    cases = [RequantParameters((1,), (3,), shift, out) for out in types(is_signed, 4 - shift // 3)]
    check(cases, signed(6), 1, list(range(-32, 32)))


@pytest.mark.parametrize("shift", [0, 1, 5])
def test_multipliers_of_channels_over_all_accumulators(shift: int) -> None:
    """Positive, negative and zero multipliers, biases of both signs, a group that is not full."""
    cases = [
        RequantParameters((3, -5, 0), (-7, 2, 1), shift, out, clip)
        for out in types(True, 5)
        for clip in (None, (-3, 9))
    ]
    check(cases, signed(5), 2, list(range(-16, 16)))


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("is_signed", [True, False])
def test_a_bias_on_each_side_of_a_pivot(is_signed: bool, same: bool) -> None:
    """Channels with pivots inside, at the ends of and beyond the range, or one for all."""
    pivots, below = ((0, 3, -9, 99, 16), (-7, 2, 1, 4, -90)) if not same else ((2,) * 5, (-4,) * 5)
    mult, bias = ((3, -5, 1, 2, 7), (9, 0, -1, 3, 5)) if not same else ((3,) * 5, (7,) * 5)
    cases = [
        RequantParameters(mult, bias, shift, types(True, 5)[0], clip, pivots, below)
        for shift in (0, 2, 4)
        for clip in (None, (-3, 9))
    ]
    acc = signed(5) if is_signed else unsigned(5)
    check(cases, acc, 2, list(range(-16, 16) if is_signed else range(32)))
    assert all(p.multiplies for p in cases)


def test_a_pivot_needs_its_biases() -> None:
    with pytest.raises(ValueError, match="belong together"):
        RequantParameters((1,), (0,), 1, types(True, 5)[0], None, (3,))
    with pytest.raises(ValueError, match="one integer a channel"):
        RequantParameters((1,), (0,), 1, types(True, 5)[0], None, (3,), (1, 2))


def test_a_common_power_of_two_needs_no_multiplier() -> None:
    p = RequantParameters((8, 8), (1, -20), 4, types(True, 4)[0])
    assert not p.multiplies
    assert p.latency == latency.requantizer(False, p.channels)
    check([p], signed(6), 1, list(range(-32, 32)))


@pytest.mark.parametrize("clip", [(2, 2), (-8, 7), (-8, -8), (0, 7)])
def test_clip_acts_after_overflow(clip: tuple[int, int]) -> None:
    cases = [RequantParameters((1,), (0,), 1, out, clip) for out in types(True, 4)]
    check(cases, signed(6), 1, list(range(-32, 32)))


def thresholds(rng: Random, p: RequantParameters, channel: int, low: int, high: int) -> list[int]:
    """Accumulators about which the result changes, their neighbours, and the extremes."""
    around = [low, low + 1, high - 1, high, 0, 1, -1]
    mult, bias = p.mult[channel], p.bias[channel]
    codes = [p.out.min, p.out.max, 0, *(rng.randint(p.out.min, p.out.max) for _ in range(6))]
    for code in codes if mult else []:
        for twice in (2 * code - 1, 2 * code, 2 * code + 1):
            centre = ((twice << p.shift) // 2 - bias) // mult
            around += range(centre - 2, centre + 3)
    return sorted({min(max(a, low), high) for a in around})


@pytest.mark.parametrize("seed", range(12))
def test_wide_accumulators_at_their_thresholds(seed: int) -> None:
    """Real sizes: accumulators up to 45 bits, multipliers up to 27, results up to 32."""
    rng = Random(seed)
    is_signed, width = rng.random() < 0.7, rng.randint(12, 45)
    acc = signed(width) if is_signed else unsigned(width)
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if is_signed else (0, (1 << width) - 1)
    cases = []
    for _ in range(6):
        out = QType(
            rng.random() < 0.5, rng.randint(1, 32), 0,
            rng.choice(list(Rounding)), rng.choice(list(Overflow)),
        )  # fmt: skip
        positive = rng.choice([1, 1 << rng.randint(0, 9), rng.randint(1, 1 << 27)])
        mult = rng.choice([positive, positive, -rng.randint(1, 999)])
        shift = max(0, width + abs(mult).bit_length() - out.width - rng.randint(0, 6))
        bias = rng.randint(-(1 << shift), 1 << shift)
        cases.append(RequantParameters((mult,), (bias,), shift, out))
    values = sorted({v for p in cases for v in thresholds(rng, p, 0, low, high)})
    check(cases, acc, 1, values)


def test_shape_of_is_the_narrowest() -> None:
    assert shape_of([0]) == unsigned(1)
    assert shape_of([0, 7]) == unsigned(3)
    assert shape_of([-1]) == signed(1)
    assert shape_of([-4, 3]) == signed(3)
    assert shape_of([-5, 3]) == signed(4)
    assert shape_of([-1, 4]) == signed(4)


def test_refuses_parameters_that_do_not_fit() -> None:
    out = types(True, 4)[0]
    with pytest.raises(ValueError, match="one integer a channel"):
        RequantParameters((1, 2), (0,), 1, out)
    with pytest.raises(ValueError, match="one integer a channel"):
        RequantParameters((), (), 1, out)
    with pytest.raises(ValueError, match="shift -1 is negative"):
        RequantParameters((1,), (0,), -1, out)
    with pytest.raises(ValueError, match="lanes must be at least 1"):
        Requantizer("r", signed(8), 0, RequantParameters((1,), (0,), 1, out))
    with pytest.raises(ValueError, match=r"clip"):
        RequantParameters((1,), (0,), 1, out, (3, 1))
    with pytest.raises(ValueError, match=r"clip"):
        RequantParameters((1,), (0,), 1, out, (-9, 1))
