"""MAC array against sums of products in Python's integers and hwgen.numeric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Shape, signed, unsigned

from hwgen.gateware.common.dot import tree_levels
from hwgen.gateware.common.mac import MacArray, MacParameters
from hwgen.numeric import (
    Overflow,
    PowerCode,
    QType,
    Rounding,
    apply_overflow,
    round_shift,
    type_for_range,
)
from hwgen.plan import latency
from tests.helpers.shapes import limits
from tests.helpers.streams import join, run, split


def operand(rng: Random, shape: Shape) -> int:
    """Any value, an extreme every other time."""
    low, high = limits(shape)
    return rng.choice([low, high]) if rng.random() < 0.5 else rng.randint(low, high)


def exact_accumulator(x: Shape, w: Shape, products: int) -> QType:
    """The narrowest accumulator that so many products can not overflow."""
    ends = [a * b * products for a in limits(x) for b in limits(w)]
    return type_for_range(min(*ends, 0), max(ends))


def added(acc: int, total: int, p: MacParameters) -> int:
    """The accumulator after one more group of products."""
    if p.exact:
        return acc + total
    raised = np.array([(acc << p.drop) + total], dtype=object)
    return int(apply_overflow(round_shift(raised, p.drop, p.acc.rounding), p.acc)[0])


@dataclass
class Step:
    """One cycle: operands [pixel][lane] and [pe][lane], and what they belong to."""

    x: list[list[int]]
    w: list[list[int]]
    enable: bool
    first: bool
    last: bool
    slot: int


@dataclass
class Schedule:
    """Sums of a few steps each, one after the other or ``psums`` of them interleaved."""

    p: MacParameters
    pe: int
    pixels: int
    psums: int
    steps: list[Step] = field(default_factory=list)

    def fill(self, rng: Random, sums: int, gaps: float) -> None:
        for _ in range(sums):
            length = rng.choice([1, 2, 5])
            for n in range(length):
                for slot in range(self.psums):
                    while rng.random() < gaps:
                        self._step(rng, False, rng.random() < 0.5, True, rng.randrange(self.psums))
                    self._step(rng, True, n == 0, n == length - 1, slot)

    def _step(self, rng: Random, enable: bool, first: bool, last: bool, slot: int) -> None:
        def values(count: int, one: Callable[[], int]) -> list[list[int]]:
            return [[one() for _ in range(self.p.simd)] for _ in range(count)]

        x = values(self.pixels, lambda: self._operand(rng))
        w = values(self.pe, lambda: self._weight(rng))
        self.steps.append(Step(x, w, enable, first, last, slot))

    def _operand(self, rng: Random) -> int:
        if self.p.signs:
            return rng.choice([v for v in (-1, 0, 1) if self.p.x.signed or v >= 0])
        return operand(rng, self.p.x)

    def _weight(self, rng: Random) -> int:
        code = self.p.powers
        if code is None:
            return operand(rng, self.p.w)
        values = [sign << n for n in range(code.low, code.high + 1) for sign in (-1, 1)]
        return rng.choice([*values, 0] if code.zero else values)

    def scatter(self, rng: Random, length: int, gaps: float) -> None:
        """Sums that go on in any order: a slot again at once, or after 1, 2, 3, ... others."""
        left = dict.fromkeys(range(self.psums), 0)
        for _ in range(length):
            while rng.random() < gaps:
                self._step(rng, False, rng.random() < 0.5, True, rng.randrange(self.psums))
            slot = rng.randrange(self.psums)
            begins = not left[slot]
            left[slot] = rng.randint(1, 6) if begins else left[slot]
            left[slot] -= 1
            self._step(rng, True, begins, not left[slot], slot)

    def moves(self) -> list[tuple[bool, bool]]:
        """Of each step: its sum comes from the psum memory, it goes there."""
        enabled = [n for n, s in enumerate(self.steps) if s.enable]
        before = dict(zip(enabled[1:], enabled, strict=False))
        behind = dict(pairwise(enabled))
        found = []
        for n, s in enumerate(self.steps):
            others = [
                m is None or self.steps[m].slot != s.slot for m in (before.get(n), behind.get(n))
            ]
            found.append((not s.first and others[0], not s.last and others[1]))
        return found

    def results(self) -> dict[int, list[int]]:
        """The step of each finished sum and its accumulators, pixel-major."""
        accs = [[0] * (self.pixels * self.pe) for _ in range(self.psums)]
        done = {}
        for n, s in enumerate(self.steps):
            if not s.enable:
                continue
            if s.first:
                accs[s.slot] = [0] * (self.pixels * self.pe)
            totals = [sum(a * b for a, b in zip(x, w, strict=True)) for x in s.x for w in s.w]
            pairs = zip(accs[s.slot], totals, strict=True)
            accs[s.slot] = [added(acc, total, self.p) for acc, total in pairs]
            if s.last:
                done[n] = accs[s.slot]
        return done


def check(schedule: Schedule) -> None:
    p = schedule.p
    array = MacArray(p, schedule.pe, schedule.pixels, schedule.psums)
    assert p.latency == latency.mac(p.simd)
    want, moves = schedule.results(), schedule.moves()
    read, written = [], []

    async def process(ctx: Any) -> None:
        for cycle in range(len(schedule.steps) + p.latency):
            if cycle < len(schedule.steps):
                s = schedule.steps[cycle]
                ctx.set(array.x.as_value(), join([v for r in s.x for v in r], p.x.width))
                codes = [p.encode(v) for r in s.w for v in r]
                ctx.set(array.w.as_value(), join(codes, p.stored.width))
                ctx.set(array.first, s.first)
                ctx.set(array.last, s.last)
                ctx.set(array.slot, s.slot)
                ctx.set(array.resumes, moves[cycle][0])
                ctx.set(array.saves, moves[cycle][1])
            ctx.set(array.enable, cycle < len(schedule.steps) and schedule.steps[cycle].enable)
            if ctx.get(array.psum_read):
                read.append(cycle - p.psum_read_latency)
            if ctx.get(array.psum_write):
                written.append(cycle - p.psum_write_latency)
            await ctx.tick()
            of = cycle + 1 - p.latency
            assert ctx.get(array.done) == (of in want), f"done of step {of}"
            if of in want:
                got = split(ctx.get(array.acc.as_value()), p.acc_shape, len(want[of]))
                assert got == want[of], f"sum that ends at step {of}"
        if schedule.psums > 1:
            enabled = [(n, m) for n, m in enumerate(moves) if schedule.steps[n].enable]
            assert read == [n for n, (resumes, _) in enabled if resumes]
            assert written == [n for n, (_, saves) in enabled if saves]

    run(array, process)


def shape(rng: Random, most: int = 32) -> Shape:
    width = rng.choice([1, 2, 8, most, rng.randint(1, most)])
    return signed(width) if rng.random() < 0.5 else unsigned(width)


@pytest.mark.parametrize("seed", range(16))
def test_exact_sums_of_any_widths(seed: int) -> None:
    rng = Random(seed)
    x, w, simd = shape(rng), shape(rng), rng.choice([1, 2, 3, 4, 5, 9, 17])
    p = MacParameters(x, w, exact_accumulator(x, w, 5 * simd), simd)
    schedule = Schedule(p, rng.randint(1, 3), rng.randint(1, 2), 1)
    schedule.fill(rng, 12, rng.choice([0.0, 0.4]))
    check(schedule)


CODES = {
    "binary": PowerCode(0, 0, False),
    "binary_scaled": PowerCode(3, 3, False),
    "ternary": PowerCode(0, 0, True),
    "powers": PowerCode(0, 6, True),
    "powers_without_0": PowerCode(2, 5, False),
}


def power_parameters(code: PowerCode, x: Shape, simd: int, signs: bool = False) -> MacParameters:
    w = signed(code.high + 2)
    return MacParameters(x, w, exact_accumulator(x, w, 5 * simd), simd, powers=code, signs=signs)


@pytest.mark.parametrize("x", [signed(8), unsigned(8), unsigned(1), signed(1)], ids=repr)
@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_powers_of_two(code: PowerCode, x: Shape) -> None:
    """Weights by shifts and signs, all of the operands' extremes among them."""
    rng = Random(f"{code} {x}")
    schedule = Schedule(power_parameters(code, x, rng.choice([1, 3, 9])), 2, 1, rng.choice([1, 2]))
    schedule.fill(rng, 12, 0.2)
    check(schedule)


