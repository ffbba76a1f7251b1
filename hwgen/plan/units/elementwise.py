"""Units without a window or weights: requantization, argmax, change of lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..events import Process, Queue, Simulation, Times, add, at, count, process
from .base import BeatUnit, StreamShape, Unit, beats_of


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
        beats = self.positions * beats_of(self.input.channels, self.input.lanes)
        return super().memory_bits + beats * self.input.lanes * self.types.bit_length()


@dataclass(frozen=True)
class ArgMaxUnit(BeatUnit):
    """Index of the largest channel. See gateware ArgMax."""

    kind: ClassVar[str] = "argmax"

    def completes(self) -> list[bool]:
        pixel = [False] * (self.input.channels - 1) + [True]
        return pixel * self.input.pixels


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
            source.pop, out.pop, sizes_in, sizes_out, until
        )
        waits = sim.work(self.name).waits
        sim.processes.append(
            _take(source.push, source.pop, out.push, out.pop, waits, sizes_in, sizes_out,
                  sim.frames, self.input.lanes, self.elements)
        )  # fmt: skip
        return out


@process
def _take(
    pushed: Times, popped: Times, push: Times, pop: Times, work: Times, sizes_in: Times,
    sizes_out: Times, frames: int, lanes: int, capacity: int,
) -> Process:  # fmt: skip
    time, taken, offered, given, givens = -1, 0, 0, 0, 0
    for beat in range(frames * sizes_in.size):
        while count(pushed) <= beat:
            yield 0
        begin = max(time + 1, at(pushed, beat) + 1)
        work[0] += begin - time - 1
        time = begin
        # Room for a whole beat, counting what had left before this cycle.
        while taken - given + lanes > capacity:
            while count(pop) <= givens:
                yield 0
            time = max(time, at(pop, givens) + 1)
            given += sizes_out[givens % sizes_out.size]
            givens += 1
        work[1] += time - begin
        taken += sizes_in[beat % sizes_in.size]
        add(popped, time)
        while offered + sizes_out[count(push) % sizes_out.size] <= taken:
            offered += sizes_out[count(push) % sizes_out.size]
            add(push, time)


def _beat_sizes(stream: StreamShape) -> Times:
    """Elements of each beat of a frame."""
    beats = beats_of(stream.channels, stream.lanes)
    pixel = [stream.lanes] * (beats - 1) + [stream.channels - (beats - 1) * stream.lanes]
    return np.array(pixel * stream.pixels, np.int64)


@process
def _element_high_water(
    taken: Times, given: Times, sizes_in: Times, sizes_out: Times, until: int
) -> int:
    level = most = n_out = 0
    for n in range(count(taken)):
        time = at(taken, n)
        if time + 1 >= until:
            break
        level += sizes_in[n % sizes_in.size]
        while n_out < count(given) and at(given, n_out) <= time:
            level -= sizes_out[n_out % sizes_out.size]
            n_out += 1
        most = max(most, level)
    return most
