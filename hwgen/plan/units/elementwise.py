"""Units without a window or weights: requantization, argmax, change of lanes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..events import Process, Queue, Simulation
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
        out = sim.queue(f"{self.name}.fifo", 0)
        sizes_in, sizes_out = _beat_sizes(self.input), _beat_sizes(self.output)
        out.weight_in = lambda n: sizes_out[n % len(sizes_out)]
        out.weight_out = out.weight_in
        del sim.levels[f"{self.name}.fifo"]
        sim.levels[f"{self.name}.elements"] = lambda until: _element_high_water(
            source.pop, out.pop, sizes_in, sizes_out, until
        )
        sim.processes.append(self._take(sim, source, out, sizes_in, sizes_out))
        return out

    def _take(
        self, sim: Simulation, source: Queue, out: Queue, sizes_in: list[int], sizes_out: list[int]
    ) -> Process:
        pushed, popped, push, pop = source.push, source.pop, out.push, out.pop
        lanes, capacity = self.input.lanes, self.elements
        work = sim.work(self.name)
        time, taken, offered = -1, 0, 0
        given, givens = 0, 0
        for beat in range(sim.frames * len(sizes_in)):
            while len(pushed) <= beat:
                yield
            begin = max(time + 1, pushed[beat] + 1)
            work.starved += begin - time - 1
            time = begin
            # Room for a whole beat, counting what had left before this cycle.
            while taken - given + lanes > capacity:
                while len(pop) <= givens:
                    yield
                time = max(time, pop[givens] + 1)
                given += sizes_out[givens % len(sizes_out)]
                givens += 1
            work.blocked += time - begin
            taken += sizes_in[beat % len(sizes_in)]
            popped.append(time)
            while offered + sizes_out[len(push) % len(sizes_out)] <= taken:
                offered += sizes_out[len(push) % len(sizes_out)]
                push.append(time)


def _beat_sizes(stream: StreamShape) -> list[int]:
    """Elements of each beat of a frame."""
    beats = beats_of(stream.channels, stream.lanes)
    pixel = [stream.lanes] * (beats - 1) + [stream.channels - (beats - 1) * stream.lanes]
    return pixel * stream.pixels


def _element_high_water(
    taken: list[int], given: list[int], sizes_in: list[int], sizes_out: list[int], until: int
) -> int:
    level = most = n_out = 0
    for n, time in enumerate(taken):
        if time + 1 >= until:
            break
        level += sizes_in[n % len(sizes_in)]
        while n_out < len(given) and given[n_out] <= time:
            level -= sizes_out[n_out % len(sizes_out)]
            n_out += 1
        most = max(most, level)
    return most
