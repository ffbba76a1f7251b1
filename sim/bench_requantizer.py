"""Requantizers: every rounding and overflow on every accumulator; thresholds of real scales."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module, Shape, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.gateware.common.counter import index_shape
from hwgen.gateware.common.requantizer import Requantizer, RequantParameters
from hwgen.gateware.common.streams import beat, element
from hwgen.numeric import Overflow, QType, Rounding, ceil_div, requantize
from hwgen.plan import latency

from .units import STEADY, Pair, UnitCase, by_name, choices, join, run_case


class Beats(wiring.Component):
    """Requantizers as a stream that can not be held up: accumulators and index in."""

    def __init__(self, name: str, acc: Shape, lanes: int, parameters: RequantParameters) -> None:
        self.unit = Requantizer(name, acc, lanes, parameters)
        groups = ceil_div(parameters.channels, lanes)
        inputs = data.StructLayout({"acc": beat(acc, lanes), "index": index_shape(groups)})
        outputs = stream.Signature(beat(element(parameters.out), lanes))
        super().__init__({"i": In(stream.Signature(inputs)), "o": Out(outputs)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.requantizer = unit = self.unit
        m.d.comb += [
            self.i.ready.eq(1),
            unit.valid.eq(self.i.valid),
            unit.acc.eq(self.i.payload.acc),
            unit.index.eq(self.i.payload.index),
            self.o.valid.eq(unit.o_valid),
            self.o.payload.eq(unit.o),
        ]
        return m


def thresholds(values: np.ndarray, results: np.ndarray) -> np.ndarray:
    """Accumulators (accumulators, channels) at whose upper side any channel's result changes.

    With their neighbours, and both ends of the range.
    """
    steps = np.flatnonzero((np.diff(results, axis=0) != 0).any(axis=1))
    near = {int(n) for step in steps for n in range(step - 1, step + 3)}
    near |= {0, len(values) - 1}
    return values[sorted(n for n in near if 0 <= n < len(values))]


def case(
    name: str, acc: Shape, lanes: int, parameters: RequantParameters, most: int = 80
) -> UnitCase:
    """All accumulators where they are few, else thresholds; each given to every channel."""
    low = -(1 << acc.width - 1) if acc.signed else 0
    values = np.arange(low, low + (1 << acc.width))
    p = parameters

    def golden(accumulators: np.ndarray) -> np.ndarray:
        spread = np.repeat(accumulators[:, None], p.channels, axis=1)
        mult, bias = np.array(p.mult), np.array(p.bias)
        return np.asarray(requantize(spread, mult, bias, np.array([p.shift]), p.out, p.clip))

    if len(values) > 256:
        values = thresholds(values, golden(values))
        picked = np.random.default_rng(1).choice(values[1:-1], min(most, len(values) - 2), False)
        values = np.unique(np.concatenate([values[:1], picked, values[-1:]]))
    results = golden(values)
    groups = ceil_div(p.channels, lanes)
    beats, want, masks = [], [], []
    in_mask, out_mask = (1 << acc.width) - 1, (1 << p.out.width) - 1
    for value, row in zip(values.tolist(), results.tolist(), strict=True):
        for group in range(groups):
            part = row[group * lanes : (group + 1) * lanes]
            word = join([value & in_mask] * lanes, acc.width)
            beats.append(word | group << (acc.width * lanes))
            want.append(join([result & out_mask for result in part], p.out.width))
            masks.append((1 << (p.out.width * len(part))) - 1)
    return UnitCase(
        name, lambda: Beats(name, acc, lanes, parameters), beats, want, masks,
        completes=range(len(beats)), latency=latency.requantizer(p.multiplies, p.channels),
        steady=True, stalls=False,
    )  # fmt: skip


def cases() -> Iterator[UnitCase]:
    """One for each rounding, with changing overflow; then several channels and lanes."""
    overflows = cycle(Overflow)
    for number, rounding in enumerate(Rounding):
        qtype = QType(number % 3 != 0, 4, 0, rounding, next(overflows))
        parameters = RequantParameters((1,), (number - 5,), 1 + number % 4, qtype)
        yield case(f"round_{rounding.value}", signed(7), 1, parameters)
    for overflow in Overflow:
        qtype = QType(True, 5, 0, Rounding.HALF_UP, overflow)
        parameters = RequantParameters((3,), (7,), 2, qtype, clip=(-9, 11))
        yield case(f"over_{overflow.value}", signed(7), 1, parameters)
    narrow = QType(True, 8, 0, Rounding.HALF_EVEN, Overflow.SATURATE)
    mults, biases = (181, 77, 3, 250, 1), (1000, -3000, 0, 77, -1)
    yield case("scales", signed(14), 2, RequantParameters(mults, biases, 12, narrow, (-100, 99)))
    signs = RequantParameters((5, -7, 0), (0, 40, -9), 6, narrow)
    yield case("signs", unsigned(11), 3, signs)
    # Everything is shifted out.
    yield case("far", signed(6), 1, RequantParameters((1,), (-3,), 12, narrow))


CASES = list(cases())


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return by_name(CASES)


@cocotb.test()
@cocotb.parametrize(case=choices(CASES), gaps=STEADY)
async def requantizer(dut: Any, case: UnitCase, gaps: Pair) -> None:
    await run_case(dut, case, gaps)
