"""Multipliers of any operand widths, narrow and in limbs, against Python's integers."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from amaranth.hdl import Shape, signed, unsigned

from hwgen.gateware.common.multiplier import LowProduct, Multiplier, MultiplyAdd, WideMultiplier
from tests.helpers.shapes import limits
from tests.helpers.streams import run

SHAPES = [unsigned(1), signed(1), unsigned(2), signed(8), unsigned(17), signed(18), unsigned(18)]
WIDE = [unsigned(19), signed(19), signed(35), unsigned(36), signed(40), unsigned(52)]


def operands(rng: Random, shape: Shape) -> int:
    low, high = limits(shape)
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
    pairs += [(x, y) for x in limits(a) for y in limits(b)]

    async def process(ctx: Any) -> None:
        for cycle, (x, y) in enumerate(pairs):
            ctx.set(multiplier.a, x)
            ctx.set(multiplier.b, y)
            await ctx.tick()
            of = cycle + 1 - kind.LATENCY
            if of >= 0:
                assert ctx.get(multiplier.p) == pairs[of][0] * pairs[of][1]

    run(multiplier, process)


@pytest.mark.parametrize(
    ("a", "b", "out"), [(1, 1, 1), (1, 5, 8), (7, 12, 12), (10, 16, 12), (10, 12, 4), (9, 8, 17)]
)
def test_the_lowest_bits_of_a_product_each_cycle(a: int, b: int, out: int) -> None:
    rng, unit = Random(a * b * out), LowProduct(a, b, out)
    pairs = [(operands(rng, unsigned(a)), operands(rng, unsigned(b))) for _ in range(100)]

    async def process(ctx: Any) -> None:
        for cycle, (x, y) in enumerate(pairs):
            ctx.set(unit.a, x)
            ctx.set(unit.b, y)
            await ctx.tick()
            of = cycle + 1 - LowProduct.LATENCY
            if of >= 0:
                assert ctx.get(unit.p) == pairs[of][0] * pairs[of][1] % (1 << out)

    run(unit, process)


@pytest.mark.parametrize(
    ("a", "b"),
    [(19, 19), (32, 32), (33, 32), (35, 20), (35, 35), (36, 32), (43, 32), (52, 35)],
)
def test_a_product_and_a_sum_each_cycle(a: int, b: int) -> None:
    """The summand comes later than the factors; the result has no bit more than it needs."""
    rng, shapes = Random(a * b), [signed(a), signed(b), signed(a + b - 1), signed(a + b)]
    unit = MultiplyAdd(*shapes)
    cases = [[operands(rng, shape) for shape in shapes[:3]] for _ in range(60)]
    cases += [
        [x, y, z] for x in limits(shapes[0]) for y in limits(shapes[1]) for z in limits(shapes[2])
    ]

    async def process(ctx: Any) -> None:
        for cycle, (x, y, _) in enumerate(cases):
            ctx.set(unit.a, x)
            ctx.set(unit.b, y)
            if cycle >= MultiplyAdd.AHEAD:
                ctx.set(unit.c, cases[cycle - MultiplyAdd.AHEAD][2])
            await ctx.tick()
            of = cycle + 1 - MultiplyAdd.LATENCY
            if of >= 0:
                x, y, z = cases[of]
                assert ctx.get(unit.p) == x * y + z

    run(unit, process)


def test_a_product_and_a_sum_refuse() -> None:
    with pytest.raises(ValueError, match=r"operand unsigned\(32\) is not signed"):
        MultiplyAdd(unsigned(32), signed(32), signed(64), signed(65))
    with pytest.raises(ValueError, match="an operand of 18 bits: 19 to"):
        MultiplyAdd(signed(32), signed(18), signed(64), signed(65))
