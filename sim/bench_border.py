"""Borders around frames, and pixels several times, against golden and the event model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cocotb
from amaranth.lib import wiring

from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding

from .units import GAPS, Pair, UnitCase, by_name, choices, planned, run_case

S5 = QType(True, 5, 0, Rounding.FLOOR, Overflow.SATURATE)


def cases() -> Iterator[UnitCase]:
    """Sides of their own, none at all, values other than zero; odd and even lanes."""
    x = Tensor("x", (3, 4, 3), S5)
    yield planned("pad_all", x, [ops.Pad(((1, 2), (3, 1)), -7)], lanes=2)
    yield planned("pad_top", x, [ops.Pad(((2, 0), (0, 0)))], lanes=3)
    yield planned("pad_right", x, [ops.Pad(((0, 0), (0, 1)), 5)], smallest=True)
    yield planned("upsample_both", x, [ops.Upsample((2, 3))], lanes=2)
    yield planned("upsample_rows", x, [ops.Upsample((3, 1))], lanes=3)
    yield planned("upsample_columns", x, [ops.Upsample((1, 2))], smallest=True)


CASES = list(cases())


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return by_name(CASES)


@cocotb.test()
@cocotb.parametrize(case=choices(CASES), gaps=GAPS)
async def border(dut: Any, case: UnitCase, gaps: Pair) -> None:
    await run_case(dut, case, gaps)
