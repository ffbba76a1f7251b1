"""The weight memory of the tiled engine: wide words, written a beat at a time."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....numeric.division import ceil_div
from ...common.counter import index_shape, reg


def weight_port(shape: EngineShape) -> wiring.Signature:
    """Writes one slice of a word of weights, that of the first ones first.

    one_lane : a slice is of lane 0 alone, a byte for each of as many output channels; their other
    weights become 0.
    """
    return wiring.Signature(
        {
            "en": Out(1),
            "word": Out(index_shape(shape.weight_words)),
            "slice": Out(index_shape(ceil_div(shape.weight_bytes, shape.bus_bytes))),
            "data": Out(8 * shape.bus_bytes),
            "one_lane": Out(1),
        }
    )


class WeightMemory(wiring.Component):
    """Words of pe x simd weights, written a beat of external memory at a time.

    Members: write (in), see weight_port; en (in): word (in) is read; data (out): it stays until
    another word is read. Some word is read after a reset, so that there are data from then on.

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
        m, shape = Module(), self.shape
        cold = Signal(name="cold", init=1)
        m.d.sync += cold.eq(0)
        # A memory for each slice: block RAMs are no wider, and each is enabled alone. The last beat
        # may have less than its bits.
        parts, beat = [], 8 * self.shape.bus_bytes
        for n in range(self.slices):
            m.submodules[f"slice{n}"] = part = memory.Memory(
                shape=unsigned(min(beat, len(self.data) - n * beat)),
                depth=max(2, self.shape.weight_words), init=[], attrs={"no_rw_check": 1},
            )  # fmt: skip
            write, read = part.write_port(), part.read_port()
            mine, given = self.write.slice == n, self.write.data
            if shape.takes_one_lane:
                # That many slices hold the channels whose weights of one lane are in a beat.
                slices = shape.simd * shape.weight_bits // shape.lane_bits
                mine = Mux(self.write.one_lane, self.write.slice == n // slices, mine)
                given = Mux(self.write.one_lane, self._spread(n * beat, (n + 1) * beat), given)
            m.d.comb += [
                write.en.eq(self.write.en & mine),
                write.addr.eq(self.write.word),
                write.data.eq(given),
                read.en.eq(self.en | cold),
                read.addr.eq(self.word),
            ]
            parts.append(read.data)
        held = reg(len(self.data), "held")
        m.d.sync += held.eq(Cat(*parts))
        m.d.comb += self.data.eq(held)
        return m

    def _spread(self, first: int, end: int) -> Value:
        """Bits of a word of which each output channel has a weight of a beat in its lane 0."""
        shape, bits = self.shape, []
        for place in range(first, end):
            channel, bit = divmod(place, shape.simd * shape.weight_bits)
            weight = self.write.data.word_select(
                channel % (8 * shape.bus_bytes // shape.lane_bits), shape.lane_bits
            )
            bits.append(weight[bit] if bit < shape.weight_bits else Const(0, 1))
        return Cat(bits)
