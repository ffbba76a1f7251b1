"""Load unit: external memory to feature maps, weights, parameters, tables."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.isa import TRANSFER, Target
from ...bus.axi import LAYER_BITS, REQUEST, read_beat
from ...common.counter import delay_line, reg
from ...common.fifo import CreditFifo
from ...common.streams import connect
from ..compute.weights import weight_port
from ..fetch.descriptor_layout import layout
from ..result.combine import table_port
from ..result.parameters import parameter_port
from .feature_ports import VISIBLE, write_port
from .row_walker import AHEAD, RowWalker, row_bytes, row_layout

WAITING = 2
"""Requests that wait for the read master."""


class LoadUnit(wiring.Component):
    """Carries out LOAD descriptors.

    Parameters
    ----------
    shape : of the engine.

    Members
    -------
    command (in stream of TRANSFER). request (out stream of REQUEST), data (in stream of read_beat):
    of a ReadMaster. features : write client of the feature-map memory, which may let wait.
    weight_write, parameter_write, table_write : {en, word, slice, data}, tables without slice,
    weights with one_lane too. units (out): the tile units in which all of these write, a bit for
    each. finished (out): a command's last beat is written and seen by reads from now on. bad,
    bad_layer : see RowWalker. failed, failed_layer (out): a beat that was read is wrong.

    Each row is a request; requests go up to AHEAD rows ahead of the data, over several commands. A
    row's beats go to the feature-map memory at any byte address, the bytes that are not the row's
    masked off. A beat taken from ``data`` in t is written in t+1; ``finished`` comes SETTLE cycles
    after the last write, failed with the write. One beat a cycle, from row to row too. A command
    accepted in t gives its first request in t + RowWalker.LATENCY + 1 or a little later, see there.
    """

    SETTLE = VISIBLE

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        bus = shape.bus_bytes
        ports = {
            "weight": weight_port(shape),
            "parameter": parameter_port(shape),
            "table": table_port(shape),
        }
        super().__init__(
            {
                "command": In(stream.Signature(layout(TRANSFER))),
                "request": Out(stream.Signature(REQUEST)),
                "data": In(stream.Signature(read_beat(bus))),
                "features": Out(write_port(shape, stalls=True)),
                "units": Out(shape.tiles),
                "finished": Out(1),
                "bad": Out(1), "bad_layer": Out(LAYER_BITS),
                "failed": Out(1), "failed_layer": Out(LAYER_BITS),
            }
            | {f"{name}_write": Out(port) for name, port in ports.items()}
        )  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        m.submodules.walker = walker = RowWalker(self.shape)
        m.submodules.rows = rows = CreditFifo(row_layout(self.shape), AHEAD)
        # So that what the read master says of its room ends here.
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
        self._write(m, rows)
        return m

    def _write(self, m: Module, rows: CreditFifo) -> None:
        row, beat = rows.o.payload, self.data.payload
        take, stalls = Signal(name="take"), Signal(name="stalls")
        to_features = Signal(name="to_features")
        first = Signal(name="first_beat", init=1)
        final = Signal(name="final")
        m.d.comb += [
            stalls.eq(to_features & ~self.features.ready),
            self.data.ready.eq(rows.o.valid & ~stalls),
            take.eq(self.data.valid & self.data.ready),
            rows.o.ready.eq(take & beat.last),
        ]
        word = reg(8 * self.shape.bus_bytes, "beat")
        layer = reg(LAYER_BITS, "beat_layer")
        units = reg(len(self.units), "beat_units")
        with m.If(~stalls):
            m.d.sync += [
                to_features.eq(take & (row.target == Target.FEATURES)),
                final.eq(take & beat.last & row.final),
                self.failed.eq(take & beat.error),
            ]
        with m.If(take):
            m.d.sync += [
                first.eq(beat.last),
                word.eq(beat.data),
                layer.eq(row.layer),
                units.eq(row.units),
            ]
        m.d.comb += [self.failed_layer.eq(layer), self.units.eq(units)]
        self._features(m, row, beat.last, take, first, to_features, word)
        self._words(m, row, take, first, word)
        written = Signal(name="final_written")
        m.d.comb += written.eq(final & ~stalls)
        m.d.comb += self.finished.eq(delay_line(m, written, self.SETTLE, "settle"))

    def _features(self, m: Module, row, last, take, first, en, word) -> None:
        port, bus = self.features, self.shape.bus_bytes
        addr, following = reg(port.addr.shape(), "addr"), reg(port.addr.shape(), "next_addr")
        place = Signal.like(addr, name="place")
        bank, mask = reg(port.bank.shape(), "bank"), reg(bus, "mask")
        m.d.comb += place.eq(Mux(first, row.start, following))
        with m.If(take):
            m.d.sync += [
                addr.eq(place),
                following.eq(place + bus),
                bank.eq(row.bank),
                mask.eq(row_bytes(row, first, last, bus)),
            ]
        m.d.comb += [
            port.en.eq(en),
            port.bank.eq(bank),
            port.addr.eq(addr),
            port.data.eq(word),
            port.mask.eq(mask),
        ]

    def _words(self, m: Module, row, take, first, word: Value) -> None:
        targets = {
            "weight": Target.WEIGHTS, "parameter": Target.PARAMETERS, "table": Target.TABLES
        }  # fmt: skip
        number, part = self._word_counter(m, row, take, first)
        for name, target in targets.items():
            port = getattr(self, f"{name}_write")
            en = Signal(name=f"to_{name}")
            m.d.sync += en.eq(take & (row.target == target))
            m.d.comb += [port.en.eq(en), port.word.eq(number), port.data.eq(word)]
            if target is not Target.TABLES:
                m.d.comb += port.slice.eq(part)
        one_lane = reg(1, "one_lane")
        with m.If(take):
            m.d.sync += one_lane.eq(row.one_lane)
        m.d.comb += self.weight_write.one_lane.eq(one_lane)

    def _word_counter(self, m: Module, row, take, first) -> tuple[Value, Value]:
        """Word and slice of each beat of a row."""
        width = len(row.start)
        number, part = reg(width, "word"), reg(row.last_part.shape(), "slice")
        number_next, part_next = reg(width, "next_word"), Signal.like(part, name="next_slice")
        now, part_now = Signal(width, name="word_now"), Signal.like(part, name="slice_now")
        word_ends = Signal(name="word_ends")
        m.d.comb += [
            now.eq(Mux(first, row.start, number_next)),
            part_now.eq(Mux(first, 0, part_next)),
            word_ends.eq((part_now == row.last_part) | (row.target == Target.TABLES)),
        ]
        with m.If(take):
            m.d.sync += [
                number.eq(now),
                part.eq(part_now),
                number_next.eq(now + word_ends),
                part_next.eq(Mux(word_ends, 0, part_now + 1)),
            ]
        return number, part
