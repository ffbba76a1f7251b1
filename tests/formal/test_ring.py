"""Addresses of the row ring stay inside its memories: by induction, in runs of any length."""

from __future__ import annotations

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Elaboratable, Fragment, Module, Signal, unsigned

from hwgen.contract.geometry import WindowGeometry
from hwgen.gateware.stream.ring import RowRing

from .prover import prove, signals_of
from .watched import counter_holds, watching

GEOMETRIES = {
    "same": WindowGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (5, 4), 3, 2),
    "stride": WindowGeometry((3, 2), (2, 2), ((0, 0), (0, 0)), (7, 5), 2, 1),
    "sparse": WindowGeometry((2, 2), (3, 3), ((0, 0), (0, 0)), (7, 8), 1, 1),
    "corner": WindowGeometry((3, 3), (1, 1), ((2, 2), (2, 2)), (3, 3), 4, 2),
}


class Proof(Elaboratable):
    """A ring whose input and output do as they like."""

    def __init__(self, geometry: WindowGeometry, parallel: bool, wrong: bool = False) -> None:
        rows = max(geometry.rows_waited(r) + 1 for r in range(geometry.out_size[0])) + 1
        self.ring = RowRing(unsigned(1), geometry, rows, parallel)
        self.geometry, self.wrong = geometry, wrong
        self.ports = [Signal(name="valid"), Signal(name="ready")]

    def elaborate(self, platform):
        m = Module()
        with watching(queues=False) as counters:
            m.submodules.ring = fragment = Fragment.get(self.ring, None)
        state = signals_of(fragment)
        m.d.comb += [self.ring.i.valid.eq(self.ports[0]), self.ring.o.ready.eq(self.ports[1])]
        for counter in counters:
            counter_holds(m, counter)
        position = state.get("read_position")
        beats = self.geometry.beats
        place = state.get("column", 0) * beats + state.get("chunk", 0)
        m.d.comb += Assert(position == place + self.wrong)
        for name in ("window_slot", "read_slot"):
            if name in state:
                m.d.comb += Assert(state[name] < self.ring.rows)
        m.d.comb += Assert(state["asked_position_1"] < self.geometry.row_beats)
        if not self.ring.parallel and beats > 1:
            first = Signal.like(position, name="first")
            m.d.comb += first.eq(place - state.get("chunk", 0))
            m.d.comb += Assert(first + beats <= self.geometry.row_beats)
        return m


@pytest.mark.parametrize("parallel", (True, False), ids=("parallel", "serial"))
@pytest.mark.parametrize("name", GEOMETRIES)
def test_addresses(name: str, parallel: bool, tmp_path: Path) -> None:
    proof = Proof(GEOMETRIES[name], parallel)
    assert prove(proof, proof.ports, 4, tmp_path, "prove") == "PASS"


def test_a_wrong_invariant_is_found(tmp_path: Path) -> None:
    proof = Proof(GEOMETRIES["same"], True, wrong=True)
    assert prove(proof, proof.ports, 4, tmp_path, "prove") == "FAIL"
