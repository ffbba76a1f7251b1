"""Load unit: external memory to feature maps, weights, parameters, tables."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.isa import TRANSFER, Target
from ...bus.axi import LAYER_BITS, REQUEST, read_beat
from ...common.counter import delay_line, index_shape, reg
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


WRITES = 2
"""Beats that wait to be written."""


def _write_layout(shape: EngineShape) -> data.StructLayout:
    """A beat on its way: its bytes and whose they are, where it goes in a bank, or as a word."""
    row = row_layout(shape)
    return data.StructLayout(
        {
            "data": 8 * shape.bus_bytes,
            "mask": shape.bus_bytes,
            "error": 1,
            "addr": index_shape(shape.bank_bytes),
            "word": row["start"].shape,
            "part": row["last_part"].shape,
        }
        | {n: row[n].shape for n in ("target", "one_lane", "units", "layer", "bank", "final")}
    )


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
    after the last write, failed a cycle after the write. One beat a cycle, from row to row too. A
    command accepted in t gives its first request in t + RowWalker.LATENCY + 1 or a little later,
    see there.
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
        # Two of them, so that what the memory says of its banks ends here.
        m.submodules.writes = writes = CreditFifo(_write_layout(self.shape), WRITES)
        take, first = Signal(name="take"), Signal(name="first_beat", init=1)
        given, here = writes.data, writes.o.payload
        m.d.comb += [
            self.data.ready.eq(rows.o.valid & writes.room),
            take.eq(self.data.valid & self.data.ready),
            rows.o.ready.eq(take & beat.last),
            writes.take.eq(take),
            writes.push.eq(take),
            given.data.eq(beat.data),
            given.error.eq(beat.error),
            given.final.eq(beat.last & row.final),
            *(
                given[name].eq(row[name])
                for name in ("target", "one_lane", "units", "layer", "bank")
            ),
            given.mask.eq(row_bytes(row, first, beat.last, self.shape.bus_bytes)),
        ]
        with m.If(take):
            m.d.sync += first.eq(beat.last)
        self._place(m, row, take, first, given.addr)
        self._word_counter(m, row, take, first, given)
        to_features = here.target == Target.FEATURES
        port, leaves = self.features, Signal(name="leaves")
        m.d.comb += [
            port.en.eq(writes.o.valid & to_features),
            port.bank.eq(here.bank),
            port.addr.eq(here.addr),
            port.data.eq(here.data),
            port.mask.eq(here.mask),
            writes.o.ready.eq(~to_features | port.ready),
            leaves.eq(writes.o.valid & writes.o.ready),
            self.units.eq(here.units),
            self.finished.eq(delay_line(m, leaves & here.final, self.SETTLE, "settle")),
        ]
        layer = reg(LAYER_BITS, "failed_in")
        m.d.sync += [self.failed.eq(leaves & here.error), layer.eq(here.layer)]
        m.d.comb += self.failed_layer.eq(layer)
        self._words(m, writes.o.valid, here)

    def _place(self, m: Module, row, take, first, place: Value) -> None:
        """Where a beat of feature maps goes in its bank."""
        following = reg(place.shape(), "next_addr")
        m.d.comb += place.eq(Mux(first, row.start, following))
        with m.If(take):
            m.d.sync += following.eq(place + self.shape.bus_bytes)

    def _words(self, m: Module, valid: Value, here) -> None:
        targets = {
            "weight": Target.WEIGHTS, "parameter": Target.PARAMETERS, "table": Target.TABLES
        }  # fmt: skip
        for name, target in targets.items():
            port = getattr(self, f"{name}_write")
            m.d.comb += [
                port.en.eq(valid & (here.target == target)),
                port.word.eq(here.word),
                port.data.eq(here.data),
            ]
            if target is not Target.TABLES:
                m.d.comb += port.slice.eq(here.part)
        m.d.comb += self.weight_write.one_lane.eq(here.one_lane)

    def _word_counter(self, m: Module, row, take, first, given) -> None:
        """Word and slice of each beat of a row."""
        now, part_now = given.word, given.part
        number_next, part_next = reg(len(now), "next_word"), reg(len(part_now), "next_slice")
        word_ends = Signal(name="word_ends")
        m.d.comb += [
            now.eq(Mux(first, row.start, number_next)),
            part_now.eq(Mux(first, 0, part_next)),
            word_ends.eq((part_now == row.last_part) | (row.target == Target.TABLES)),
        ]
        with m.If(take):
            m.d.sync += [
                number_next.eq(now + word_ends),
                part_next.eq(Mux(word_ends, 0, part_now + 1)),
            ]
