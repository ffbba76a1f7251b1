"""The second operand of a tile's results: read ahead from the feature memory, in their order."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import BANKS, EngineShape
from ....contract.features import Feature
from ...common.counter import delay_line, index_shape
from ...common.fifo import CreditFifo
from ..fetch.descriptor_layout import RESULT
from ..memory.feature_ports import READ_LATENCY, read_port
from .combine import BYTE
from .output_walk import OutputLoops, RingPlace, set_counts, set_place

ASKED = RingPlace.LATENCY + 2
"""Places that are known ahead: so many that there is one in every cycle."""


def _bytes(word: Value, shape: EngineShape) -> Value:
    """The values of a word, each as a byte: of narrower ones, and the lowest bits of wider ones."""
    bits = shape.stored_bits
    if bits == BYTE:
        return word
    values = (word.word_select(lane, bits)[:BYTE] for lane in range(shape.pe))
    return Cat(Cat(value, Const(0, BYTE - len(value))) for value in values)


class SecondOperand(wiring.Component):
    """Reads a word of one value for each of ``pe`` lanes for every result, and gives it as bytes.

    Parameters
    ----------
    shape : of the engine; one without second operands has none of this: all outputs are 0. depth :
    words that may be read ahead.

    Members
    -------
    load (in): begin. descriptor (in): it stays from ``load`` on. port : read client of the feature
    memory.
    o (out stream): the words. available (out): one is there that is not spoken for; claim (in)
    speaks for it, that is, for one that will be taken later. reading (out): words will be read yet,
    from ``load`` until the read of the last one.

    A word that the memory gives at once is at ``o`` ``LATENCY`` cycles after the step to it, the
    first one after ``load``: it is read PLACE cycles after the step, READ before it is at ``o``.
    One a cycle.
    """

    PLACE = RingPlace.LATENCY + 1
    READ = READ_LATENCY + 1
    LATENCY = PLACE + READ

    def __init__(self, shape: EngineShape, depth: int) -> None:
        self.shape, self.depth = shape, depth
        super().__init__(
            {
                "load": In(1),
                "descriptor": In(RESULT),
                "port": Out(read_port(shape)),
                "o": Out(stream.Signature(8 * shape.pe)),
                "available": Out(1),
                "claim": In(1),
                "reading": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if not self.shape.has(Feature.SECOND):
            return m
        m.submodules.loops = loops = OutputLoops()
        m.submodules.place = place = RingPlace(self.shape)
        spot = data.StructLayout(
            {"bank": index_shape(BANKS), "addr": place.addr.shape(), "last": 1}
        )
        m.submodules.asked = asked = CreditFifo(spot, ASKED, registered=True)
        m.submodules.words = words = CreditFifo(8 * self.shape.pe, self.depth)
        set_counts(m, loops, self.descriptor)
        set_place(m, place, loops, self.descriptor, "second", "second")
        more, step = Signal(name="more"), Signal(name="step")
        # Who has a place has one for its word too.
        m.d.comb += step.eq(more & asked.room & words.room)
        with m.If(self.load):
            m.d.sync += more.eq(1)
        with m.Elif(step & loops.last):
            m.d.sync += more.eq(0)
        m.d.comb += [
            loops.load.eq(self.load),
            loops.step.eq(step),
            place.load.eq(self.load),
            asked.take.eq(step),
            asked.push.eq(delay_line(m, step, RingPlace.LATENCY, "placed")),
            asked.data.last.eq(delay_line(m, loops.last, RingPlace.LATENCY, "last", data=True)),
            asked.data.bank.eq(place.bank),
            asked.data.addr.eq(place.addr),
        ]
        read = Signal(name="read")
        m.d.comb += [
            self.port.en.eq(asked.o.valid),
            self.port.bank.eq(asked.o.payload.bank),
            self.port.addr.eq(asked.o.payload.addr),
            read.eq(self.port.en & self.port.ready),
            asked.o.ready.eq(read),
            words.take.eq(step),
            words.push.eq(delay_line(m, read, READ_LATENCY, "came")),
            words.data.eq(_bytes(self.port.data, self.shape)),
        ]
        reading = Signal(name="left_to_read")
        m.d.comb += self.reading.eq(self.load | reading)
        with m.If(self.load):
            m.d.sync += reading.eq(1)
        with m.Elif(read & asked.o.payload.last):
            m.d.sync += reading.eq(0)
        wiring.connect(m, words.o, wiring.flipped(self.o))
        self._claims(m, words.push)
        return m

    def _claims(self, m: Module, came) -> None:
        """Words that are there or come in this cycle, those spoken for left out."""
        free = Signal(index_shape(self.depth + 1), name="free")
        # A register of its own, since parts of words begin with it.
        with m.If(came != self.claim):
            m.d.sync += [
                free.eq(Mux(came, free + 1, free - 1)),
                self.available.eq(came | (free != 1)),
            ]
