"""Whatever a program says, the fetcher comes to an end or to an error, and rests afterwards.

The program is free in every bit that is looked at. Units take what they are given and finish it in
time; whether they are ready is theirs. All runs of a bounded program are searched to beyond the
cycle by which it must be over.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Elaboratable, Fragment, Module, Mux, Signal

from hwgen.contract.isa import HEADER, SLOT, Opcode
from hwgen.gateware.engine.fetch import dispatcher
from hwgen.gateware.engine.fetch.dispatcher import UNITS
from hwgen.gateware.engine.fetch.fetcher import FAULTS, Fetcher, fault

from .prover import prove

WORK = 2
"""Cycles that a unit takes at most to accept a descriptor, and to finish it."""
QUIET = 2


class Proof(Elaboratable):
    """A fetcher, a memory of ``slots`` slots that answers at once, and units.

    faults : masters and units find errors when they like. bound : cycles until it must be over.
    tile : the program begins with one.
    """

    def __init__(self, slots: int, bound: int, faults: bool, tile: bool = False) -> None:
        self.slots, self.bound, self.faults, self.tile = slots, bound, faults, tile
        self.ports: list[Signal] = []

    def _free(self, width: int, name: str) -> Signal:
        signal = Signal(width, name=f"free_{name}")
        self.ports.append(signal)
        return signal

    def elaborate(self, platform):
        m = Module()
        dut = Fetcher(SLOT)
        m.submodules.dut = Fragment.get(dut, None)
        cycle = Signal(range(self.bound + 2), name="cycle")
        over = Signal(name="over")
        with m.If(cycle <= self.bound):
            m.d.sync += cycle.eq(cycle + 1)
        with m.If(dut.done):
            m.d.sync += over.eq(1)
        m.d.comb += [
            dut.start.eq(cycle == 0),
            dut.limit.eq(self.slots * SLOT),
            Assert((cycle <= self.bound) | over),
        ]
        # After the end all is at rest.
        with m.If(over):
            m.d.comb += [
                Assert(~dut.busy),
                Assert(~dut.request.valid),
                *(Assert(~getattr(dut, unit).valid) for unit in UNITS),
            ]
        self._memory(m, dut)
        for unit in UNITS:
            self._unit(m, dut, unit)
        for code in FAULTS:
            if self.faults:
                m.d.comb += getattr(dut, fault(code)).eq(self._free(1, fault(code)))
        return m

    def _memory(self, m: Module, dut: Fetcher) -> None:
        owed = Signal(8, name="owed")
        comes = Signal(name="comes")
        header = sum(field.width for field in HEADER)
        m.d.comb += [
            dut.request.ready.eq(~dut.stop),
            comes.eq(owed != 0),
            dut.masters_idle.eq(owed == 0),
            dut.data.valid.eq(comes),
            dut.data.payload.data.eq(self._free(header, "header")),
            dut.data.payload.error.eq(self._free(1, "error") & self.faults),
        ]
        begun = Signal(name="begun")
        with m.If(comes):
            m.d.sync += begun.eq(1)
        if self.tile:
            m.d.comb += Assume(~comes | begun | (dut.data.payload.data[:4] == Opcode.COMPUTE))
        asked = dut.request.valid & dut.request.ready
        m.d.sync += owed.eq(owed + Mux(asked, dut.request.payload.beats, 0) - comes)
        with m.If(dut.request.valid):
            m.d.comb += Assert(
                dut.request.payload.address + dut.request.payload.beats * SLOT <= dut.limit
            )

    def _unit(self, m: Module, dut: Fetcher, unit: str) -> None:
        port, finishes = getattr(dut, unit), self._free(1, f"{unit}_finishes")
        ready = self._free(1, f"{unit}_ready")
        waited, worked = Signal(2, name=f"{unit}_waited"), Signal(2, name=f"{unit}_worked")
        working = Signal(name=f"{unit}_working")
        takes = port.valid & port.ready
        m.d.comb += [
            port.ready.eq(ready & ~working),
            getattr(dut, f"finished_{unit}").eq(working & finishes),
            Assume(~port.valid | working | ready | (waited < WORK - 1)),
            Assume(~working | finishes | (worked < WORK - 1)),
        ]
        m.d.sync += [
            waited.eq(Mux(port.valid & ~working & ~takes, waited + 1, 0)),
            worked.eq(Mux(working & ~finishes, worked + 1, 0)),
            working.eq((working & ~finishes) | takes),
        ]
        with m.If(dut.flush):
            m.d.sync += [working.eq(0), waited.eq(0), worked.eq(0)]
        # A descriptor that is offered stays until it is taken.
        waits = Signal(name=f"{unit}_waits")
        m.d.sync += waits.eq(port.valid & ~port.ready & ~dut.flush)
        with m.If(waits):
            m.d.comb += Assert(port.valid)


@pytest.fixture(autouse=True)
def soon_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stall is called one after few cycles, so that runs are short."""
    monkeypatch.setattr(dispatcher, "QUIET_CYCLES", QUIET)


@pytest.mark.parametrize("faults", (False, True), ids=("well", "faults"))
def test_it_always_ends(faults: bool, tmp_path: Path) -> None:
    """Three slots: loads, stores, their waits, tiles that are cut off, no END."""
    proof = Proof(3, 30, faults)
    assert prove(proof, proof.ports, 32, tmp_path, "bmc") == "PASS"


def test_tiles_end_too(tmp_path: Path) -> None:
    """A tile and a descriptor behind it."""
    proof = Proof(7, 36, False, tile=True)
    assert prove(proof, proof.ports, 38, tmp_path, "bmc") == "PASS"


def test_a_bound_that_is_too_short_is_found(tmp_path: Path) -> None:
    proof = Proof(4, 16, False)
    assert prove(proof, proof.ports, 18, tmp_path, "bmc") == "FAIL"
