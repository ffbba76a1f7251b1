"""How the feature-map memory is read and written by those who move data."""

from __future__ import annotations

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import BANKS, EngineShape
from ...common.counter import index_shape

READ_LATENCY = 3
"""Cycles from ``en & ready`` to data."""
VISIBLE = 2
"""Cycles from a write to the first read that sees it."""


def read_port(shape: EngineShape) -> wiring.Signature:
    """A read client's side: data comes READ_LATENCY cycles after ``en & ready``."""
    return wiring.Signature(
        {
            "en": Out(1),
            "bank": Out(index_shape(BANKS)),
            "addr": Out(index_shape(shape.bank_bytes)),
            "ready": In(1),
            "data": In(8 * shape.word),
        }
    )


def write_port(shape: EngineShape, stalls: bool) -> wiring.Signature:
    """A write client's side. ``stalls`` : with ``ready``, without which nothing is written."""
    return wiring.Signature(
        {
            "en": Out(1),
            "bank": Out(index_shape(BANKS)),
            "addr": Out(index_shape(shape.bank_bytes)),
            "data": Out(8 * shape.word),
            "mask": Out(shape.word),
        }
        | ({"ready": In(1)} if stalls else {})
    )
