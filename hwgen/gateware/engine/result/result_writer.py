"""Writes words of results to their places in the feature memory."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....numeric.division import ceil_div
from ...common.counter import delay_line, reg
from ..fetch.descriptor_layout import RESULT
from ..memory.feature_ports import write_port
from .output_walk import OutputLoops, RingPlace, set_counts, set_place
from .runtime_requantizer import RESULT_BITS

BYTE = 8
TABLE_PARTS = 4
"""Parts in which the lanes of a word go through the tables."""
WIDE_BYTES = 4
"""Bytes of a wide result."""


def wide_parts(shape: EngineShape) -> int:
    """Writes that a word of wide results takes."""
    return ceil_div(WIDE_BYTES * shape.pe, shape.word)


TOKEN = data.StructLayout({"valid": 1, "word": 1, "all": 1, "part": 2})
"""valid : a part of a word of sums; word : its last part; all : the command's last part."""


class ResultWriter(wiring.Component):
    """Results of a part of a word to the write client.

    Parameters
    ----------
    shape : of the engine.

    Members
    -------
    load (in): begin. descriptor (in): it stays from ``load`` on. token (in): of the part that is
    here; next_word (in): the last part of a word will be here RingPlace.LATENCY cycles later.
    results (in): of all lanes. combined (in): with tables, those of the part's lanes. byte (in):
    with softmax, that of the next lane: a part is a byte.
    port : write client of the feature memory.

    Latency 1 cycle. Words with tables are put together from their parts, and written with the
    last one.
    """

    LATENCY = 1

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        self.table_lanes = shape.pe // TABLE_PARTS
        super().__init__(
            {
                "load": In(1),
                "descriptor": In(RESULT),
                "next_word": In(1),
                "token": In(TOKEN),
                "results": In(data.ArrayLayout(signed(RESULT_BITS), shape.pe)),
                "combined": In(data.ArrayLayout(signed(RESULT_BITS), self.table_lanes)),
                "byte": In(BYTE),
                "port": Out(write_port(shape, stalls=False)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        given, part = self.descriptor, self.token.part
        m.submodules.loops = loops = OutputLoops()
        m.submodules.place = place = RingPlace(self.shape)
        set_counts(m, loops, given)
        set_place(m, place, loops, given, "position", "y")
        m.d.comb += [
            loops.load.eq(self.load),
            place.load.eq(self.load),
            loops.step.eq(self.next_word),
        ]
        lanes = self._lanes(m, loops)
        en = Signal(name="en")
        bank = reg(self.port.bank.shape(), "bank")
        addr = reg(self.port.addr.shape(), "addr")
        m.d.sync += [
            en.eq(Mux(given.tables, self.token.word, self.token.valid)),
            bank.eq(place.bank),
            addr.eq(place.addr + Mux(given.wide, part * self.shape.word, 0)),
        ]
        m.d.comb += [
            self.port.en.eq(en),
            self.port.bank.eq(bank),
            self.port.addr.eq(addr),
            self.port.data.eq(self._data(m)),
            self.port.mask.eq(self._mask(m, lanes)),
        ]
        return m

    def _lanes(self, m: Module, loops: OutputLoops) -> Value:
        """The lanes that are channels, with the place of their word."""
        inside = reg(self.shape.pe, "inside")
        m.d.sync += inside.eq(Cat(n < self.descriptor.lanes for n in range(self.shape.pe)))
        last = delay_line(
            m, loops.group == self.descriptor.groups - 1, RingPlace.LATENCY, "last", data=True
        )
        # With softmax one after the other.
        single = Signal(self.shape.pe, name="single", init=1)
        with m.If(self.token.valid & self.descriptor.softmax):
            m.d.sync += single.eq(Mux(self.token.word, 1, single << 1))
        lanes = Signal(self.shape.pe, name="lanes")
        m.d.comb += lanes.eq(Mux(self.descriptor.softmax, single, Mux(last, inside, -1)))
        return lanes

    def _slices(self, value: Value, width: int) -> Value:
        """That slice of all lanes' wide results which is the part."""
        count = wide_parts(self.shape)
        parts = [value[width * n : width * (n + 1)] for n in range(count)]
        return parts[0] if count == 1 else Array(parts)[self.token.part]

    def _data(self, m: Module) -> Value:
        word = reg(BYTE * self.shape.word, "word")
        whole = Cat(lane[:BYTE] for lane in self.results)
        wide = self._slices(self.results.as_value(), BYTE * self.shape.word)
        some = Cat(lane[:BYTE] for lane in self.combined)
        with m.If(self.descriptor.wide):
            m.d.sync += word.eq(wide)
        with m.Elif(self.descriptor.softmax):
            m.d.sync += word.eq(self.byte.replicate(self.shape.word))
        with m.Elif(~self.descriptor.tables):
            m.d.sync += word.eq(whole)
        with m.Else():
            for n in range(TABLE_PARTS):
                with m.If(self.token.part == n):
                    m.d.sync += word.word_select(n, len(some)).eq(some)
        return word

    def _mask(self, m: Module, lanes: Value) -> Value:
        mask = reg(self.shape.word, "mask")
        wide = self._slices(Cat(lane.replicate(WIDE_BYTES) for lane in lanes), self.shape.word)
        m.d.sync += mask.eq(Mux(self.descriptor.wide, wide, lanes))
        return mask
