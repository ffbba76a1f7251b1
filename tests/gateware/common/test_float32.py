"""Sums, quotients and products of floats against NumPy's float32, and against exact integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hwgen.gateware.common.float32 import (
    EXACT,
    INFINITE,
    ONE,
    SIGNIFICANT,
    Float32Sum,
    SerialQuotient,
    word,
)
from hwgen.plan import latency
from tests.helpers.streams import run

TOP = 1 << SIGNIFICANT - 1
"""The smallest normal significand."""


def patterns(values: Sequence[float] | np.ndarray) -> list[int]:
    """Patterns of float32."""
    return np.asarray(values, np.float32).view(np.uint32).tolist()


def totals(vectors: Sequence[Sequence[int]]) -> list[list[int]]:
    """The words after each addition of patterns, which come as soon as they may."""
    unit, found = Float32Sum(), []

    async def process(ctx: Any) -> None:
        for vector in vectors:
            ctx.set(unit.clear, 1)
            await ctx.tick()
            ctx.set(unit.clear, 0)
            sums = [ctx.get(unit.total.as_value())]
            for pattern in vector:
                ctx.set(unit.add, 1)
                ctx.set(unit.part.as_value(), word(pattern))
                await ctx.tick()
                ctx.set(unit.add, 0)
                ctx.set(unit.part.as_value(), -1)  # it is looked at with ``add`` alone
                await ctx.tick().repeat(Float32Sum.CYCLES - 2)
                assert ctx.get(unit.total.as_value()) == sums[-1], "a cycle before it is due"
                await ctx.tick()
                sums.append(ctx.get(unit.total.as_value()))
            found.append(sums[1:])

    run(unit, process)
    return found


def check_sums(vectors: Sequence[Sequence[int]]) -> None:
    for vector, got in zip(vectors, totals(vectors), strict=True):
        wanted, total = [], np.float32(0)
        for part in np.array(vector, np.uint32).view(np.float32):
            total = total + part
            wanted.append(word(int(total.view(np.uint32))))
        assert got == wanted, [f"{pattern:#x}" for pattern in vector]


def test_sums_of_floats_that_lie_close_together_and_far_apart() -> None:
    """Differences of exponents up to 40, so that all, some or none of the bits count."""
    rng = np.random.default_rng(0)
    exponents = rng.integers(30, 200, (150, 1)) + rng.integers(-20, 21, (150, 3))
    check_sums((exponents << 23 | rng.integers(0, 1 << 23, (150, 3))).tolist())


def test_ties_of_sums_go_to_even() -> None:
    """Half a unit in the last place, one bit below and above it, with and without a carry."""
    vectors = []
    for first in (0, 1, 2, 3, (1 << 23) - 2, (1 << 23) - 1):
        for down in (1, 2, 23, 24, 25):
            for beside in (-1, 0, 1):
                vectors.append([ONE | first, ONE - (down << 23) + beside])
                vectors.append([ONE - (down << 23) + beside, ONE | first])
    # Both significands odd: their sum carries, and its last bit is half a unit.
    vectors += [[ONE | 1, ONE | last] for last in (0, 2, 4, (1 << 23) - 2, (1 << 23) - 4)]
    check_sums(vectors)


def test_the_smallest_floats() -> None:
    """Sums that have no highest bit, and those that get one."""
    least = [0, 1, 2, TOP - 1, TOP, TOP + 1, 2 * TOP - 1, 2 * TOP, 3 * TOP + 5]
    check_sums([[a, b, 1] for a in least for b in least])
    check_sums([[1, TOP - 1, TOP, ONE, 7], patterns([2.0**-149, 1e-40, 1e-38, 3e38])])


def results(unit: SerialQuotient, work: Sequence[tuple[int, int, bool]]) -> list[tuple[int, bool]]:
    """What each pair gives: ``a``, ``b``, and whether to divide; one begins where one ends."""
    found = []

    async def process(ctx: Any) -> None:
        for a, b, divide in work:
            ctx.set(unit.load, 1)
            ctx.set(unit.a, a)
            if unit.multiplies:
                ctx.set(unit.divide, divide)
            await ctx.tick()
            ctx.set(unit.load, 0)
            ctx.set(unit.a, -1)
            ctx.set(unit.b, b)
            if unit.multiplies:
                ctx.set(unit.divide, not divide)
                assert ctx.get(unit.divides) == divide
            await ctx.tick().repeat(SerialQuotient.LATENCY - 1)
            found.append((ctx.get(unit.exact), bool(ctx.get(unit.lost))))

    run(unit, process)
    return found


@pytest.mark.parametrize("more", [1, 8, 25])
def test_quotients_of_longer_dividends(more: int) -> None:
    """All of their bits count, also those that only make a quotient not whole."""
    rng = np.random.default_rng(more)
    work = [(int(b) << more | low, int(b), True) for b in (TOP, 2 * TOP - 1) for low in (0, 1)]
    for b in rng.integers(TOP, 2 * TOP, 40).tolist():
        work.append((int(rng.integers(TOP << more, 2 * TOP << more)), b, True))
        work.append((int(rng.integers(1, 1 << more)), b, True))
    wanted = [divmod(a << EXACT - 1, b << more) for a, b, _ in work]
    got = results(SerialQuotient(multiplies=False, more=more), work)
    assert got == [(exact, rest > 0) for exact, rest in wanted]


def test_bits_that_can_not_be_divided() -> None:
    for multiplies, more in ((False, EXACT), (False, -1), (True, 1)):
        with pytest.raises(ValueError, match=f"{more} bits more can not be divided"):
            SerialQuotient(multiplies, more)


@pytest.mark.parametrize("multiplies", [False, True])
def test_quotients_and_products(multiplies: bool) -> None:
    """Of the largest, the smallest, zero and any significands, in any order."""
    rng = np.random.default_rng(1)
    ends = [TOP, TOP + 1, 2 * TOP - 1, 3 * TOP // 2]
    pairs = [(a, b) for a in (0, 1, TOP - 1, *ends) for b in ends]
    pairs += rng.integers(TOP, 2 * TOP, (60, 2)).tolist()
    work = [(a, b, not multiplies or n % 3 == 0) for n, (a, b) in enumerate(pairs)]
    wanted = []
    for a, b, divide in work:
        exact, by = (a << EXACT - 1, b) if divide else (a * b, 1 << 2 * SIGNIFICANT - EXACT)
        wanted.append((exact // by, exact % by > 0))
    assert results(SerialQuotient(multiplies), work) == wanted


def test_cycles_are_those_of_the_plan() -> None:
    assert Float32Sum.CYCLES == latency.SOFTMAX_TABLE_SUM == 6
    assert SerialQuotient.LATENCY == latency.SOFTMAX_TABLE_EVERY == 27


def test_words() -> None:
    """Explicit highest bits, and the exponent of the smallest floats."""
    assert word(ONE) == 127 << SIGNIFICANT | TOP
    assert word(ONE | 5) == 127 << SIGNIFICANT | TOP | 5
    assert word(0) == 1 << SIGNIFICANT and word(3) == 1 << SIGNIFICANT | 3
    assert word(TOP) == 1 << SIGNIFICANT | TOP
    assert word(INFINITE - 1) == 254 << SIGNIFICANT | 2 * TOP - 1
    for wrong in (-1, INFINITE, 1 << 31):
        with pytest.raises(ValueError, match="is not the pattern of a number"):
            word(wrong)
