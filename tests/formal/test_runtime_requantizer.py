"""The shifter, and the rounding and clamp behind it, equal formulas of distances.

All values of 65 bits at shifts that need each part of the shifter; all shifted values, roundings,
offsets and bounds. Round.FLOAT is held against its definition, two roundings one after the other.
Both pipelines have no feedback, so that all runs of their latency are all there are.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Mux, Signal, Value, signed

from hwgen.contract.features import Feature
from hwgen.contract.isa import DOUBLE_BITS, FLOAT_RESULTS, SINGLE_BITS, Round
from hwgen.gateware.engine.result.runtime_requantizer import (
    BIASED,
    RESULT_BITS,
    ROUNDING,
    WHOLE,
    RoundClamp,
    Scale,
    fraction_of,
    scaled,
)

from .prover import prove

SHIFTS = (0, 1, 2, 8, 21, 27, 31, 32, 36, 46, 50, 63)
"""Each part of each of them is there, and both ends."""


def still(m: Module, ports: list[Value], depth: int) -> Signal:
    """Assume that ports stay for ``depth`` cycles; returns what is high in the last one."""
    cycle, end = Signal(range(depth + 1), name="cycle"), Signal(name="end")
    m.d.sync += cycle.eq(Mux(cycle == depth, cycle, cycle + 1))
    for number, port in enumerate(ports):
        before = Signal.like(port, name=f"before_{number}")
        m.d.sync += before.eq(port)
        with m.If(cycle != 0):
            m.d.comb += Assume(port == before)
    m.d.comb += end.eq(cycle == depth)
    return end


class ScaleProof(Elaboratable):
    """A free value at one shift."""

    def __init__(self, shift: int, without: tuple[Feature, ...] = ()) -> None:
        self.shift, self.without = shift, without
        self.value, self.double = Signal(signed(BIASED)), Signal()
        self.ports = [self.value, self.double]

    def elaborate(self, platform):
        m = Module()
        end = still(m, self.ports, Scale.LATENCY)
        m.submodules.dut = dut = Scale(BIASED, self.without)
        m.d.comb += [
            dut.value.eq(self.value),
            dut.shift.eq(self.shift),
            dut.doubled.eq(self.double),
        ]
        large = self.shift > DOUBLE_BITS and Feature.DOUBLE not in self.without
        fraction = fraction_of(self.without)
        cleared = (self.value >> DOUBLE_BITS) << DOUBLE_BITS
        value = Mux(self.double & large, cleared, self.value) << fraction
        floor = value >> self.shift
        over = (floor >= 1 << WHOLE + fraction - 1) | (floor < -1 << WHOLE + fraction - 1)
        with m.If(end):
            m.d.comb += [
                Assert(dut.o.over == over),
                Assert(dut.o.negative == (self.value < 0)),
                Assert(dut.o.large == large),
                Assert(over | (dut.o.value == floor)),
                Assert(dut.o.rest == (value != floor << self.shift)),
            ]
        return m


class RoundProof(Elaboratable):
    """A free shifted value, offset and pair of bounds, with one rounding."""

    def __init__(self, how: Round, wrong: bool = False, without: tuple[Feature, ...] = ()) -> None:
        self.how, self.wrong, self.without = how, wrong, without
        self.below = 1 + fraction_of(without)  # bits behind the point
        self.scaled, self.rounding = Signal(scaled(without)), Signal(ROUNDING)
        self.ports = [self.scaled.as_value(), self.rounding.as_value()]

    def elaborate(self, platform):
        m = Module()
        end = still(m, self.ports, RoundClamp.LATENCY)
        given, rounding = self.scaled, self.rounding
        m.submodules.dut = dut = RoundClamp(self.without)
        m.d.comb += [
            dut.i.eq(given),
            dut.rounding.eq(rounding),
            Assume(rounding.low <= rounding.high),
            Assume(rounding.how == self.how),
            Assume(given.over | (given.negative == given.value[-1])),
        ]
        # The bits that were left out are less than one, and more than none.
        value = Cat(given.rest, given.value).as_signed()
        nearest, expected = Signal(signed(WHOLE + 3)), Signal(signed(RESULT_BITS))
        m.d.comb += nearest.eq(self._rounded(m, value) + rounding.offset)
        low, high = rounding.low, rounding.high
        within = Mux(nearest < low, low, Mux(nearest > high, high, nearest))
        outside = Mux(given.negative, low, high)
        m.d.comb += expected.eq(Mux(given.over, outside, within) + self.wrong)
        with m.If(end):
            m.d.comb += Assert(dut.o == expected)
        return m

    def _rounded(self, m: Module, value: Value) -> Value:
        if self.how is Round.FLOAT:
            return self._float(m, value)
        if self.how is Round.DOUBLE:
            up = divided(value, self.below, Round.HALF_AWAY)
            return Mux(self.scaled.large, up, divided(value, self.below, Round.FLOOR))
        return divided(value, self.below, self.how)

    def _float(self, m: Module, value: Value) -> Value:
        """24 significant bits first: as many are dropped as there are beyond them."""
        bits = self.below + FLOAT_RESULTS.bit_length()
        size, once = Signal(bits, name="size"), Signal(bits + 1, name="once")
        m.d.comb += [size.eq(Mux(value < 0, -value, value)), once.eq(size)]
        # What has more bits is clipped.
        m.d.comb += Assume((value < 1 << bits) & (value > -1 << bits))
        for drop in range(1, bits - SINGLE_BITS + 1):
            with m.If(size[SINGLE_BITS + drop - 1]):
                m.d.comb += once.eq(divided(size, drop, Round.HALF_EVEN) << drop)
        whole = divided(once, self.below, Round.HALF_EVEN)
        return Mux(value < 0, -whole, whole)


def divided(value: Value, shift: int, how: Round) -> Value:
    """The lower neighbour, or the upper one where that is the nearer, or as near and chosen."""
    lower, unit = value >> shift, 1 << shift
    rest = value[:shift]
    twice = rest << 1
    negative = value < 0
    chosen = {
        Round.HALF_EVEN: lower[0],
        Round.HALF_AWAY: ~negative,
        Round.HALF_TO_ZERO: negative,
    }
    if how in chosen:
        return lower + ((twice > unit) | ((twice == unit) & chosen[how]))
    if how is Round.FLOOR:
        return lower
    return lower + ((negative if how is Round.TO_ZERO else ~negative) & (rest != 0))


@pytest.mark.parametrize("shift", SHIFTS)
def test_scale(shift: int, tmp_path: Path) -> None:
    proof = ScaleProof(shift)
    assert prove(proof, proof.ports, Scale.LATENCY + 1, tmp_path, "bmc") == "PASS"


LEFT_OUT = (Feature.FLOAT, Feature.DOUBLE)
"""Without these a requantizer keeps the half and whether there is more."""


@pytest.mark.parametrize("shift", SHIFTS)
def test_scale_without_roundings(shift: int, tmp_path: Path) -> None:
    proof = ScaleProof(shift, LEFT_OUT)
    assert prove(proof, proof.ports, Scale.LATENCY + 1, tmp_path, "bmc") == "PASS"


@pytest.mark.parametrize("how", [how for how in Round if how.name.lower() not in LEFT_OUT])
def test_round_clamp_without_roundings(how: Round, tmp_path: Path) -> None:
    proof = RoundProof(how, without=LEFT_OUT)
    assert prove(proof, proof.ports, RoundClamp.LATENCY + 1, tmp_path, "bmc") == "PASS"


@pytest.mark.parametrize("how", Round)
def test_round_clamp(how: Round, tmp_path: Path) -> None:
    proof = RoundProof(how)
    assert prove(proof, proof.ports, RoundClamp.LATENCY + 1, tmp_path, "bmc") == "PASS"


def test_a_wrong_formula_is_found(tmp_path: Path) -> None:
    proof = RoundProof(Round.HALF_EVEN, wrong=True)
    assert prove(proof, proof.ports, RoundClamp.LATENCY + 1, tmp_path, "bmc") == "FAIL"
