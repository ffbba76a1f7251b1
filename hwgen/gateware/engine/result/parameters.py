"""The parameter memory: a record for each lane of a word of sums, those of the next group ahead.

A word of parameters is as wide as it is rarely another: it is kept in registers, and the memory
behind them is only as wide as fills them in ``reads`` cycles. Groups follow each other in a ring,
so that the next one is read while one is in use.
"""

from __future__ import annotations

from math import lcm

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.isa import COMPUTE, RECORD
from ...common.counter import delay_line, index_shape, reg
from ...common.memory import SimpleDualPort
from ..fetch.descriptor_layout import layout

MOST_READS = 8
"""Cycles in which a word of parameters is read, at most."""


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


def reads_of(shape: EngineShape) -> int:
    """Cycles in which a word of parameters is read: MOST_READS, or fewer."""
    # A row of the memory is a multiple of a slice.
    return min(
        MOST_READS, shape.pe, shape.parameter_bytes // lcm(RECORD.size // 8, shape.bus_bytes)
    )


class ParameterMemory(wiring.Component):
    """Gives the records of one group after the other.

    Parameters
    ----------
    shape : of the engine.

    Members
    -------
    write : see parameter_port; not for words that are in use or read ahead.
    load (in): begin with word ``first`` (in), the first of ``groups`` (in); these stay.
    ready (out): the next group is there. take (in): it comes to ``records`` (out), where it is
    from ``TAKE`` cycles later on.

    The group is ready ``LATENCY + reads`` cycles after ``load`` or after ``take`` of the one
    before; after the last group the first one follows.
    """

    LATENCY = 2
    TAKE = 2

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        self.reads = reads_of(shape)
        fields = layout(COMPUTE, ("parameter", "groups"))
        super().__init__(
            {
                "write": In(parameter_port(shape)),
                "load": In(1),
                "first": In(fields["parameter"].shape),
                "groups": In(fields["groups"].shape),
                "ready": Out(1),
                "take": In(1),
                "records": Out(data.ArrayLayout(layout(RECORD), shape.pe)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width = RECORD.size * self.shape.pe // self.reads
        memory = SimpleDualPort(
            width, self.shape.parameter_words * self.reads, part=8 * self.shape.bus_bytes
        )
        m.submodules.words = memory
        self._write(m, memory)
        asked = self._ask(m, memory)
        # Block RAM has this register.
        read = delay_line(m, memory.r_data, self.LATENCY - 1, "read", data=True)
        for n in range(self.LATENCY):
            later = Signal(_ASKED, name=f"asked_{n}")
            m.d.sync += later.eq(asked)
            if n:
                # What was asked for before a load is not wanted any more.
                m.d.sync += later.valid.eq(asked.valid & ~self.load)
            asked = later
        come, filled = Signal(name="come"), Signal(name="filled")
        m.d.comb += [come.eq(asked.valid & ~self.load), self.ready.eq(filled)]
        ahead = reg(RECORD.size * self.shape.pe, "ahead")
        for n in range(self.reads):
            with m.If(come & (asked.row == n)):
                m.d.sync += ahead.word_select(n, width).eq(read)
        with m.If(self.load | self.take):
            m.d.sync += filled.eq(0)
        with m.Elif(come & asked.last):
            m.d.sync += filled.eq(1)
        records = reg(RECORD.size * self.shape.pe, "in_use")
        # Thousands of registers are enabled by one of their own.
        with m.If(delay_line(m, self.take, self.TAKE - 1, "taken")):
            m.d.sync += records.eq(ahead)
        m.d.comb += self.records.as_value().eq(records)
        return m

    def _write(self, m: Module, memory: SimpleDualPort) -> None:
        """Which row of the memory a slice is in, and where in it."""
        port, parts = self.write, len(memory.w_en)
        slices = range(len(memory.w_en) * self.reads)
        rows = index_shape(self.reads)
        row = Array(Const(n // parts, rows) for n in slices)[port.slice]
        part = Array(Const(1 << n % parts, parts) for n in slices)[port.slice]
        m.d.comb += [
            memory.w_en.eq(Mux(port.en, part, 0)),
            memory.w_addr.eq(self._address(row, port.word)),
            memory.w_data.eq(port.data.replicate(parts)),
        ]

    def _address(self, row: Value, word: Value) -> Value:
        # Verilog has no vectors of no bits.
        return Cat(row[: (self.reads - 1).bit_length()], word) if self.reads > 1 else word

    def _ask(self, m: Module, memory: SimpleDualPort):
        """Ask for the rows of a group, from ``load`` or ``take`` on; returns which it is now."""
        asked = Signal(_ASKED, name="asked")
        start, running = Signal(name="start"), Signal(name="running")
        next_row = reg(asked.row.shape(), "next_row")
        group = Signal(self.groups.shape(), name="group")
        next_group = reg(self.groups.shape(), "next_group")
        word = Signal(self.write.word.shape(), name="word")
        next_word = reg(word.shape(), "next_word")
        m.d.comb += [
            start.eq(self.load | self.take),
            group.eq(Mux(self.load, 0, next_group)),
            asked.valid.eq(start | running),
            asked.row.eq(Mux(start, 0, next_row)),
            asked.last.eq(asked.row == self.reads - 1),
            memory.r_en.eq(asked.valid),
            word.eq(Mux(self.load, self.first, next_word)),
            memory.r_addr.eq(self._address(asked.row, word)),
        ]
        m.d.sync += [running.eq(asked.valid & ~asked.last), next_row.eq(asked.row + 1)]
        with m.If(self.load):
            m.d.sync += [next_group.eq(0), next_word.eq(self.first)]
        with m.If(asked.valid & asked.last):
            m.d.sync += [next_group.eq(group + 1), next_word.eq(word + 1)]
            with m.If(group == self.groups - 1):
                m.d.sync += [next_group.eq(0), next_word.eq(self.first)]
        return asked


_ASKED = data.StructLayout({"valid": 1, "row": index_shape(MOST_READS), "last": 1})
"""A row of the memory that is asked for; the last one of its group."""
