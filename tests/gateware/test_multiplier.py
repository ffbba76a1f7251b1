"""Multipliers of any operand widths, narrow and in limbs, against Python's integers."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from amaranth.hdl import Shape, signed, unsigned

from hwgen.gateware.multiplier import Multiplier, WideMultiplier
from tests.helpers.streams import run

SHAPES = [unsigned(1), signed(1), unsigned(2), signed(8), unsigned(17), signed(18), unsigned(18)]
WIDE = [unsigned(19), signed(19), signed(35), unsigned(36), signed(40), unsigned(52)]


def ends(shape: Shape) -> tuple[int, int]:
    if shape.signed:
        return -(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1
    return 0, (1 << shape.width) - 1


def operands(rng: Random, shape: Shape) -> int:
    low, high = ends(shape)
    return rng.choice([low, high, rng.randint(low, high), rng.randint(low, high)])


@pytest.mark.parametrize(
    ("kind", "a", "b"),
    [(Multiplier, a, b) for a in SHAPES for b in SHAPES]
    + [(WideMultiplier, a, b) for a in WIDE for b in (unsigned(8), signed(8), *WIDE)]
    + [(WideMultiplier, signed(8), signed(7))],
)
def test_a_product_each_cycle_after_the_latency(kind: type, a: Shape, b: Shape) -> None:
    rng = Random(a.width * 100 + b.width)
    multiplier = kind(a, b)
    pairs = [(operands(rng, a), operands(rng, b)) for _ in range(40)]
    pairs += [(x, y) for x in ends(a) for y in ends(b)]

    async def process(ctx: Any) -> None:
        for cycle, (x, y) in enumerate(pairs):
            ctx.set(multiplier.a, x)
            ctx.set(multiplier.b, y)
            await ctx.tick()
            of = cycle + 1 - kind.LATENCY
            if of >= 0:
                assert ctx.get(multiplier.p) == pairs[of][0] * pairs[of][1]

    run(multiplier, process)
