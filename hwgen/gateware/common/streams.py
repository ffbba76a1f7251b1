"""Stream shapes and the one way to connect them.

Inside an accelerator a stream beat is an array of ``lanes`` elements of one pixel, channel
fastest; the last beat of a pixel may hold fewer, its upper lanes are then ignored. There is no
end-of-frame marker: the counters of each unit are the truth.
"""

from __future__ import annotations

from amaranth.hdl import Module, Shape, signed, unsigned
from amaranth.lib import data, stream, wiring

from ...numeric.types import QType


def element(qtype: QType) -> Shape:
    """The hardware shape of one element of this type."""
    return signed(qtype.width) if qtype.signed else unsigned(qtype.width)


def beat(shape: Shape, lanes: int) -> data.ArrayLayout:
    """Payload of a stream with this many elements a beat."""
    if lanes < 1:
        raise ValueError(f"a stream has at least 1 lane, got {lanes}")
    return data.ArrayLayout(shape, lanes)


def stream_of(shape: Shape, lanes: int) -> stream.Signature:
    """Signature of an element stream, seen from its source."""
    return stream.Signature(beat(shape, lanes))


def connect(m: Module, source, sink) -> None:
    """Connect a source stream to a sink stream of exactly the same shape.

    ``wiring.connect`` compares only widths; this refuses signed to unsigned and 2x8 to 1x16.
    """
    ours, theirs = source.payload.shape(), sink.payload.shape()
    if ours != theirs:
        raise TypeError(f"streams differ: {ours} and {theirs}")
    wiring.connect(m, source, sink)


def positive(**numbers: int) -> None:
    """Raise ValueError unless each of these parameters is at least 1."""
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
