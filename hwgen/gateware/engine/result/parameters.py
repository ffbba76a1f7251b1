"""The parameter memory: records of output channels, a row of as many as there are requantizers.

A row is read for each part of a word of sums. Block RAM keeps what it read last, so that words of
one group in one part read it once.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.isa import COMPUTE, RECORD
from ...common.counter import delay_line, index_shape, reg
from ...common.memory import SimpleDualPort
from ..fetch.descriptor_layout import layout


def parameter_port(shape: EngineShape) -> wiring.Signature:
    """Writes one slice of a word of parameters, that of the lowest records first."""
    return wiring.Signature(
        {
            "en": Out(1),
            "word": Out(index_shape(shape.parameter_words)),
            "slice": Out(index_shape(shape.parameter_bytes // shape.bus_bytes)),
            "data": Out(8 * shape.bus_bytes),
        }
    )


class ParameterMemory(wiring.Component):
    """Gives the records of one part of a group after the other.

    Parameters
    ----------
    shape : of the engine.

    Members
    -------
    write : see parameter_port; not for words of a command that is here.
    load (in): begin with word ``first`` (in), the first of ``groups`` (in), or with ``one_word``
    (in) that of all of them, in the next cycle; these stay. take (in): the row ``part`` (in) of
    this word comes to ``records`` (out) ``LATENCY`` cycles later. keep (in): it is the one that was
    taken last. turn (in): the word of the next group follows from the next cycle on, the first one
    after the last.
    """

    LATENCY = 2

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        fields = layout(COMPUTE, ("parameter", "groups"))
        super().__init__(
            {
                "write": In(parameter_port(shape)),
                "load": In(1),
                "first": In(fields["parameter"].shape),
                "groups": In(fields["groups"].shape),
                "one_word": In(1),
                "take": In(1),
                "keep": In(1),
                "part": In(index_shape(shape.result_parts)),
                "turn": In(1),
                "records": Out(data.ArrayLayout(layout(RECORD), shape.requantizers)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        shape = self.shape
        m.submodules.words = memory = SimpleDualPort(
            8 * shape.parameter_row_bytes,
            shape.parameter_words * shape.result_parts,
            part=8 * shape.bus_bytes,
            block=True,
        )
        self._write(m, memory)
        word, group = Signal(self.write.word.shape(), name="word"), Signal(self.groups.shape())
        # Known before a word is turned to.
        last, single = reg(1, "last_group"), Signal(name="single_group")
        m.d.comb += single.eq(self.one_word | (self.groups == 1))
        with m.If(self.load):
            m.d.sync += [word.eq(self.first), group.eq(0), last.eq(single)]
        with m.Elif(self.turn):
            m.d.sync += [
                word.eq(Mux(last, self.first, word + 1)),
                group.eq(Mux(last, 0, group + 1)),
                last.eq(Mux(last, single, group == self.groups - 2)),
            ]
        m.d.comb += [
            memory.r_en.eq(self.take & ~self.keep),
            memory.r_addr.eq(self._address(self.part, word)),
        ]
        # Block RAM has this register.
        read = delay_line(m, memory.r_data, self.LATENCY - 1, "read", data=True)
        m.d.comb += self.records.as_value().eq(read[: len(self.records.as_value())])
        return m

    def _write(self, m: Module, memory: SimpleDualPort) -> None:
        """Which row of the memory a slice is in, and where in it."""
        port, slices = self.write, len(memory.w_en)
        everything = range(slices * self.shape.result_parts)
        rows = index_shape(self.shape.result_parts)
        row = Array(Const(n // slices, rows) for n in everything)[port.slice]
        place = Array(Const(1 << n % slices, slices) for n in everything)[port.slice]
        m.d.comb += [
            memory.w_en.eq(Mux(port.en, place, 0)),
            memory.w_addr.eq(self._address(row, port.word)),
            memory.w_data.eq(port.data.replicate(slices)),
        ]

    def _address(self, row: Value, word: Value) -> Value:
        # Verilog has no vectors of no bits.
        parts = self.shape.result_parts
        return Cat(row[: (parts - 1).bit_length()], word) if parts > 1 else word
