"""Dense units of several foldings, against golden and the event model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cocotb
from amaranth.lib import wiring

from hwgen.ir import Accumulator, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, ceil_div
from hwgen.plan import latency

from .bench_conv import PIXEL, SIGNED, WEIGHT, requantization, weights
from .units import GAPS, Pair, UnitCase, by_name, choices, planned, run_case

FRAMES = 4


def case(
    name: str,
    x: Tensor,
    op: ops.Dense,
    pe: int,
    simd: int,
    multiplies: bool,
    smallest: bool = False,
) -> UnitCase:
    """One dense layer with its requantization."""
    outputs = op.weights.shape[-1]
    requant = requantization(outputs, len(name), multiplies)
    made = planned(
        name, x, [op, requant], fold=(pe, simd, 1), lanes=simd, smallest=smallest, frames=FRAMES
    )
    if smallest:
        return made
    # The last inputs stay for all outputs and are taken with the last of them; from the first
    # ones: MAC array, shadow FIFO, requantizers, output FIFO.
    last = ceil_div(x.size, simd) - 1
    folds = ceil_div(outputs, pe)
    delay = 1 - folds + latency.rom((last + 1) * folds) + latency.mac(simd) + 1
    delay += latency.requantizer(multiplies, outputs) + 1
    return replace(made, completes=[last], latency=delay, undisturbed=True)


def cases() -> Iterator[UnitCase]:
    """Inputs and outputs that do not divide, a single fold, narrow accumulators."""
    x, signed = Tensor("x", (13,), PIXEL), Tensor("x", (8,), SIGNED)
    thirteen = ops.Dense(weights((13, 7), 1), WEIGHT)
    yield case("dense_folds", x, thirteen, 3, 4, multiplies=True)
    yield case("dense_pe", x, thirteen, 7, 2, multiplies=False)
    yield case("dense_two", x, thirteen, 4, 1, multiplies=False)
    yield case("dense_full", signed, ops.Dense(weights((8, 5), 2), WEIGHT), 5, 8, multiplies=True)
    yield case("dense_small", x, thirteen, 2, 3, multiplies=True, smallest=True)
    narrow = Accumulator(QType(True, 7, 4, Rounding.TO_ZERO, Overflow.WRAP), 3)
    wraps = ops.Dense(weights((8, 6), 3), WEIGHT, accumulator=narrow)
    yield case("dense_narrow", signed, wraps, 2, 3, multiplies=False)


CASES = list(cases())


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return by_name(CASES)


@cocotb.test()
@cocotb.parametrize(case=choices(CASES), gaps=GAPS)
async def dense(dut: Any, case: UnitCase, gaps: Pair) -> None:
    await run_case(dut, case, gaps)
