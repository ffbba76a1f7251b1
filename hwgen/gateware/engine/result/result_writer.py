"""Writes words of results to their places in the feature memory."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.features import Feature
from ....numeric.division import ceil_div
from ...common.counter import delay_line, index_shape, reg
from ..fetch.descriptor_layout import RESULT
from ..memory.feature_ports import write_port
from .combine import BYTE, CODE
from .output_walk import OutputLoops, RingPlace, set_counts, set_place
from .runtime_requantizer import RESULT_BITS

TABLE_SHARE = 4
"""One of so many sums of a word has tables, or all that are requantized at a time."""
WIDE_BYTES = 4
"""Bytes of a wide result."""


def table_lanes(shape: EngineShape) -> int:
    """Results that go through tables at a time."""
    return min(shape.requantizers, shape.pe // TABLE_SHARE)


def table_slices(shape: EngineShape) -> int:
    """Slices in which the results of a part go through tables, if there are such."""
    if not shape.has(Feature.TABLES):
        return 1
    return shape.requantizers // table_lanes(shape)


def wide_slices(shape: EngineShape) -> int:
    """Writes that a part's wide results take, if there are such."""
    if not shape.has(Feature.WIDE):
        return 1
    return ceil_div(WIDE_BYTES * shape.requantizers, shape.word)


def token_of(shape: EngineShape) -> data.StructLayout:
    """What goes with a slice of a part of a word of sums, as wide as one is written.

    valid : there is one; word : it is its word's last; all : the command's last. part : of the
    word; slice : of the part.
    """
    slices = max(table_slices(shape), wide_slices(shape))
    return data.StructLayout(
        {
            "valid": 1,
            "word": 1,
            "all": 1,
            "part": index_shape(shape.result_parts),
            "slice": index_shape(slices),
        }
    )


class ResultWriter(wiring.Component):
    """Results of slices of a word to the write client.

    Parameters
    ----------
    shape : of the engine.

    Members
    -------
    load (in): begin. descriptor (in): it stays from ``load`` on. token (in): of the slice that is
    here; next_word (in): the last slice of a word will be here RingPlace.LATENCY cycles later.
    results (in): of the part's lanes. combined (in): with tables, those of the slice's lanes. byte
    (in): with softmax, that of the next lane: a slice is a byte.
    port : write client of the feature memory.

    Latency 1 cycle. Words of values are put together from their slices, and written with the last
    one; of wide results each slice is written. Of values that share a byte those that are no
    channels are 0.
    """

    LATENCY = 1

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "load": In(1),
                "descriptor": In(RESULT),
                "next_word": In(1),
                "token": In(token_of(shape)),
                "results": In(data.ArrayLayout(signed(RESULT_BITS), shape.requantizers)),
                "combined": In(data.ArrayLayout(signed(CODE), table_lanes(shape))),
                "byte": In(BYTE),
                "port": Out(write_port(shape, stalls=False)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        given, shape = self.descriptor, self.shape
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
        beside = [
            part * shape.requantizers * WIDE_BYTES + n * shape.word
            for part in range(shape.result_parts)
            for n in range(1 << len(self.token.slice))
        ]
        of_slice = Array(Const(n, max(beside).bit_length()) for n in beside)
        which = Cat(self.token.slice, self.token.part)
        each = given.wide | given.softmax
        m.d.sync += [
            en.eq(Mux(each, self.token.valid, self.token.word)),
            bank.eq(place.bank),
            addr.eq(place.addr + Mux(given.wide, of_slice[which], 0)),
        ]
        m.d.comb += [
            self.port.en.eq(en),
            self.port.bank.eq(bank),
            self.port.addr.eq(addr),
            self.port.data.eq(self._channels(m, self._data(m), lanes)),
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
        """That slice of the lanes' wide results which is here."""
        count = wide_slices(self.shape)
        parts = [value[width * n : width * (n + 1)] for n in range(count)]
        return parts[0] if count == 1 else Array(parts)[self.token.slice]

    def _channels(self, m: Module, word: Value, lanes: Value) -> Value:
        """A word, where values share bytes those of lanes that are no channels 0."""
        bits = self.shape.stored_bits
        if bits >= BYTE:
            return word
        kept = reg(self.shape.pe, "channels")
        m.d.sync += kept.eq(Mux(self.descriptor.wide, -1, lanes))
        values = bits * self.shape.pe
        return Cat(word[:values] & Cat(lane.replicate(bits) for lane in kept), word[values:])

    def _value(self, result: Value) -> Value:
        """A result as it is stored."""
        bits = self.shape.stored_bits
        sign = result[-1].replicate(max(0, bits - len(result)))
        return Cat(result[:bits], sign)

    def _data(self, m: Module) -> Value:
        shape = self.shape
        word = reg(BYTE * shape.word, "word")
        part = Cat(self._value(lane) for lane in self.results)
        wide = self._slices(self.results.as_value(), BYTE * shape.word)
        some = Cat(self._value(lane) for lane in self.combined)
        with m.If(self.descriptor.wide):
            m.d.sync += word.eq(wide)
        with m.Elif(self.descriptor.softmax):
            m.d.sync += word.eq(self.byte.replicate(shape.word))
        with m.Elif(~self.descriptor.tables):
            for n in range(shape.result_parts):
                with m.If(self.token.part == n):
                    m.d.sync += word.word_select(n, len(part)).eq(part)
        with m.Else():
            slices = table_slices(shape)
            for n in range(shape.result_parts * slices):
                with m.If((self.token.part == n // slices) & (self.token.slice == n % slices)):
                    m.d.sync += word.word_select(n, len(some)).eq(some)
        return word

    def _bytes_of(self, lanes: Value) -> Value:
        """The bytes in which values of these lanes lie."""
        bits = self.shape.stored_bits
        if bits == BYTE:
            return lanes
        if bits > BYTE:
            return Cat(lane.replicate(bits // BYTE) for lane in lanes)
        share = BYTE // bits
        return Cat(lanes[n : n + share].any() for n in range(0, len(lanes), share))

    def _mask(self, m: Module, lanes: Value) -> Value:
        shape = self.shape
        mask = reg(shape.word, "mask")
        of_parts = [
            lanes[n * shape.requantizers : (n + 1) * shape.requantizers]
            for n in range(shape.result_parts)
        ]
        here = of_parts[0] if len(of_parts) == 1 else Array(of_parts)[self.token.part]
        bits = Value.cast(here)
        wide = self._slices(
            Cat(bits[n].replicate(WIDE_BYTES) for n in range(shape.requantizers)), shape.word
        )
        m.d.sync += mask.eq(Mux(self.descriptor.wide, wide, self._bytes_of(lanes)))
        return mask
