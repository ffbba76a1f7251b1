"""Cast against rounding and overflow as they are defined, element by element."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from amaranth.hdl import signed

from hwgen.gateware.stream.cast import Cast, CastParameters
from hwgen.numeric import Overflow, QType, Rounding
from tests.gateware.common.test_requantizer import in_range, rounded
from tests.helpers.streams import join, run, split, together

FRAC = 3
ROWS = ((0, 2), (1, -1), (3, 0))
"""The types of each beat's lanes; -1: zero."""


def parameters(rounding: Rounding, overflow: Overflow) -> CastParameters:
    """Types narrower, wider and finer than the input, with and without a sign."""
    sizes = ((True, 4, 1), (False, 3, 2), (True, 7, 4), (True, 1, 0))
    types = tuple(QType(sign, width, frac, rounding, overflow) for sign, width, frac in sizes)
    out = QType(True, 8, 4, rounding, overflow)
    return CastParameters(types, FRAC, out, ROWS)


def expected(cast: Cast, number: int, x: int) -> int:
    p = cast.parameters
    if number < 0:
        return 0
    qtype = p.types[number]
    real = Fraction(x, 1 << FRAC)
    code = in_range(rounded(real * Fraction(2) ** qtype.frac, qtype.rounding), qtype)
    return code << (p.out.frac - qtype.frac)


@pytest.mark.parametrize("overflow", list(Overflow))
def test_every_value_by_every_type(overflow: Overflow) -> None:
    """All roundings side by side; each beat ``latency`` cycles later, a beat a cycle."""
    casts = [Cast(f"{r}", signed(6), 2, parameters(r, overflow)) for r in Rounding]
    sent = [(x, n) for x in range(-32, 32) for n in range(len(ROWS))]
    latency = casts[0].latency
    assert {cast.latency for cast in casts} == {latency}

    async def process(ctx: Any) -> None:
        for cycle in range(len(sent) + latency):
            x, index = sent[cycle] if cycle < len(sent) else (0, 0)
            for cast in casts:
                # A gap now and then: a result must not depend on what follows.
                ctx.set(cast.valid, cycle < len(sent) and cycle % 7 != 6)
                ctx.set(cast.acc.as_value(), join([x, ~x], 6))
                ctx.set(cast.index, index)
            await ctx.tick()
            of = cycle - latency + 1
            valid = 0 <= of < len(sent) and of % 7 != 6
            for cast in casts:
                assert ctx.get(cast.o_valid) == valid
                if valid:
                    x, index = sent[of]
                    wanted = [
                        expected(cast, number, value)
                        for number, value in zip(ROWS[index], (x, ~x), strict=True)
                    ]
                    got = split(ctx.get(cast.o.as_value()), signed(8), 2)
                    assert got == wanted, (cast.image, x, index)

    run(together(**{cast.image: cast for cast in casts}), process)


def test_refuses_beats_of_another_width() -> None:
    with pytest.raises(ValueError, match="every beat needs 3 lanes"):
        Cast("c", signed(6), 3, parameters(Rounding.FLOOR, Overflow.WRAP))