@pytest.mark.parametrize("code", ["binary", "binary_scaled"])
@pytest.mark.parametrize("x", [signed(2), signed(5), unsigned(1)], ids=repr)
@pytest.mark.parametrize("simd", [1, 2, 7, 33])
def test_signs_are_counted(simd: int, x: Shape, code: str) -> None:
    """XNOR and popcount, with zeros among the operands as padding has them."""
    rng = Random(f"{simd} {x}")
    schedule = Schedule(power_parameters(CODES[code], x, simd, signs=True), 3, 2, 1)
    schedule.fill(rng, 12, 0.2)
    check(schedule)


def test_signs_need_weights_that_are_signs() -> None:
    with pytest.raises(ValueError, match="weights are signs"):
        power_parameters(CODES["ternary"], signed(2), 4, signs=True)


@pytest.mark.parametrize("psums", [2, 3, 4, 7])
@pytest.mark.parametrize("gaps", [0.0, 0.4])
def test_interleaved_partial_sums(psums: int, gaps: float) -> None:
    """Slots in turn, with gaps in which another slot is named but not enabled."""
    rng = Random(psums)
    p = MacParameters(signed(8), signed(6), exact_accumulator(signed(8), signed(6), 15), 3)
    schedule = Schedule(p, 2, 1, psums)
    schedule.fill(rng, 8, gaps)
    check(schedule)


