"""When frames begin and end at several ports, against counts of what happened."""

from __future__ import annotations

from random import Random

import pytest
from amaranth.hdl import Cat, Module, Signal

from hwgen.gateware.stream.frames import any_of, first_of, last_of
from tests.helpers.pysim import simulate

CYCLES = 400


@pytest.mark.parametrize("ports", (2, 3))
@pytest.mark.parametrize("seed", range(3))
def test_the_first_and_the_last_of_each_number(ports: int, seed: int) -> None:
    """Ports at rates of their own, which drift apart and come together again."""
    rng = Random(f"{ports} {seed}")
    begins, ends = Signal(ports), Signal(ports)
    m = Module()
    first, behind = first_of(m, [begins[n] for n in range(ports)], "in")
    last = last_of(m, [ends[n] for n in range(ports)], "out")
    seen = Signal(ports + 2)
    m.d.comb += seen.eq(Cat(first, last, *behind))
    rates = [rng.random() for _ in range(ports)]
    counts = {name: [0] * ports for name in ("begins", "ends")}

    async def process(ctx) -> None:
        done = {"first": 0, "last": 0}
        for cycle in range(CYCLES):
            if cycle % 100 == 50:
                rng.shuffle(rates)
            before = list(counts["begins"])
            for name, signal in (("begins", begins), ("ends", ends)):
                moves = [rng.random() < rate for rate in rates]
                counts[name] = [n + move for n, move in zip(counts[name], moves, strict=True)]
                ctx.set(signal, sum(move << n for n, move in enumerate(moves)))
            now = ctx.get(seen)
            done["first"] += now & 1
            done["last"] += now >> 1 & 1
            assert done == {"first": max(counts["begins"]), "last": min(counts["ends"])}, cycle
            late = [n < max(before) for n in before]
            assert [bool(now >> 2 + n & 1) for n in range(ports)] == late, cycle
            await ctx.tick()

    simulate(m, process)
    assert max(counts["begins"]) - min(counts["begins"]) > 5, "they were apart"


def test_one_port_needs_no_gateware() -> None:
    m, event = Module(), Signal()
    first, behind = first_of(m, [event], "in")
    assert first is event and behind == [] and last_of(m, [event], "out") is event
    assert any_of([event]) is event
