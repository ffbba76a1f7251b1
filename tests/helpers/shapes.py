"""Amaranth's shapes in Python's integers."""

from __future__ import annotations

from amaranth.hdl import Shape


def limits(shape: Shape) -> tuple[int, int]:
    """Smallest and largest value."""
    low = -(1 << shape.width - 1) if shape.signed else 0
    return low, low + (1 << shape.width) - 1
