"""Queues: order kept, latency, and how many entries sustain a beat a cycle."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import cocotb
from amaranth.hdl import Module, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.gateware.common.counter import delay_line
from hwgen.gateware.common.fifo import CreditFifo

from .units import GAPS, Pair, UnitCase, by_name, choices, run_case

WIDTH = 9
BEATS = 120


class Pipeline(wiring.Component):
    """A pipeline of ``delay`` cycles that can not stall, and the FIFO at its end."""

    def __init__(self, delay: int, depth: int) -> None:
        self.delay, self.depth = delay, depth
        beats = stream.Signature(signed(WIDTH))
        super().__init__({"i": In(beats), "o": Out(beats)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fifo = fifo = CreditFifo(signed(WIDTH), self.depth)
        wiring.connect(m, fifo.o, wiring.flipped(self.o))
        m.d.comb += [
            self.i.ready.eq(fifo.room),
            fifo.take.eq(self.i.valid & fifo.room),
            fifo.push.eq(delay_line(m, self.i.valid & self.i.ready, self.delay, "push")),
            fifo.data.eq(delay_line(m, self.i.payload, self.delay, "data")),
        ]
        return m


def cases() -> Iterator[UnitCase]:
    """With just enough entries and with one fewer; in registers, small memories and block RAM."""
    rng = Random(1)
    beats = [rng.randrange(1 << WIDTH) for _ in range(BEATS)]
    every = range(BEATS)
    for delay, depth in ((0, 1), (0, 2), (1, 3), (4, 5), (4, 6), (1, 20)):
        yield UnitCase(
            f"fifo{delay}_{depth}", lambda d=delay, n=depth: Pipeline(d, n), beats, beats,
            completes=every, latency=delay + 1, steady=depth >= delay + 2,
        )  # fmt: skip


CASES = list(cases())


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return by_name(CASES)


@cocotb.test()
@cocotb.parametrize(case=choices(CASES), gaps=GAPS)
async def fifo(dut: Any, case: UnitCase, gaps: Pair) -> None:
    await run_case(dut, case, gaps)
