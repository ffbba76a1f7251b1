"""Store unit: feature maps to external memory."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import BANKS, EngineShape
from ....contract.isa import TRANSFER
from ...bus.axi import LAYER_BITS, REQUEST, write_beat
from ...common.counter import delay_line, index_shape, reg
from ...common.fifo import CreditFifo
from ...common.streams import connect
from ..fetch.descriptor_layout import layout
from .feature_ports import READ_LATENCY, read_port
from .row_walker import AHEAD, RowWalker, row_bytes, row_layout

WAITING = 8
"""Requests that wait for the write master."""


def _read_layout(shape: EngineShape) -> data.StructLayout:
    """A read of the feature memory, and which bytes of what it gives are the row's."""
    return data.StructLayout(
        {
            "bank": index_shape(BANKS),
            "addr": index_shape(shape.bank_bytes),
            "units": shape.tiles,
            "strb": shape.bus_bytes,
        }
    )


class StoreUnit(wiring.Component):
    """Carries out STORE descriptors.

    Parameters
    ----------
    shape : of the engine.

    Members
    -------
    command (in stream of TRANSFER). request (out stream of REQUEST), data (out stream of
    write_beat): of a WriteMaster, whose ``finished`` says that a command is. features : read
    client of the feature-map memory, which may let wait; units (out): the tile unit whose it is,
    one bit of them. bad, bad_layer : see RowWalker.

    Each row is a request; a row's beats are read at any byte address, so that its bytes are where
    external memory wants them, and the bytes that are not the row's have no strobe. A command
    accepted in t has its first row, see RowWalker, in t + RowWalker.LATENCY; its request is there a
    cycle later, its first beat is read 2 and at ``data`` READ cycles later; one beat a cycle, from
    row to row too.
    """

    READ = 2 + READ_LATENCY + 1

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "command": In(stream.Signature(layout(TRANSFER))),
                "request": Out(stream.Signature(REQUEST)),
                "data": Out(stream.Signature(write_beat(shape.bus_bytes))),
                "features": Out(read_port(shape)),
                "units": Out(shape.tiles),
                "bad": Out(1),
                "bad_layer": Out(LAYER_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.walker = walker = RowWalker(self.shape, store=True)
        m.submodules.rows = rows = CreditFifo(row_layout(self.shape), AHEAD)
        # A request waits for its data, which must not wait for the request before.
        m.submodules.requests = requests = CreditFifo(REQUEST, WAITING)
        connect(m, requests.o, wiring.flipped(self.request))
        begin, room = Signal(name="row_begins"), Signal(name="room")
        m.d.comb += [
            walker.command.valid.eq(self.command.valid),
            walker.command.payload.eq(self.command.payload),
            self.command.ready.eq(walker.command.ready),
            self.bad.eq(walker.bad),
            self.bad_layer.eq(walker.bad_layer),
            room.eq(requests.room & rows.room),
            walker.request.ready.eq(room),
            begin.eq(walker.request.valid & room),
            requests.data.eq(walker.request.payload),
            rows.data.eq(walker.row),
        ]
        for fifo in (requests, rows):
            m.d.comb += [fifo.take.eq(begin), fifo.push.eq(begin)]
        self._read(m, rows)
        return m

    def _read(self, m: Module, rows: CreditFifo) -> None:
        """Reads into a queue with room for those under way."""
        row, port, bus = rows.o.payload, self.features, self.shape.bus_bytes
        m.submodules.beats = beats = CreditFifo(write_beat(bus), READ_LATENCY + 5)
        connect(m, beats.o, wiring.flipped(self.data))
        # Two entries, so that what the memory says of its banks ends here.
        m.submodules.reads = reads = CreditFifo(_read_layout(self.shape), 2)
        take, first = Signal(name="take"), Signal(name="first_beat", init=1)
        left, left_now = reg(row.beats.shape(), "left"), Signal.like(row.beats, name="left_now")
        place = Signal(port.addr.shape(), name="place")
        following = reg(port.addr.shape(), "next_addr")
        last, one_left = Signal(name="last_beat"), reg(1, "one_left")
        read = reads.o.payload
        m.d.comb += [
            take.eq(rows.o.valid & beats.room & reads.room),
            left_now.eq(Mux(first, row.beats, left)),
            last.eq(Mux(first, row.single, one_left)),
            rows.o.ready.eq(take & last),
            place.eq(Mux(first, row.start, following)),
            beats.take.eq(take),
            reads.take.eq(take),
            reads.push.eq(take),
            reads.data.bank.eq(row.bank),
            reads.data.addr.eq(place),
            reads.data.units.eq(row.units),
            reads.data.strb.eq(row_bytes(row, first, last, bus)),
            port.en.eq(reads.o.valid),
            port.bank.eq(read.bank),
            port.addr.eq(read.addr),
            self.units.eq(read.units),
            reads.o.ready.eq(port.ready),
        ]
        with m.If(take):
            m.d.sync += [
                first.eq(last),
                left.eq(left_now - 1),
                one_left.eq(left_now == 2),
                following.eq(place + bus),
            ]
        m.d.comb += [
            beats.push.eq(delay_line(m, port.en & port.ready, READ_LATENCY, "read")),
            beats.data.strb.eq(delay_line(m, read.strb, READ_LATENCY, "read_strb", data=True)),
            beats.data.data.eq(port.data[: 8 * bus]),
        ]
