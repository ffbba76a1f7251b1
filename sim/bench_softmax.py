"""Softmax over the channels of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from amaranth.lib import wiring

from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan import latency

from .units import GAPS, Pair, UnitCase, by_name, choices, planned, run_case

SHIFT = 23


def probability(width: int, signed: bool) -> QType:
    """The type of a result."""
    low = -(1 << (width - 1)) if signed else 0
    return QType(signed, width, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-width, low)


def softmax(
    name: str, shape: tuple[int, ...], bits: int, out: QType, smallest: bool = False
) -> UnitCase:
    """Without gaps each result comes a fixed time after its channel."""
    x = Tensor("x", shape, QType(True, bits, 0, Rounding.HALF_AWAY, Overflow.SATURATE))
    made = planned(name, x, [ops.Softmax(1_700_000_003, SHIFT, out)], smallest=smallest)
    if smallest:
        return made
    gap, _ = latency.softmax(x.channels)
    # Results follow each other as channels do without gaps: each one as long after its channel.
    late = gap + latency.SOFTMAX + x.channels
    return replace(
        made, completes=range(len(made.beats)), latency=late, undisturbed=True, steady=False
    )


def table(
    name: str, shape: tuple[int, ...], out: QType, steps: int | None, smallest: bool = False
) -> UnitCase:
    """In float32, LiteRT's form or that of ONNX Runtime; frames end when the model says."""
    x = Tensor("x", shape, QType(False, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE))
    below = 0.02 * np.arange(256)
    op = ops.SoftmaxTable(np.exp((40 if steps else 0) - below), out, steps)
    made = planned(name, x, [op], smallest=smallest)
    return made if smallest else replace(made, steady=False)


def cases() -> Iterator[UnitCase]:
    """Several pixels of several channels, a vector of one, a queue of one."""
    yield softmax("softmax_pixels", (2, 2, 5), 8, probability(8, True))
    yield softmax("softmax_one", (1,), 1, probability(8, False))
    yield softmax("softmax_wide", (12,), 8, probability(16, False))
    yield softmax("softmax_small", (2, 1, 3), 4, probability(16, True), smallest=True)
    yield table("softmax_inverse", (2, 1, 4), probability(16, True), None)
    yield table("softmax_inverse_one", (1,), probability(8, False), None, smallest=True)
    yield table("softmax_quotient", (1, 2, 3), probability(8, True), 256)
    yield table("softmax_quotient_small", (2,), probability(16, False), 70000, smallest=True)


CASES = list(cases())


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return by_name(CASES)


@cocotb.test()
@cocotb.parametrize(case=choices(CASES), gaps=GAPS)
async def softmax_units(dut: Any, case: UnitCase, gaps: Pair) -> None:
    await run_case(dut, case, gaps)
