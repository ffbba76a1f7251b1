"""Convolution units of several foldings, against golden and the event model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from amaranth.lib import wiring

from hwgen.contract.geometry import WindowGeometry
from hwgen.ir import Accumulator, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, ceil_div
from hwgen.plan import latency
from hwgen.plan.dataflow.rules.requantize import needs_multiplier

from .units import GAPS, Pair, UnitCase, by_name, choices, planned, run_case

PIXEL = QType(False, 4, 3, Rounding.FLOOR, Overflow.SATURATE)
SIGNED = QType(True, 5, 3, Rounding.FLOOR, Overflow.SATURATE)
WEIGHT = QType(True, 4, 3, Rounding.HALF_EVEN, Overflow.SATURATE)
RESULT = QType(True, 6, 2, Rounding.HALF_EVEN, Overflow.SATURATE)


def weights(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Any codes of the weights' type."""
    return np.random.default_rng(seed).integers(WEIGHT.min, WEIGHT.max + 1, shape)


def requantization(outputs: int, seed: int, multiplies: bool) -> ops.Requantize:
    """Brings most sums into range."""
    rng = np.random.default_rng(seed)
    mult = rng.integers(1, 60, outputs) if multiplies else 1
    return ops.Requantize.scaled(
        RESULT, mult=mult, bias=rng.integers(-90, 90, outputs), shift=7 if multiplies else 3
    )


def case(
    name: str, x: Tensor, op: ops.Conv2D, fold: tuple[int, int, int], lanes: int,
    multiplies: bool = False, smallest: bool = False,
) -> UnitCase:  # fmt: skip
    """One convolution with its requantization."""
    outputs = op.weights.shape[-1]
    requant = requantization(outputs, len(name), multiplies)
    made = planned(name, x, [op, requant], fold=fold, lanes=lanes, smallest=smallest)
    if smallest:
        return made
    g = WindowGeometry(
        op.kernel, op.stride, op.pads(x), x.hwc[:2], x.channels, lanes, pixels=fold[2]
    )
    if g.first_steps > g.size[1]:
        return made
    # The window; all taps of the first outputs; MAC array; shadow FIFO; requantizers; output FIFO.
    first = g.rows_waited(0) * g.row_beats + g.first_steps * g.beats - 1
    folds = ceil_div(op.weights.size // outputs, fold[1])
    array = latency.rom(folds * ceil_div(outputs, fold[0])) + latency.mac(fold[1])
    requantizer = latency.requantizer(needs_multiplier(requant, x), outputs)
    delay = latency.FIRST_WINDOW + folds - 1 + array + 1 + requantizer + 1
    return replace(made, completes=[first], latency=delay, undisturbed=True)


def cases() -> Iterator[UnitCase]:
    """Folded in every direction, padded, with strides, narrow accumulators, smallest buffers."""
    x = Tensor("x", (5, 6, 3), PIXEL)
    same = ops.Conv2D(weights((3, 3, 3, 4), 1), WEIGHT, padding="same")
    yield case("conv_folds", x, same, (2, 5, 1), 2)
    yield case("conv_full", x, same, (4, 9, 1), 3, multiplies=True)
    yield case("conv_pixels", x, same, (4, 9, 3), 3)
    yield case("conv_small", x, same, (3, 7, 1), 1, smallest=True)
    signed = Tensor("x", (7, 6, 2), SIGNED)
    stride = ops.Conv2D(weights((3, 2, 2, 3), 2), WEIGHT, stride=(2, 2))
    yield case("conv_stride", signed, stride, (3, 4, 1), 2, multiplies=True)
    point = ops.Conv2D(weights((1, 1, 2, 3), 3), WEIGHT)
    yield case("conv_point", signed, point, (1, 2, 1), 2)
    narrow = QType(True, 8, 5, Rounding.HALF_UP, Overflow.SATURATE)
    wraps = ops.Conv2D(
        weights((3, 3, 2, 2), 4), WEIGHT, padding="same", accumulator=Accumulator(narrow, 4)
    )
    yield case("conv_narrow", signed, wraps, (2, 4, 1), 1)


CASES = list(cases())


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return by_name(CASES)


@cocotb.test()
@cocotb.parametrize(case=choices(CASES), gaps=GAPS)
async def conv(dut: Any, case: UnitCase, gaps: Pair) -> None:
    await run_case(dut, case, gaps)
