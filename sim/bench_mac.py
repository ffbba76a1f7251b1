"""MAC arrays: exact and narrow accumulators, several sums in turn, any operand widths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module, Shape, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.gateware.common.counter import index_shape
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

from .units import STEADY, Pair, UnitCase, by_name, choices, join, run_case

SUMS = 12
"""Finished sums of each slot."""


@dataclass(frozen=True)
class Array:
    """Sizes of a MAC array under test. folds : beats that a sum takes."""

    pe: int
    pixels: int
    psums: int
    folds: int


class Beats(wiring.Component):
    """A MAC array as a stream that can not be held up."""

    def __init__(self, parameters: MacParameters, array: Array) -> None:
        self.unit = MacArray(parameters, array.pe, array.pixels, array.psums)
        lanes = data.ArrayLayout(parameters.x, parameters.simd * array.pixels)
        weights = data.ArrayLayout(parameters.stored, parameters.simd * array.pe)
        inputs = data.StructLayout(
            {"x": lanes, "w": weights, "first": 1, "last": 1, "slot": index_shape(array.psums)}
        )
        outputs = data.ArrayLayout(parameters.acc_shape, array.pe * array.pixels)
        super().__init__({"i": In(stream.Signature(inputs)), "o": Out(stream.Signature(outputs))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.array = unit = self.unit
        beat = self.i.payload
        m.d.comb += [
            self.i.ready.eq(1),
            unit.enable.eq(self.i.valid),
            unit.x.eq(beat.x),
            unit.w.eq(beat.w),
            unit.first.eq(beat.first),
            unit.last.eq(beat.last),
            unit.slot.eq(beat.slot),
            # Slots take their turns: of several, none is that of the beat before.
            unit.resumes.eq(~beat.first),
            unit.saves.eq(~beat.last),
            self.o.valid.eq(unit.done),
            self.o.payload.eq(unit.acc),
        ]
        return m


def bounds(shape: Shape) -> tuple[int, int]:
    """Smallest and largest value."""
    half = 1 << shape.width - 1
    return (-half, half - 1) if shape.signed else (0, 2 * half - 1)


def operands(shape: Shape, size: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Any values, a third of them extremes."""
    low, high = bounds(shape)
    values = rng.integers(low, high + 1, size)
    return np.where(rng.random(size) < 0.3, rng.choice([low, high], size), values)


def drawn(shape: Shape, size: tuple[int, ...], p: MacParameters, rng: Any) -> np.ndarray:
    """Operands, or weights where they are powers of two; -1, 0 and +1 where they are counted."""
    if p.powers is not None and shape is p.w:
        powers = [1 << n for n in range(p.powers.low, p.powers.high + 1)]
        return rng.choice([*powers, *(-n for n in powers), *([0] if p.powers.zero else [])], size)
    return rng.integers(-1, 2, size) if p.signs else operands(shape, size, rng)


def accumulate(start: np.ndarray, total: np.ndarray, p: MacParameters) -> np.ndarray:
    """One addition as the accumulator's type says."""
    if p.exact:
        return start + total
    return apply_overflow(round_shift((start << p.drop) + total, p.drop, p.acc.rounding), p.acc)


def case(name: str, p: MacParameters, a: Array, seed: int) -> UnitCase:
    """Random operands; the slots take turns, each sum takes ``folds`` of their beats."""
    rng = np.random.default_rng(seed)
    beats, want, completes = [], [], []
    for _ in range(SUMS):
        held = np.zeros((a.psums, a.pixels, a.pe), np.int64)
        for fold in range(a.folds):
            for slot in range(a.psums):
                x = drawn(p.x, (a.pixels, p.simd), p, rng)
                w = drawn(p.w, (a.pe, p.simd), p, rng)
                codes = np.array([[p.encode(int(v)) for v in row] for row in w])
                start = held[slot] if fold else np.zeros_like(held[slot])
                held[slot] = accumulate(start, x @ w.T, p)
                flags = int(fold == 0) | int(fold == a.folds - 1) << 1 | slot << 2
                word = flags
                for values, shape in ((codes, p.stored), (x, p.x)):
                    mask = (1 << shape.width) - 1
                    part = join([v & mask for v in values.ravel().tolist()], shape.width)
                    word = part | word << (shape.width * values.size)
                beats.append(word)
                if fold == a.folds - 1:
                    mask = (1 << p.acc_shape.width) - 1
                    done = [v & mask for v in held[slot].ravel().tolist()]
                    want.append(join(done, p.acc_shape.width))
                    completes.append(len(beats) - 1)
    return UnitCase(
        name, lambda: Beats(p, a), beats, want, completes=completes,
        # Here the operands come from beside, not out of a ROM.
        latency=latency.mac(p.simd), steady=True, stalls=False,
    )  # fmt: skip


def exact(x: Shape, w: Shape, simd: int, folds: int, **kind: Any) -> MacParameters:
    """Accumulators that hold every sum of so many beats."""
    corners = [a * b * simd * folds for a in bounds(x) for b in bounds(w)]
    qtype = type_for_range(min(corners), max(corners))
    return MacParameters(x, w, qtype, simd, **kind)


def cases() -> Iterator[UnitCase]:
    """Exact ones of several widths and folds, then ones that saturate, wrap and round."""
    yield case("mac_one", exact(unsigned(8), signed(6), 1, 3), Array(2, 1, 1, 3), 1)
    yield case("mac_tree", exact(unsigned(3), signed(4), 6, 2), Array(2, 2, 1, 2), 2)
    yield case("mac_wide", exact(signed(9), signed(9), 17, 2), Array(1, 1, 1, 2), 3)
    yield case("mac_bits", exact(unsigned(1), signed(1), 5, 4), Array(3, 1, 1, 4), 4)
    for psums in (2, 3, 5):
        parameters = exact(unsigned(4), signed(5), 3, 4)
        yield case(f"mac_slots{psums}", parameters, Array(2, 1, psums, 4), 5 + psums)
    powers = PowerCode(0, 5, True)
    yield case(
        "mac_powers", exact(signed(5), signed(7), 5, 3, powers=powers), Array(2, 1, 1, 3), 12
    )
    signs = {"powers": PowerCode(1, 1, False), "signs": True}
    yield case("mac_signs", exact(signed(2), signed(3), 11, 3, **signs), Array(3, 2, 1, 3), 13)
    narrow = (
        (Rounding.HALF_EVEN, Overflow.SATURATE, 2, 1),
        (Rounding.TO_ZERO, Overflow.WRAP, 0, 3),
        (Rounding.FLOOR, Overflow.SATURATE_SYMMETRIC, 3, 1),
        (Rounding.HALF_AWAY, Overflow.SATURATE_ZERO, 1, 2),
    )
    for seed, (rounding, overflow, drop, psums) in enumerate(narrow):
        qtype = QType(True, 9, 0, rounding, overflow)
        parameters = MacParameters(unsigned(4), signed(5), qtype, 3, exact=False, drop=drop)
        yield case(f"mac_{overflow.value}", parameters, Array(2, 1, psums, 4), 20 + seed)


CASES = list(cases())


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return by_name(CASES)


@cocotb.test()
@cocotb.parametrize(case=choices(CASES), gaps=STEADY)
async def mac(dut: Any, case: UnitCase, gaps: Pair) -> None:
    await run_case(dut, case, gaps)
