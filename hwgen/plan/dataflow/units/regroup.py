"""The unit between two others whose beats differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ....numeric import ceil_div
from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from ..events.times import Words, compiled
from .base import StreamShape, Unit


@dataclass(frozen=True)
class RegroupUnit(Unit):
    """Change of lanes or of pixel size. See gateware Regroup."""

    kind: ClassVar[str] = "regroup"
    capacities: ClassVar[tuple[str, ...]] = ()

    @property
    def elements(self) -> int:
        """It can hold."""
        a, b = self.input.lanes, self.output.lanes
        return a + b + max(a, b) - 1

    @property
    def memory_bits(self) -> int:
        return self.elements * self.input.bits

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        # Not a FIFO of beats: its level counts elements, its room follows from that.
        out = sim.queue(f"{self.name}.fifo", 0, self.output.beats)
        sizes_in, sizes_out = _beat_sizes(self.input), _beat_sizes(self.output)
        del sim.levels[f"{self.name}.fifo"]
        sim.levels[f"{self.name}.elements"] = lambda events, until: _element_high_water(
            events.entries(source.pop), events.entries(out.pop), sizes_in, sizes_out, until
        )
        sim.process(
            Kind.REGROUP, self.input.beats, source.push, source.pop, out.push, out.pop,
            sim.work(self.name).waits, sim.state(4), sim.table(sizes_in), sizes_in.size,
            sim.table(sizes_out), sizes_out.size, self.input.lanes, self.elements,
        )  # fmt: skip
        return out


def _beat_sizes(stream: StreamShape) -> Words:
    """Elements of each beat of a pixel."""
    full = ceil_div(stream.channels, stream.lanes) - 1
    return np.array([stream.lanes] * full + [stream.channels - full * stream.lanes], np.int64)


@compiled
def _element_high_water(
    taken: Words, given: Words, sizes_in: Words, sizes_out: Words, until: int
) -> int:
    level = most = left = 0
    for n in range(taken.size):
        if taken[n] + 1 >= until:
            break
        level += sizes_in[n % sizes_in.size]
        while left < given.size and given[left] <= taken[n]:
            level -= sizes_out[left % sizes_out.size]
            left += 1
        most = max(most, level)
    return most