@pytest.mark.parametrize("psums", [2, 3, 4, 8])
@pytest.mark.parametrize("gaps", [0.0, 0.3])
def test_scattered_partial_sums(psums: int, gaps: float) -> None:
    """The same psum again after any number of steps; none is moved that is in the accumulator."""
    rng = Random(psums)
    p = MacParameters(signed(8), signed(6), exact_accumulator(signed(8), signed(6), 18), 3)
    schedule = Schedule(p, 2, 1, psums)
    schedule.scatter(rng, 150, gaps)
    slots = [s.slot for s in schedule.steps if s.enable]
    distances = {
        next((k for k in range(1, n + 1) if slots[n - k] == slot), 0)
        for n, slot in enumerate(slots)
    }
    assert distances >= {1, 2, 3}
    check(schedule)


@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("rounding", list(Rounding))
def test_given_accumulators(rounding: Rounding, overflow: Overflow) -> None:
    """Rounding and overflow act after each group; narrow ones overflow all the time."""
    rng = Random(f"{rounding} {overflow}")
    drop, simd = rng.choice([0, 1, 3]), rng.choice([1, 2, 3])
    x, w = shape(rng, 6), shape(rng, 5)
    acc = QType(True, rng.randint(3, 10), 0, rounding, overflow)
    p = MacParameters(x, w, acc, simd, exact=False, drop=drop)
    schedule = Schedule(p, 2, 1, rng.choice([1, 1, 3]))
    schedule.fill(rng, 15, 0.1)
    check(schedule)


def test_the_tree_has_the_levels_that_the_plan_counts() -> None:
    levels = {1: 0, 2: 1, 3: 2, 8: 2, 9: 3, 32: 3, 33: 4, 128: 4, 129: 5}
    assert {n: tree_levels(n) for n in levels} == levels
    assert all(tree_levels(n) == latency.adder_tree(n) for n in range(1, 300))


@pytest.mark.parametrize("what", ["pe", "pixels", "psums"])
def test_refuses_nothing_of_something(what: str) -> None:
    p = MacParameters(signed(8), signed(8), exact_accumulator(signed(8), signed(8), 1), 1)
    with pytest.raises(ValueError, match=f"{what} must be at least 1"):
        MacArray(p, **({"pe": 1} | {what: 0}))
