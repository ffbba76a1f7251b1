"""Functions of one element: thresholds by table and by search, casts to types of their own."""

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

S6 = QType(True, 6, 2, Rounding.FLOOR, Overflow.SATURATE)
S12 = QType(True, 12, 4, Rounding.FLOOR, Overflow.SATURATE)
SHAPE = (3, 4, 5)


def multi_threshold(name: str, qtype: QType, rows: int, steps: int, lanes: int) -> UnitCase:
    """Thresholds over the whole range, some of them equal; values in no order."""
    rng = np.random.default_rng(steps)
    thresholds = np.sort(rng.integers(qtype.min, qtype.max + 1, (rows, steps)), axis=1)
    op = ops.MultiThreshold(thresholds, rng.integers(-32, 32, steps + 1), S6)
    made = planned(name, Tensor("x", SHAPE, qtype), [op], lanes=lanes)
    return timed(made, latency.multi_threshold(qtype.width, rows, steps))


def cast(
    name: str, rounding: Rounding, overflow: Overflow, shape: tuple[int, ...], lanes: int
) -> UnitCase:
    """Types of several widths and fractions; ``shape`` of what has one of its own."""
    bits = ((True, 4, 1), (False, 3, 6), (True, 7, 2), (True, 2, 0))
    types = tuple(QType(*fields, rounding, overflow) for fields in bits)
    index = np.random.default_rng(lanes).integers(-1, len(types), shape)
    op = ops.Cast(types, index)
    made = planned(name, Tensor("x", SHAPE, S12), [op], lanes=lanes)
    rows = len(op.rows(Tensor("x", SHAPE, S12))) * -(-SHAPE[-1] // lanes)
    return timed(made, latency.cast(rows, len(types)))


def timed(case: UnitCase, delay: int) -> UnitCase:
    """Each beat comes a fixed time after it is taken."""
    return replace(case, completes=range(len(case.beats)), latency=delay + 1, steady=True)


def cases() -> Iterator[UnitCase]:
    """A table, searches with common thresholds and a row a channel; every overflow."""
    yield multi_threshold("table", S6, 1, 9, 3)
    yield multi_threshold("search", S12, 1, 40, 5)
    yield multi_threshold("search_channels", S12, 5, 6, 2)
    yield multi_threshold("search_one", S12, 5, 1, 1)
    places = (SHAPE, (5,), (4, 1), (3, 1, 5))
    for overflow, shape, rounding in zip(Overflow, places, Rounding, strict=False):
        yield cast(f"cast_{overflow.value}", rounding, overflow, shape, len(shape))
    yield cast("cast_even", Rounding.HALF_EVEN, Overflow.WRAP, (1,), 5)


CASES = list(cases())


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return by_name(CASES)


@cocotb.test()
@cocotb.parametrize(case=choices(CASES), gaps=GAPS)
async def table(dut: Any, case: UnitCase, gaps: Pair) -> None:
    await run_case(dut, case, gaps)
