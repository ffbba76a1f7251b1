"""Results through tables: an entry for each of two operands, and their sum rounded."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.features import Feature
from ....contract.isa import TABLE_FRACTION, TABLE_WORDS
from ...common.counter import index_shape, reg
from ...common.streams import positive
from ..fetch.descriptor_layout import RESULT
from .lookup import ENTRY, Lookup, entries_of

BYTE = 8
"""Bits of an index of a table."""
CODE = 9
"""Bits of a result with its sign: a byte, signed or not."""


def table_port(shape: EngineShape) -> wiring.Signature:
    """Writes entries, several a word: those of table 0, then those of table 1."""
    words = 2 * TABLE_WORDS // entries_of(shape.bus_bytes)
    return wiring.Signature(
        {"en": Out(1), "word": Out(index_shape(words)), "data": Out(8 * shape.bus_bytes)}
    )


class TableCombine(wiring.Component):
    """``clamp(round((table0[code] + table1[second]) / 2**TABLE_FRACTION) + offset)``.

    Parameters
    ----------
    shape : of the engine; one without tables has none of this: all outputs are 0. lanes : side by
    side, each with tables of its own.

    Members
    -------
    write (in): see table_port. codes, seconds (in): a byte for each lane. with_second (in): else
    table 1 counts for nothing. descriptor (in): with the fields ``second_half_even`` and so on;
    both stay while something is under way. o (out). difference (in), power (out): with
    ``softmax``, an index of table 0 and its entry, Lookup.LATENCY cycles later; nothing else then
    counts.

    Latency ``LATENCY`` cycles: table, sum, rounded, clamped; initiation interval 1, never stalls.
    """

    LATENCY = Lookup.LATENCY + 3

    def __init__(self, shape: EngineShape, lanes: int) -> None:
        positive(lanes=lanes)
        self.shape, self.lanes = shape, lanes
        super().__init__(
            {
                "write": In(table_port(shape)),
                "codes": In(data.ArrayLayout(8, lanes)),
                "seconds": In(data.ArrayLayout(8, lanes)),
                "with_second": In(1),
                "descriptor": In(RESULT),
                "o": Out(data.ArrayLayout(signed(CODE), lanes)),
                "difference": In(8),
                "power": Out(ENTRY - 1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if not self.shape.has(Feature.TABLES):
            return m
        given, word = self.descriptor, self.write.word
        for n in range(self.lanes):
            entries = []
            code = self.codes[n]
            if n == 0:
                code = Mux(given.softmax, self.difference, code)
            indices = (code, self.seconds[n]) if self.shape.has(Feature.SECOND) else (code,)
            for number, index in enumerate(indices):
                m.submodules[f"table{number}_{n}"] = table = Lookup(self.shape.bus_bytes)
                m.d.comb += [
                    table.en.eq(self.write.en & (word[-1] == number)),
                    table.word.eq(word[:-1]),
                    table.data.eq(self.write.data),
                    table.index.eq(index),
                ]
                entries.append(table.o)
            if n == 0:
                m.d.comb += self.power.eq(entries[0])
            total = reg(signed(ENTRY + 1), f"total{n}")
            m.d.sync += total.eq(
                entries[0] + sum(Mux(self.with_second, entry, 0) for entry in entries[1:])
            )
            m.d.comb += self.o[n].eq(self._result(m, n, total))
        return m

    def _result(self, m: Module, lane: int, total: Value) -> Value:
        """A sum rounded and clamped, two cycles later."""
        given = self.descriptor
        floor, half = total[TABLE_FRACTION:].as_signed(), total[TABLE_FRACTION - 1]
        below = total[: TABLE_FRACTION - 1].any()
        up = given.second_half_even & half & (below | floor[0])
        rounded = reg(signed(len(floor) + 2), f"rounded{lane}")
        m.d.sync += rounded.eq(floor + given.second_offset + up)
        result = reg(signed(CODE), f"result{lane}")
        low, high = given.second_low, given.second_high
        m.d.sync += result.eq(Mux(rounded < low, low, Mux(rounded > high, high, rounded)))
        return result
