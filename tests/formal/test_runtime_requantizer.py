"""The shift, rounding and clamp of run-time parameters equal a formula of distances.

All values of 65 bits, both roundings, any bounds, and shifts that need each part of the shifter.
The pipeline has no feedback, so that all runs of a little more than its latency are all there are.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Const, Elaboratable, Module, Mux, Signal, Value, signed

from hwgen.gateware.engine.result.runtime_requantizer import (
    BIASED,
    RESULT_BITS,
    ShiftRoundClamp,
    rounding_of,
)

from .prover import prove

DEPTH = ShiftRoundClamp.LATENCY + 1
"""The rounding's registers, and the pipeline."""
SHIFTS = (0, 1, 2, 8, 21, 27, 31, 36, 46, 50, 63)
"""Each half of each of them is there, and both ends."""


class Proof(Elaboratable):
    """A free value, rounding and pair of bounds."""

    def __init__(self, shift: int, wrong: bool = False) -> None:
        self.shift, self.wrong = shift, wrong
        self.value, self.half_even = Signal(signed(BIASED)), Signal()
        self.low, self.high = Signal(signed(RESULT_BITS)), Signal(signed(RESULT_BITS))
        self.ports = [self.value, self.half_even, self.low, self.high]

    def elaborate(self, platform):
        m = Module()
        cycle = Signal(range(DEPTH + 1))
        m.d.sync += cycle.eq(Mux(cycle == DEPTH, cycle, cycle + 1))
        for port in self.ports:
            before = Signal.like(port, name=f"{port.name}_before")
            m.d.sync += before.eq(port)
            with m.If(cycle != 0):
                m.d.comb += Assume(port == before)
        m.d.comb += Assume(self.low <= self.high)
        m.submodules.dut = dut = ShiftRoundClamp()
        shift = Const(self.shift, 6)
        rounding = rounding_of(m, "rounding", shift, self.half_even, self.low, self.high)
        m.d.comb += [dut.rounding.eq(rounding), dut.value.eq(self.value)]
        nearest, expected = Signal(signed(BIASED + 1)), Signal(signed(RESULT_BITS))
        within = Mux(nearest < self.low, self.low, Mux(nearest > self.high, self.high, nearest))
        m.d.comb += [nearest.eq(self._nearest()), expected.eq(within + self.wrong)]
        with m.If(cycle == DEPTH):
            m.d.comb += Assert(dut.o == expected)
        return m

    def _nearest(self) -> Value:
        """The lower neighbour, or the upper one where that is nearer, or as near and even."""
        lower, unit = self.value >> self.shift, 1 << self.shift
        twice = (self.value - (lower << self.shift))[: self.shift + 1] << 1
        return lower + (self.half_even & ((twice > unit) | ((twice == unit) & lower[0])))


@pytest.mark.parametrize("shift", SHIFTS)
def test_shift_round_clamp(shift: int, tmp_path: Path) -> None:
    proof = Proof(shift)
    assert prove(proof, proof.ports, DEPTH + 1, tmp_path, "bmc") == "PASS"


def test_a_wrong_formula_is_found(tmp_path: Path) -> None:
    proof = Proof(3, wrong=True)
    assert prove(proof, proof.ports, DEPTH + 1, tmp_path, "bmc") == "FAIL"
