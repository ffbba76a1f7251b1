"""The weight memory of the tiled engine: wide words, written a beat at a time."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....numeric.division import ceil_div
from ...common.counter import index_shape, reg


def weight_port(shape: EngineShape) -> wiring.Signature:
    """Writes one slice of a word of weights, that of the first ones first."""
    return wiring.Signature(
        {
            "en": Out(1),
            "word": Out(index_shape(shape.weight_words)),
            "slice": Out(index_shape(ceil_div(shape.weight_bytes, shape.bus_bytes))),
            "data": Out(8 * shape.bus_bytes),
        }
    )


class WeightMemory(wiring.Component):
    """Words of pe x simd weights, written a beat of external memory at a time.

    Members: write (in), see weight_port; en (in): word (in) is read; data (out): it stays until
    another word is read.

    Latency 2 cycles from word to data, initiation interval 1.
    """

    LATENCY = 2

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        self.slices = ceil_div(shape.weight_bytes, shape.bus_bytes)
        word = index_shape(shape.weight_words)
        super().__init__(
            {
                "write": In(weight_port(shape)),
                "en": In(1),
                "word": In(word),
                "data": Out(8 * shape.weight_word_bytes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # A memory for each slice: block RAMs are no wider, and each is enabled alone. The last beat
        # may have less than its bits.
        parts, beat = [], 8 * self.shape.bus_bytes
        for n in range(self.slices):
            m.submodules[f"slice{n}"] = part = memory.Memory(
                shape=unsigned(min(beat, len(self.data) - n * beat)),
                depth=max(2, self.shape.weight_words), init=[], attrs={"no_rw_check": 1},
            )  # fmt: skip
            write, read = part.write_port(), part.read_port()
            m.d.comb += [
                write.en.eq(self.write.en & (self.write.slice == n)),
                write.addr.eq(self.write.word),
                write.data.eq(self.write.data),
                read.en.eq(self.en),
                read.addr.eq(self.word),
            ]
            parts.append(read.data)
        held = reg(len(self.data), "held")
        m.d.sync += held.eq(Cat(*parts))
        m.d.comb += self.data.eq(held)
        return m
