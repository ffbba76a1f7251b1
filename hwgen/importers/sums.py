"""Sums of two tensors of a runtime: operands as wide integers, their sum, one requantization."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..ir import Op, Tensor
from ..ir.ops import Add, Requantize
from ..numeric import Overflow, QType, Rounding

WIDE = QType(True, 32, 0, Rounding.HALF_UP, Overflow.SATURATE)
"""The type of an operand."""


def times(factor: int, zero_point: int) -> Requantize:
    """An operand less its zero point, times an integer."""
    return Requantize.scaled(WIDE, factor, -zero_point * factor)


def shifted(
    qtype: QType, shift: int, half: int | None, clip: tuple[int, int] | None, zero_point: int
) -> Requantize:
    """A sum divided by ``2**shift``: ``half`` is added before, and bits are cut off; None: ties go
    to even. ``zero_point`` is added."""
    rounding = Rounding.HALF_EVEN if half is None else Rounding.FLOOR
    bias = (zero_point << shift) + (half or 0)
    return Requantize.scaled(replace(qtype, rounding=rounding), 1, bias, shift, clip)


def added(
    add: Callable[..., Tensor],
    name: str,
    operands: Sequence[tuple[Tensor, Op]],
    last: Op,
    marks: str = "01",
) -> Tensor:
    """Append the sum by ``add(name, op, *edges)``; nodes are named NAME_MARK, NAME_sum, NAME."""
    parts = [
        add(f"{name}_{mark}", op, edge) for mark, (edge, op) in zip(marks, operands, strict=True)
    ]
    return add(name, last, add(f"{name}_sum", Add(), *parts))
