"""Rescaler against the rules as their runtimes compute them, close to every tie."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from amaranth.hdl import Shape, signed, unsigned

from hwgen.gateware.stream.rescaler import RescaleParameters, Rescaler, Rule
from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling, multiplier_of
from hwgen.plan import latency
from tests.helpers.streams import join, run, split, together


def close_to_a_tie(rng: Random, rule: Rule, low: int, high: int) -> tuple[int, int, int]:
    """An input and a multiplier whose product is as near k + 1/2 as the precision allows."""
    x = rng.choice([rng.randint(low, high), rng.randint(max(low, -3000), min(high, 3000))]) or 1
    k = rng.choice([0, 0, 1, 2, rng.randint(0, 130)])
    real = (k + 0.5) / abs(x)
    if rule is Rule.FP32_HALF_EVEN:
        real = float(np.float32(real))
    mult, shift = multiplier_of(real, Scaling[rule.name])
    mult = max(1, mult + rng.choice([-1, 0, 0, 1]))
    return x, mult, max(shift, 1)


def check(rule: Rule, x: Shape, seed: int, lanes: int, clip: tuple[int, int] | None = None) -> None:
    """Inputs beside ties and at the ends of their range, every channel; a beat a cycle."""
    rng, channels = Random(seed), 6
    print(f"seed {seed}")
    low = -(1 << (x.width - 1)) if x.signed else 0
    high = low + (1 << x.width) - 1
    bias = tuple(rng.choice([0, rng.randint(-500, 500)]) for _ in range(channels))
    # The scaled inputs of a rule have 32 bits.
    margin = 600 if x.width == 32 else 0
    low, high = low + margin, high - margin
    bias = tuple(0 for _ in bias) if x.width == 32 else bias
    found = [close_to_a_tie(rng, rule, low, high) for _ in range(channels)]
    mult, shift = tuple(f[1] for f in found), tuple(f[2] for f in found)
    offset = rng.randint(-128, 127)
    out = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE)
    op = ops.Rescale(Scaling[rule.name], np.array(mult), np.array(shift), out, np.array(bias),
                     offset, clip)  # fmt: skip
    values = {low, low + 1, -1 if x.signed else 0, 0, 1, high - 1, high}
    # Half a unit in the last place of a float, and what is beside it: inputs are rounded too.
    lost = max(0, x.width - rule.precision) if rule.precision else 0
    halves = [sign * (1 << n) + d for n in range(lost) for sign in (-1, 1) for d in (-1, 0, 1)]
    for (value, *_), b in zip(found, bias, strict=True):
        for scaled in (value, value * 3, -value, *(value + d for d in (1, -1, *halves))):
            values.add(min(max(scaled - b, low), high))
    ordered = sorted(values)
    columns = np.repeat(np.array(ordered)[:, None], channels, 1)
    source = QType(x.signed, x.width, 0, Rounding.FLOOR, Overflow.SATURATE)
    wanted = op.golden([columns], [Tensor("x", (channels,), source)])

    p = RescaleParameters(rule, mult, shift, bias, offset, out, clip)
    assert p.latency(x) == latency.rescale(channels, rule.precision, p.narrows(x))
    unit = Rescaler("r", x, lanes, p)
    groups = -(-channels // lanes)
    sent = [(n, group) for n in range(len(ordered)) for group in range(groups)]

    async def process(ctx) -> None:
        for cycle in range(len(sent) + unit.latency):
            row, index = sent[cycle] if cycle < len(sent) else (0, 0)
            ctx.set(unit.valid, cycle < len(sent) and cycle % 7 != 6)
            ctx.set(unit.acc.as_value(), join([ordered[row]] * lanes, x.width))
            ctx.set(unit.index, index)
            await ctx.tick()
            of = cycle - unit.latency + 1
            valid = 0 <= of < len(sent) and of % 7 != 6
            assert ctx.get(unit.o_valid) == valid, "latency"
            if not valid:
                continue
            row, index = sent[of]
            got = split(ctx.get(unit.o.as_value()), signed(8), lanes)
            for lane in range(min(lanes, channels - index * lanes)):
                channel = index * lanes + lane
                assert got[lane] == wanted[row, channel], f"{ordered[row]}, channel {channel}: {p}"

    run(together(r=unit), process)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("rule", Rule)
def test_beside_ties(rule: Rule, seed: int) -> None:
    width = (12, 20, 24, 25, 29, 32)[seed % 6]
    check(rule, signed(width) if seed % 4 or width == 32 else unsigned(width), seed, 1 + seed % 4)


@pytest.mark.parametrize("rule", Rule)
def test_clip(rule: Rule) -> None:
    check(rule, signed(16), 99, 2, (-3, 40))


def test_one_parameter_for_all_channels() -> None:
    """Parameters that are constants come without a memory."""
    out = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE)
    p = RescaleParameters(Rule.FP32_HALF_EVEN, (3, 3), (2, 2), (1, 1), 0, out)
    unit = Rescaler("r", signed(8), 1, p)

    async def process(ctx) -> None:
        ctx.set(unit.acc.as_value(), 5)
        for _ in range(unit.latency + 1):
            await ctx.tick()
        assert split(ctx.get(unit.o.as_value()), signed(8), 1) == [4]  # 6 * 3 / 4 = 4.5: even

    run(together(r=unit), process)


def test_bad_parameters() -> None:
    out = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE)
    with pytest.raises(ValueError, match="one integer a channel"):
        RescaleParameters(Rule.TFLM_DOUBLE, (1, 2), (1,), (0, 0), 0, out)
    with pytest.raises(ValueError, match="negative"):
        RescaleParameters(Rule.TFLM_DOUBLE, (-1,), (1,), (0,), 0, out)


FLOATS = [rule for rule in Rule if rule.precision]


@pytest.mark.parametrize("rule", FLOATS)
def test_results_beyond_the_significand_are_refused_where_they_would_be_seen(rule: Rule) -> None:
    """A float of 24 bits has no 2**24 + 1; the rescaler has."""
    bits = rule.precision
    x = signed(bits + 2) if bits < 30 else signed(32)
    mult = 1 if bits < 30 else 1 << 22
    wide = QType(True, bits + 2, 0, Rounding.FLOOR, Overflow.SATURATE)
    wraps = QType(True, 8, 0, Rounding.FLOOR, Overflow.WRAP)
    for out in (wide, wraps):
        with pytest.raises(ValueError, match=f"keeps results beyond {bits} bits"):
            Rescaler("r", x, 1, RescaleParameters(rule, (mult,), (0,), (0,), 0, out))
        RescaleParameters(rule, (mult,), (3,), (0,), 0, out).check(x)
    RescaleParameters(rule, (mult,), (0,), (0,), 0, replace(wide, width=bits)).check(x)


@pytest.mark.parametrize("rule", FLOATS)
def test_results_beyond_the_significand_saturate(rule: Rule) -> None:
    """The widest results of the largest multiplier: beyond int64 for a float64."""
    out = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE)
    mult = ((1 << rule.precision) - 1, 1 << (rule.precision - 1))
    p = RescaleParameters(rule, mult, (0, 1), (0, 0), 5, out)
    values = [-(1 << 31), -(10**6), -2048, -1, 0, 1, 2048, (1 << 31) - 1]
    unit = Rescaler("r", signed(32), 1, p)
    got = []

    async def process(ctx) -> None:
        sent = [(value, index) for value in values for index in range(2)]
        for cycle in range(len(sent) + unit.latency):
            value, index = sent[min(cycle, len(sent) - 1)]
            ctx.set(unit.acc.as_value(), join([value], 32))
            ctx.set(unit.index, index)
            await ctx.tick()
            if cycle >= unit.latency - 1 and len(got) < len(sent):
                got.append(split(ctx.get(unit.o.as_value()), signed(8), 1)[0])

    run(together(r=unit), process)
    assert got == [max(-128, min(127, 5 + v * m)) for v in values for m in mult]
