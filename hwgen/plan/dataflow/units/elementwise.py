"""Units without a window or weights: requantization, argmax, softmax, change of lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ....contract.geometry import ceil_div
from ... import latency
from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from ..events.times import Words, compiled
from .base import BeatUnit, StreamShape, Unit


@dataclass(frozen=True)
class RequantUnit(BeatUnit):
    """Requantizers on a stream. See gateware Requant."""

    kind: ClassVar[str] = "requant"

    multiplies: bool
    parameter_bits: int

    @property
    def requant_multipliers(self) -> int:
        return self.output.lanes if self.multiplies else 0

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {"requant": self.input.beats}

    @property
    def memory_bits(self) -> int:
        return super().memory_bits + self.output.channels * self.parameter_bits


@dataclass(frozen=True)
class RescaleUnit(RequantUnit):
    """A runtime's own rule to scale and round, on a stream. See gateware Rescaler."""

    kind: ClassVar[str] = "rescaler"


@dataclass(frozen=True)
class StaircaseUnit(BeatUnit):
    """A function constant between thresholds, on a stream. See gateware Staircase."""

    kind: ClassVar[str] = "staircase"

    parameter_bits: int

    @property
    def memory_bits(self) -> int:
        return super().memory_bits + self.parameter_bits


@dataclass(frozen=True)
class CastUnit(BeatUnit):
    """Elements to types of their own, on a stream. See gateware Cast.

    positions : pixels after which the types repeat. types : how many there are.
    """

    kind: ClassVar[str] = "cast"

    positions: int
    types: int

    @property
    def memory_bits(self) -> int:
        beats = self.positions * ceil_div(self.input.channels, self.input.lanes)
        return super().memory_bits + beats * self.input.lanes * self.types.bit_length()


@dataclass(frozen=True)
class ArgMaxUnit(BeatUnit):
    """Index of the largest channel. See gateware ArgMax."""

    kind: ClassVar[str] = "argmax"

    def completes(self) -> list[bool]:
        pixel = [False] * (self.input.channels - 1) + [True]
        return pixel * self.input.pixels


@dataclass(frozen=True)
class SoftmaxUnit(Unit):
    """Softmax over the channels, one after the other. See gateware Softmax."""

    kind: ClassVar[str] = "softmax"

    @property
    def requant_multipliers(self) -> int:
        return 1

    @property
    def bounds(self) -> dict[str, int]:
        _, interval = latency.softmax(self.input.channels)
        return super().bounds | {"compute": self.input.pixels * interval}

    @property
    def burst(self) -> int:
        return self.output.channels

    @property
    def memory_bits(self) -> int:
        exponentials = 31 << self.input.bits
        return super().memory_bits + self.input.channels * self.input.bits + exponentials

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.output.beats, latency.SOFTMAX)
        gap, _ = latency.softmax(self.input.channels)
        sim.process(
            Kind.VECTOR, self.input.beats + self.output.beats, source.push, source.pop, out.push,
            out.pop, sim.work(self.name).waits, sim.state(1), self.input.channels, gap, out.depth,
            latency.SOFTMAX,
        )  # fmt: skip
        return out


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
        sim.levels[f"{self.name}.elements"] = lambda until: _element_high_water(
            sim.entries(source.pop), sim.entries(out.pop), sizes_in, sizes_out, until
        )
        sim.process(
            Kind.REGROUP, sizes_in.size, source.push, source.pop, out.push, out.pop,
            sim.work(self.name).waits, sim.state(4), sim.table(sizes_in), sizes_in.size,
            sim.table(sizes_out), sizes_out.size, self.input.lanes, self.elements,
        )  # fmt: skip
        return out


def _beat_sizes(stream: StreamShape) -> Words:
    """Elements of each beat of a frame."""
    beats = ceil_div(stream.channels, stream.lanes)
    pixel = [stream.lanes] * (beats - 1) + [stream.channels - (beats - 1) * stream.lanes]
    return np.array(pixel * stream.pixels, np.int64)


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
