"""A table of 256 entries that is written at run time, several entries a cycle."""

from __future__ import annotations

from amaranth.hdl import Array, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ....contract.isa import TABLE_WORDS
from ...common.counter import delay_line, index_shape
from ...common.memory import SimpleDualPort

ENTRY = 32
"""Bits of an entry."""


def entries_of(bus_bytes: int) -> int:
    """Entries that a beat of external memory brings."""
    return bus_bytes * 8 // ENTRY


class Lookup(wiring.Component):
    """One table, read at one place a cycle.

    Parameters
    ----------
    bus_bytes : that are written at a time, a multiple of 4.

    Members
    -------
    en, word, data (in): write. index (in), o (out): the entry.

    Latency ``LATENCY`` cycles, initiation interval 1. A write is seen by the index of the next
    cycle; an entry that is written in the same cycle is undefined.
    """

    LATENCY = 2

    def __init__(self, bus_bytes: int) -> None:
        self.entries = entries_of(bus_bytes)
        if self.entries * ENTRY != 8 * bus_bytes or self.entries & (self.entries - 1):
            raise ValueError(f"{bus_bytes} bytes are not a power of two of entries")
        super().__init__(
            {
                "en": In(1),
                "word": In(index_shape(TABLE_WORDS // self.entries)),
                "data": In(8 * bus_bytes),
                "index": In(index_shape(TABLE_WORDS)),
                "o": Out(signed(ENTRY)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = (self.entries - 1).bit_length()
        memory = SimpleDualPort(ENTRY * self.entries, TABLE_WORDS // self.entries)
        m.submodules.words = memory
        m.d.comb += [
            memory.w_en.eq(self.en),
            memory.w_addr.eq(self.word),
            memory.w_data.eq(self.data),
            memory.r_en.eq(1),
            memory.r_addr.eq(self.index[bits:]),
        ]
        # Block RAM has this register.
        word = delay_line(m, memory.r_data, 1, "read", data=True)
        if self.entries == 1:
            m.d.comb += self.o.eq(word)
        else:
            which = delay_line(m, self.index[:bits], self.LATENCY, "which", data=True)
            parts = Array(word.word_select(n, ENTRY) for n in range(self.entries))
            m.d.comb += self.o.eq(parts[which])
        return m
