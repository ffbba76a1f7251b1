"""The requantizer equals a formula that is made of distances, for every accumulator.

Its pipeline has no feedback, so that all runs of a little more than its latency are all there are.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from amaranth.hdl import Assert, Elaboratable, Module, Mux, Signal, Value, signed

from hwgen.gateware.common.requantizer import Requantizer, RequantParameters
from hwgen.numeric import Overflow, QType, Rounding

from .prover import prove

ACC = 9


def nearest(v: Value, shift: int, rounding: Rounding) -> Value:
    """``v / 2**shift`` rounded: the lower neighbour, or the upper one where that is right."""
    if shift == 0:
        return v
    lower = v >> shift
    above = (v - (lower << shift))[: shift + 1]  # distance to the lower neighbour
    below = ((1 << shift) - above)[: shift + 1]  # and to the upper one
    negative = v < 0
    tie = {
        Rounding.HALF_UP: 1,
        Rounding.HALF_DOWN: 0,
        Rounding.HALF_TO_ZERO: negative,
        Rounding.HALF_AWAY: ~negative,
        Rounding.HALF_EVEN: lower[0],
        Rounding.HALF_ODD: ~lower[0],
    }
    if rounding in tie:
        up: Value | int = (below < above) | ((below == above) & tie[rounding])
    else:
        wanted = {
            Rounding.FLOOR: 0,
            Rounding.CEIL: 1,
            Rounding.TO_ZERO: negative,
            Rounding.FROM_ZERO: ~negative,
        }
        up = (above != 0) & wanted[rounding]
    return lower + up


def within(value: Value, out: QType) -> Value:
    """The overflow mode, by comparison and subtraction."""
    if out.overflow is Overflow.WRAP:
        low = value[: out.width]
        return low.as_signed() if out.signed else low
    lowest = -out.max if out.overflow is Overflow.SATURATE_SYMMETRIC and out.signed else out.min
    over, under = value > out.max, value < lowest
    if out.overflow is Overflow.SATURATE_ZERO:
        return Mux(over | under, 0, value)
    return Mux(over, out.max, Mux(under, lowest, value))


class Proof(Elaboratable):
    """Requantizers of all overflow modes behind one free input."""

    def __init__(self, rounding: Rounding, seed: int) -> None:
        rng = Random(seed)
        self.acc = Signal(signed(ACC))
        self.cases = []
        for overflow in Overflow:
            for is_signed in (False, True):
                qtype = QType(is_signed, rng.randint(2, 6), 0, rounding, overflow)
                mult = rng.choice([1, 4, rng.randint(-9, 9) or 1])
                clip = (0, qtype.max - 1) if rng.random() < 0.3 else None
                parameters = RequantParameters(
                    (mult,), (rng.randint(-99, 99),), rng.choice([0, 1, 3, 5, 14]), qtype, clip
                )
                if overflow is Overflow.SATURATE:
                    sides = (rng.randint(-50, 50),), (rng.randint(-99, 99),)
                    parameters = replace(parameters, split_at=sides[0], bias_below=sides[1])
                self.cases.append(parameters)
        self.depth = max(p.latency for p in self.cases) + 2

    def elaborate(self, platform):
        m = Module()
        cycle = Signal(range(self.depth + 2))
        m.d.sync += cycle.eq(Mux(cycle == self.depth, cycle, cycle + 1))
        inputs = [self.acc]
        for n in range(self.depth):
            earlier = Signal.like(self.acc, name=f"acc_{n + 1}")
            m.d.sync += earlier.eq(inputs[-1])
            inputs.append(earlier)
        for n, p in enumerate(self.cases):
            dut = Requantizer(f"r{n}", signed(ACC), 1, p)
            m.submodules[f"dut{n}"] = dut
            m.d.comb += dut.acc[0].eq(self.acc)
            value = Signal(signed(40), name=f"value{n}")
            acc, bias = inputs[p.latency], Signal(signed(40), name=f"bias{n}")
            m.d.comb += bias.eq(p.bias[0])
            if p.split_at is not None and p.bias_below is not None:
                with m.If(acc < p.split_at[0]):
                    m.d.comb += bias.eq(p.bias_below[0])
            m.d.comb += value.eq(acc * p.mult[0] + bias)
            wide = Signal(signed(42), name=f"rounded{n}")
            m.d.comb += wide.eq(nearest(value, p.shift, p.out.rounding))
            expected = Signal(signed(42), name=f"expected{n}")
            result = within(wide, p.out)
            if p.clip is not None:
                bounded = Signal(signed(42), name=f"bounded{n}")
                m.d.comb += bounded.eq(result)
                low, high = p.clip
                result = Mux(bounded < low, low, Mux(bounded > high, high, bounded))
            m.d.comb += expected.eq(result)
            with m.If(cycle >= p.latency):
                m.d.comb += Assert(dut.o[0] == expected)
        return m


@pytest.mark.parametrize("rounding", list(Rounding), ids=lambda r: r.value)
def test_requantizer(rounding: Rounding, tmp_path: Path) -> None:
    proof = Proof(rounding, seed=len(rounding.value))
    print(proof.cases)
    assert prove(proof, [proof.acc], proof.depth + 1, tmp_path, "bmc") == "PASS"


def test_a_wrong_formula_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half up is not half down: the proof sees it."""
    proof = Proof(Rounding.HALF_UP, seed=3)
    out = QType(True, 4, 0, Rounding.HALF_DOWN, Overflow.SATURATE)
    proof.cases = [RequantParameters((1,), (0,), 3, out)]
    half_up = nearest
    monkeypatch.setitem(globals(), "nearest", lambda v, s, _: half_up(v, s, Rounding.HALF_UP))
    assert prove(proof, [proof.acc], proof.depth + 1, tmp_path, "bmc") == "FAIL"
