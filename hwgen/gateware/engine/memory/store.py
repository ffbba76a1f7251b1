"""Store unit: feature maps to external memory."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.isa import TRANSFER
from ...bus.axi import LAYER_BITS, REQUEST, write_beat
from ...common.counter import delay_line, reg
from ...common.fifo import CreditFifo
from ...common.streams import connect
from ..fetch.descriptor_layout import layout
from .feature_ports import READ_LATENCY, read_port
from .row_walker import AHEAD, RowWalker, row_bytes, row_layout

WAITING = 8
"""Requests that wait for the write master."""


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
        take, first = Signal(name="take"), Signal(name="first_beat", init=1)
        left, left_now = reg(row.beats.shape(), "left"), Signal.like(row.beats, name="left_now")
        addr, following = reg(port.addr.shape(), "addr"), reg(port.addr.shape(), "next_addr")
        place, last = Signal.like(addr, name="place"), Signal(name="last_beat")
        en, bank, strb = Signal(name="en"), reg(port.bank.shape(), "bank"), reg(bus, "strb")
        units = reg(len(self.units), "units_now")
        m.d.comb += [
            take.eq(rows.o.valid & beats.room & (~en | port.ready)),
            left_now.eq(Mux(first, row.beats, left)),
            last.eq(left_now == 1),
            rows.o.ready.eq(take & last),
            place.eq(Mux(first, row.start, following)),
            beats.take.eq(take),
            port.en.eq(en),
            port.bank.eq(bank),
            port.addr.eq(addr),
            self.units.eq(units),
        ]
        with m.If(port.ready):
            m.d.sync += en.eq(0)
        with m.If(take):
            m.d.sync += [
                en.eq(1),
                first.eq(last),
                left.eq(left_now - 1),
                addr.eq(place),
                following.eq(place + bus),
                bank.eq(row.bank),
                units.eq(row.units),
                strb.eq(row_bytes(row, first, last, bus)),
            ]
        m.d.comb += [
            beats.push.eq(delay_line(m, en & port.ready, READ_LATENCY, "read")),
            beats.data.strb.eq(delay_line(m, strb, READ_LATENCY, "read_strb", data=True)),
            beats.data.data.eq(port.data[: 8 * bus]),
        ]
