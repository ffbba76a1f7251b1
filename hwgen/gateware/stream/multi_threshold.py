"""MultiThreshold: a function that is constant between thresholds, by table or by binary search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Shape, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...numeric.division import ceil_div
from ..common.counter import delay_line, index_shape, reg
from ..common.memory import Rom, rom_latency
from ..common.requantizer import shape_of
from ..common.streams import beat, positive

TABLE_BITS = 11
"""Inputs of so many bits index a table of all values: one column of block RAM."""


@dataclass(frozen=True)
class MultiThresholdParameters:
    """``thresholds`` (1 or channels, steps) ascending, ``values`` (steps + 1), result shape."""

    thresholds: tuple[tuple[int, ...], ...]
    values: tuple[int, ...]
    out: Shape

    def table(self, x: Shape) -> list[int] | None:
        """The value of every input in the order of its bits; None where that is too much."""
        if len(self.thresholds) > 1 or x.width > TABLE_BITS:
            return None
        half = 1 << (x.width - 1) if x.signed else 1 << x.width
        codes = (n - (1 << x.width) if n >= half else n for n in range(1 << x.width))
        return [self.values[sum(t <= n for t in self.thresholds[0])] for n in codes]

    @property
    def levels(self) -> int:
        """Comparisons one after the other."""
        return (len(self.values) - 1).bit_length()

    def latency(self, x: Shape) -> int:
        """Cycles from input to result."""
        if len(self.thresholds) == 1 and x.width <= TABLE_BITS:
            return rom_latency(1 << x.width)
        rows = len(self.thresholds)
        compares = sum(rom_latency(rows << n) + 1 for n in range(self.levels))
        return compares + rom_latency(1 << self.levels)


class MultiThreshold(wiring.Component):
    """``lanes`` of them side by side, with the thresholds of ``lanes`` channels a cycle.

    Parameters, members and stalls are those of a Requantizer: name (prefix of image names), shape
    of an input element, lanes, parameters, ``channels``. Latency ``latency``, initiation
    interval 1. A binary search takes a level of the tree of thresholds, a ROM each, at a time.
    """

    def __init__(
        self, name: str, x: Shape, lanes: int, channels: int, parameters: MultiThresholdParameters
    ) -> None:
        positive(lanes=lanes, channels=channels)
        if len(parameters.thresholds) not in (1, channels):
            raise ValueError(f"{len(parameters.thresholds)} rows for {channels} channels")
        self.image, self.x, self.lanes, self.parameters = name, x, lanes, parameters
        self.channels, self.groups = channels, ceil_div(channels, lanes)
        self.latency = parameters.latency(x)
        super().__init__(
            {
                "valid": In(1),
                "acc": In(beat(x, lanes)),
                "index": In(index_shape(self.groups)),
                "o_valid": Out(1),
                "o": Out(beat(parameters.out, lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o_valid.eq(delay_line(m, self.valid, self.latency, "valid"))
        table = self.parameters.table(self.x)
        for lane in range(self.lanes):
            if table is not None:
                index = Value.cast(self.acc[lane])
                result = self._rom(m, f"values_{lane}", table, index)
            else:
                result = self._search(m, lane)
            m.d.comb += self.o[lane].eq(result)
        return m

    def _rom(self, m: Module, name: str, words: Sequence[int], address: Value) -> Value:
        """The word of a result at an address."""
        width = Shape.cast(self.parameters.out).width
        mask = (1 << width) - 1
        rom = Rom(f"{self.image}_{name}", width, [word & mask for word in words])
        m.submodules[name] = rom
        m.d.comb += rom.addr.eq(address)
        return rom.data

    def _search(self, m: Module, lane: int) -> Value:
        """The bits of the number of thresholds that are reached, the highest first."""
        p = self.parameters
        rows, levels = len(p.thresholds), p.levels
        shape = self._threshold_shape()
        value = Value.cast(self.acc[lane])
        value = value.as_signed() if Shape.cast(self.x).signed else value
        index: Value = self.index
        count: Value = Cat()
        for level in range(levels):
            words = self._level(lane, level, shape)
            rom = Rom(f"{self.image}_level{level}_{lane}", shape.width, words)
            m.submodules[f"level{level}_{lane}"] = rom
            wait = rom_latency(rows << level)
            ahead = wait - rom.latency
            place = Cat(count, index) if rows > 1 else Cat(count)
            if len(words) > 1:
                m.d.comb += rom.addr.eq(
                    delay_line(m, place, ahead, f"place{level}_{lane}", data=True)
                )
            threshold = rom.data.as_signed() if shape.signed else rom.data
            name = f"{level}_{lane}"
            value = delay_line(m, value, wait, f"value{name}", data=True)
            value = value.as_signed() if Shape.cast(self.x).signed else value
            before = delay_line(m, count, wait, f"before{name}", data=True) if level else Cat()
            found = reg(level + 1, f"count{name}")
            m.d.sync += found.eq(Cat(value >= threshold, before))
            count = found
            value = delay_line(m, value, 1, f"kept{name}", data=True)
            value = value.as_signed() if Shape.cast(self.x).signed else value
            index = delay_line(m, index, wait + 1, f"index{name}", data=True)
        padding = [p.values[-1]] * ((1 << levels) - len(p.values))
        return self._rom(m, f"values_{lane}", [*p.values, *padding], count)

    def _threshold_shape(self) -> Shape:
        """One value more than any input: the threshold that is never reached."""
        highest = (1 << (self.x.width - (1 if self.x.signed else 0))) - 1
        lowest = -(highest + 1) if self.x.signed else 0
        return shape_of([lowest, highest + 1])

    def _level(self, lane: int, level: int, shape: Shape) -> list[int]:
        """The thresholds of one level, for each group of channels and each way so far."""
        p, size = self.parameters, 1 << self.parameters.levels
        never = 1 << (self.x.width - (1 if self.x.signed else 0))
        lowest = -never if self.x.signed else 0
        groups = self.groups if len(p.thresholds) > 1 else 1
        words = []
        for group in range(groups):
            row = p.thresholds[min(group * self.lanes + lane, len(p.thresholds) - 1)]
            for way in range(1 << level):
                at = way * (size >> level) + (size >> (level + 1)) - 1
                value = row[at] if at < len(row) else never
                words.append(max(lowest, min(value, never)) & ((1 << shape.width) - 1))
        return words
