"""Cast: elements rounded and brought into range, each by the type that it has of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...numeric.types import Overflow, QType
from ..common.counter import delay_line, index_shape, reg
from ..common.memory import Rom, rom_latency
from ..common.requantizer import raised
from ..common.streams import beat, element, positive


@dataclass(frozen=True)
class CastParameters:
    """``types``, which share rounding and overflow; fraction of the input; type of the result.

    index : for each beat and lane the number of its type, -1 where the result is 0. Beats repeat
    after the last one.
    """

    types: tuple[QType, ...]
    frac: int
    out: QType
    index: tuple[tuple[int, ...], ...]

    @property
    def latency(self) -> int:
        """Cycles: which type, its bounds, rounding, overflow."""
        return self.bounds_latency + 2

    @property
    def bounds_latency(self) -> int:
        """Cycles until the bounds of an element's type are known."""
        return rom_latency(len(self.index)) + rom_latency(len(self.types) + 1)

    @property
    def inner(self) -> int:
        """Fractional bits that hold input and result."""
        return max(self.frac, self.out.frac)

    @property
    def wraps(self) -> bool:
        """Whether what is out of range wraps."""
        return self.types[0].overflow is Overflow.WRAP

    def bounds(self) -> list[tuple[int, int, int]]:
        """Return of each type, and of zero: bits to be rounded off, lowest and highest value.

        In units of ``inner``. For types that wrap the third is the mask of the bits that stay.
        """
        rows = []
        for qtype in self.types:
            drop = self.inner - qtype.frac
            high = (1 << qtype.width) - 1 if self.wraps else qtype.max
            rows.append(((1 << drop) - 1, qtype.low << drop, high << drop))
        return [*rows, (0, 0, 0)]


class Cast(wiring.Component):
    """``lanes`` casts side by side.

    Parameters, members and stalls are those of a Requantizer: name (prefix of image names), shape
    of an input element, lanes, parameters. Latency ``latency``, initiation interval 1.
    """

    def __init__(self, name: str, x: Shape, lanes: int, parameters: CastParameters) -> None:
        positive(lanes=lanes, beats=len(parameters.index))
        if any(len(row) != lanes for row in parameters.index):
            raise ValueError(f"every beat needs {lanes} lanes")
        self.image, self.x, self.lanes, self.parameters = name, x, lanes, parameters
        self.groups, self.latency = len(parameters.index), parameters.latency
        super().__init__(
            {
                "valid": In(1),
                "acc": In(beat(x, lanes)),
                "index": In(index_shape(self.groups)),
                "o_valid": Out(1),
                "o": Out(beat(element(parameters.out), lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        m.d.comb += self.o_valid.eq(delay_line(m, self.valid, self.latency, "valid"))
        width = len(p.types).bit_length()
        # The number after the last type stands for zero.
        numbers = [[n % (len(p.types) + 1) for n in row] for row in p.index]
        words = [_joined(row, width) for row in numbers]
        m.submodules.types = types = Rom(f"{self.image}_types", width * self.lanes, words)
        m.d.comb += types.addr.eq(self.index)
        for lane in range(self.lanes):
            number = types.data.word_select(lane, width)
            m.d.comb += self.o[lane].eq(self._cast(m, lane, number))
        return m

    def _cast(self, m: Module, lane: int, number: Value) -> Value:
        """The element of a lane, cast to the type of this number."""
        p, shape = self.parameters, self._shape()
        words = [_joined(row, shape.width) for row in p.bounds()]
        rom = Rom(f"{self.image}_bounds{lane}", 3 * shape.width, words)
        m.submodules[f"bounds{lane}"] = rom
        m.d.comb += rom.addr.eq(number)
        below, low, high = (rom.data.word_select(n, shape.width) for n in range(3))

        waiting = delay_line(m, self.acc[lane], p.bounds_latency, f"waiting{lane}", data=True)
        waiting = waiting.as_signed() if Shape.cast(self.x).signed else waiting
        value = Signal(shape, name=f"value{lane}")
        rounded, result = reg(shape, f"rounded{lane}"), reg(shape, f"result{lane}")
        low = delay_line(m, low, 1, f"low{lane}", data=True).as_signed()
        high = delay_line(m, high, 1, f"high{lane}", data=True).as_signed()
        m.d.comb += value.eq(waiting << (p.inner - p.frac))
        m.d.sync += [
            rounded.eq(self._rounded(value, below)),
            result.eq(self._within(rounded, low, high)),
        ]
        return result >> (p.inner - p.out.frac)

    def _shape(self) -> Shape:
        """Holds input and result, what rounding adds, and differences of both."""
        p = self.parameters
        x, out = Shape.cast(self.x), element(p.out)
        widths = (x.width + p.inner - p.frac, out.width + p.inner - p.out.frac)
        return signed(max(widths) + 3)

    def _rounded(self, value: Value, below: Value) -> Value:
        """``value`` without the bits of the mask ``below``, rounded."""
        unit = (below + 1)[: len(value)]
        half = (value & below & ~(below >> 1)).any()
        rest = (value & (below >> 1)).any()
        odd = (value & unit).any()
        rounding = self.parameters.types[0].rounding
        up = raised(half, rest, value[-1], odd, rounding)
        return (value & ~below).as_signed() + Mux(up, unit, 0)

    def _within(self, value: Value, low: Value, high: Value) -> Value:
        """``value`` brought into range."""
        if self.parameters.wraps:
            return ((value - low) & high) + low
        outside_low, outside_high = value < low, value > high
        if self.parameters.types[0].overflow is Overflow.SATURATE_ZERO:
            return Mux(outside_low | outside_high, 0, value)
        return Mux(outside_low, low, Mux(outside_high, high, value))


def _joined(values: Sequence[int], width: int) -> int:
    """Integers side by side in one word, the first at the least significant end."""
    mask = (1 << width) - 1
    return sum((value & mask) << (n * width) for n, value in enumerate(values))
