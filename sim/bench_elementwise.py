"""Requantization of streams, argmax, change of lanes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import signed
from amaranth.lib import wiring

from hwgen.gateware.stream.elementwise import Regroup
from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan import latency
from hwgen.plan.dataflow.units import StreamShape

from .units import GAPS, Pair, UnitCase, by_name, choices, planned, run_case, used, words

WIDE = QType(True, 12, 4, Rounding.FLOOR, Overflow.SATURATE)
NARROW = QType(False, 5, 2, Rounding.HALF_AWAY, Overflow.SATURATE)
BITS = 6


def requant(name: str, op: ops.Requantize, lanes: int, smallest: bool = False) -> UnitCase:
    """Each beat comes a fixed time after it is taken."""
    made = planned(name, Tensor("x", (3, 4, 5), WIDE), [op], lanes=lanes, smallest=smallest)
    first = op.mult.tolist()[0]
    multiplies = len(set(op.mult.tolist())) > 1 or first & (first - 1) != 0
    delay = latency.requantizer(multiplies, 5) + 1
    return replace(made, completes=range(len(made.beats)), latency=delay, steady=not smallest)


def argmax(name: str, shape: tuple[int, ...], qtype: QType) -> UnitCase:
    """Each index comes a fixed time after its pixel's last channel."""
    x = Tensor("x", shape, qtype)
    made = planned(name, x, [ops.ArgMax()])
    lasts = range(x.channels - 1, len(made.beats), x.channels)
    return replace(made, completes=lasts, latency=latency.ARGMAX + 1, steady=True)


def regroup(name: str, source: tuple[int, int], target: tuple[int, int]) -> UnitCase:
    """(lanes, elements of a pixel) on both sides; the same elements in the same order."""
    pixels = 6 * np.lcm(source[1], target[1])
    rng = Random(name)
    low = -(1 << BITS - 1)
    values = np.array([rng.randrange(low, -low) for _ in range(pixels)])
    sides = [StreamShape(pixels // pixel, pixel, lanes, BITS) for lanes, pixel in (source, target)]
    beats = words(values, sides[0])
    # With no more elements a beat going out than coming in, the first leaves a cycle later.
    at_once = target[0] <= source[0]
    steady = None
    if sides[0].beats >= sides[1].beats:
        steady = True
    return UnitCase(
        name, lambda: Regroup(signed(BITS), *source, *target), beats,
        words(values, sides[1]), used(sides[1], 1),
        completes=[0] if at_once else [], latency=1, steady=steady,
    )  # fmt: skip


def cases() -> Iterator[UnitCase]:
    """Several lanes, ties, wider and narrower beats, flattening."""
    scaled = ops.Requantize.scaled
    channels = scaled(NARROW, mult=[3, 17, 5, 9, 30], bias=[9, -40, 0, 77, 1], shift=8)
    yield requant("requant_scales", channels, 2)
    yield requant("requant_shift", scaled(NARROW, shift=4, clip=(3, 28)), 5)
    yield requant("requant_small", channels, 3, smallest=True)
    ties = QType(True, 2, 0, Rounding.FLOOR, Overflow.SATURATE)
    yield argmax("argmax_ties", (2, 3, 7), ties)
    yield argmax("argmax_one", (40,), WIDE)
    yield regroup("regroup_narrow", (4, 7), (3, 7))
    yield regroup("regroup_wide", (2, 5), (5, 5))
    yield regroup("regroup_flat", (3, 4), (4, 12))
    yield regroup("regroup_split", (5, 10), (2, 5))


CASES = list(cases())


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return by_name(CASES)


@cocotb.test()
@cocotb.parametrize(case=choices(CASES), gaps=GAPS)
async def elementwise(dut: Any, case: UnitCase, gaps: Pair) -> None:
    await run_case(dut, case, gaps)
