"""Pools with and without a line buffer, against golden and the event model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cocotb
from amaranth.lib import wiring

from hwgen.contract.geometry import WindowGeometry
from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan import latency

from .units import GAPS, Pair, UnitCase, by_name, choices, planned, run_case

PIXELS = {
    "u4": QType(False, 4, 0, Rounding.FLOOR, Overflow.SATURATE),
    "s5": QType(True, 5, 0, Rounding.FLOOR, Overflow.SATURATE),
}


def geometry(op: ops.Pool, x: Tensor, lanes: int) -> WindowGeometry:
    """The window of a pool."""
    return WindowGeometry(op.kernel, op.stride, op.pads(x), x.hwc[:2], x.channels, lanes)


def last_real(g: WindowGeometry, axis: int, window: int) -> int:
    """Coordinate of a window's last element inside the frame."""
    low = window * g.stride[axis] - g.pads[axis][0]
    return min(g.size[axis], low + g.kernel[axis]) - 1


def without_overlap(name: str, op: ops.Pool, x: Tensor, lanes: int, **more: Any) -> UnitCase:
    """Every output comes a fixed time after the element that completes its window."""
    case = planned(name, x, [op], lanes=lanes, **more)
    g = geometry(op, x, lanes)
    frame = g.size[0] * g.row_beats
    completes = [
        start + (last_real(g, 0, row) * g.size[1] + last_real(g, 1, column)) * g.beats + chunk
        for start in range(0, len(case.beats), frame)
        for row in range(g.out_size[0])
        for column in range(g.out_size[1])
        for chunk in range(g.beats)
    ]
    return replace(case, completes=completes, latency=latency.STREAM_POOL + 1)


def with_overlap(name: str, op: ops.Pool, x: Tensor, lanes: int) -> UnitCase:
    """The first output: the window, reduced, through the FIFO."""
    case = planned(name, x, [op], lanes=lanes)
    g = geometry(op, x, lanes)
    first = g.rows_waited(0) * g.row_beats + g.first_steps * g.beats - 1
    taps = op.kernel[0] * op.kernel[1]
    delay = latency.FIRST_WINDOW + latency.window_pool(taps) + 1
    return replace(case, completes=[first], latency=delay, undisturbed=True)


def cases() -> Iterator[UnitCase]:
    """Maximum and sum, padding, gaps between windows, smallest buffers."""
    u4, s5 = (Tensor("x", (6, 7, 3), qtype) for qtype in PIXELS.values())
    yield without_overlap("pool_max", ops.MaxPool((2, 2), (2, 2)), s5, 2)
    yield without_overlap("pool_sum", ops.SumPool((2, 3), (2, 3)), u4, 3)
    yield without_overlap("pool_sparse", ops.SumPool((2, 1), (3, 2)), s5, 1)
    padded = ops.MaxPool((2, 2), (2, 2), ((1, 1), (1, 0)))
    yield without_overlap("pool_pad", padded, s5, 3, smallest=True)
    yield with_overlap("pool_slide", ops.MaxPool((3, 3), (1, 1), "same"), s5, 3)
    yield with_overlap("pool_slide_sum", ops.SumPool((3, 2), (2, 1)), u4, 2)
    small = ops.MaxPool((3, 3), (2, 2), "same")
    yield planned("pool_small", s5, [small], lanes=1, smallest=True)


CASES = list(cases())


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return by_name(CASES)


@cocotb.test()
@cocotb.parametrize(case=choices(CASES), gaps=GAPS)
async def pool(dut: Any, case: UnitCase, gaps: Pair) -> None:
    await run_case(dut, case, gaps)
