"""Units with a MAC array: convolution and dense."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import Any, ClassVar

from .. import latency
from ..drain_events import drain_process
from ..events import Process, Queue, Simulation
from .base import Unit, beats_of
from .windowed import WindowedUnit


@dataclass(frozen=True)
class MacUnit(Unit):
    """Common to units with a MAC array and a drain.

    fold : (pe, simd, pixels). taps, outputs : of the weight matrix. multiplies : whether the
    requantizers need multipliers. shadow : words of finished accumulators. Bits of a weight, an
    accumulator, and a channel's requantization parameters.
    """

    fold: tuple[int, int, int]
    taps: int
    outputs: int
    multiplies: bool
    weight_bits: int
    acc_bits: int
    parameter_bits: int
    shadow: int

    @property
    def pe(self) -> int:
        return self.fold[0]

    @property
    def simd(self) -> int:
        return self.fold[1]

    @property
    def pixels(self) -> int:
        """Output pixels computed side by side."""
        return self.fold[2]

    @property
    def tap_folds(self) -> int:
        """Cycles for all taps of one output fold."""
        return beats_of(self.taps, self.simd)

    @property
    def out_folds(self) -> int:
        """Folds of the outputs."""
        return beats_of(self.outputs, self.pe)

    @property
    def mac_latency(self) -> int:
        """Cycles from the issue of operands to the shadow FIFO: weights, MAC array."""
        return latency.rom(self.tap_folds * self.out_folds) + latency.mac(self.simd)

    @property
    def multipliers(self) -> int:
        return self.pe * self.simd * self.pixels

    @property
    def requant_multipliers(self) -> int:
        return self.output.lanes if self.multiplies else 0

    @property
    def macs(self) -> int:
        return self.output.pixels * self.taps * self.outputs

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {"compute": self.compute, "requant": self.output.beats}

    @property
    def compute(self) -> int:
        """MAC array cycles of a frame."""
        raise AssertionError

    @property
    def memory_bits(self) -> int:
        folds = self.tap_folds * self.out_folds
        return (
            super().memory_bits
            + folds * self.pe * self.simd * self.weight_bits
            + self.shadow * self.pe * self.pixels * self.acc_bits
            + self.outputs * self.parameter_bits
        )

    def choices(self) -> dict[str, Any]:
        return super().choices() | {"pe": self.pe, "simd": self.simd, "pixels": self.pixels}

    def word_beats(self) -> Iterator[int]:
        """Beats in which each shadow word leaves, for ever."""
        widths = (min(self.pe, self.outputs - n * self.pe) for n in range(self.out_folds))
        return cycle([beats_of(width, self.output.lanes) for width in widths])

    def drain(self, sim: Simulation, shadow: Queue, words: int) -> Queue:
        """Add the drain; returns the output queue."""
        delay = latency.requantizer(self.multiplies, self.outputs)
        out = sim.queue(f"{self.name}.fifo", self.fifo, delay)
        sim.processes.append(drain_process(shadow, out, words, self.word_beats(), delay))
        return out


@dataclass(frozen=True)
class ConvUnit(WindowedUnit, MacUnit):
    """Ring of rows, window, MAC array, drain. See gateware Conv."""

    kind: ClassVar[str] = "conv"
    capacities: ClassVar[tuple[str, ...]] = ("rows", "parallel", "windows", "shadow", "fifo")

    @property
    def compute(self) -> int:
        rows = self.geometry.out_size[0]
        return rows * self.geometry.groups * self.tap_folds * self.out_folds

    def generous(self, field: str) -> int:
        return self.mac_latency + 4 if field == "shadow" else super().generous(field)

    def word_beats(self) -> Iterator[int]:
        if self.pixels == 1:
            return super().word_beats()
        beats, full = beats_of(self.outputs, self.output.lanes), self.geometry.groups - 1
        last = self.geometry.out_size[1] - full * self.pixels
        return cycle([self.pixels * beats] * full + [last * beats])

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        g = self.geometry
        ready = self.window_queue(sim, source)
        # A window's place is given back early where a word's place is sure a cycle before.
        shadow = sim.queue(f"{self.name}.shadow", self.shadow, self.mac_latency + 1)
        windows = sim.frames * g.out_size[0] * g.groups
        sim.processes.append(self._compute(sim, ready, shadow, windows))
        return self.drain(sim, shadow, windows * self.out_folds)

    def _compute(self, sim: Simulation, source: Queue, shadow: Queue, windows: int) -> Process:
        work = sim.work(self.name)
        given, push, pop = source.push, shadow.push, shadow.pop
        folds, cycles, depth = self.out_folds, self.tap_folds, shadow.depth
        delay = self.mac_latency
        time, word = -1, 0
        for window in range(windows):
            while len(given) <= window:
                yield
            begin = max(time + 1, given[window] + 1)
            work.starved += begin - time - 1
            work.issued.append(begin)
            time = begin - 1
            early = False
            for _ in range(folds):
                ready = time = time + cycles
                room = 0
                if word >= depth:
                    while len(pop) <= word - depth:
                        yield
                    room = pop[word - depth] + 1
                time = max(time, room)
                early = cycles > 1 and room < ready
                work.blocked += time - ready
                push.append(time + delay)
                word += 1
            source.pop.append(time)
            source.freed.append(time - early)


@dataclass(frozen=True)
class DenseUnit(MacUnit):
    """Input-stationary matrix product, drain. See gateware Dense."""

    kind: ClassVar[str] = "dense"
    capacities: ClassVar[tuple[str, ...]] = ("shadow", "fifo")

    @property
    def compute(self) -> int:
        return self.tap_folds * self.out_folds

    @property
    def memory_bits(self) -> int:
        psums = self.out_folds * self.pe * self.acc_bits if self.out_folds > 1 else 0
        return super().memory_bits + psums

    def generous(self, field: str) -> int:
        if field == "shadow":
            return self.out_folds + self.mac_latency + 2
        return super().generous(field)

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        shadow = sim.queue(f"{self.name}.shadow", self.shadow, self.mac_latency)
        sim.processes.append(self._compute(sim, source, shadow))
        return self.drain(sim, shadow, sim.frames * self.out_folds)

    def _compute(self, sim: Simulation, source: Queue, shadow: Queue) -> Process:
        work = sim.work(self.name)
        pushed, popped, push, pop = source.push, source.pop, shadow.push, shadow.pop
        folds, depth, delay = self.out_folds, shadow.depth, self.mac_latency
        time, word = -1, 0
        for _ in range(sim.frames):
            for beat in range(self.tap_folds):
                while len(pushed) <= len(popped):
                    yield
                begin = max(time + 1, pushed[len(popped)] + 1)
                work.starved += begin - time - 1
                work.issued.append(begin)
                if beat < self.tap_folds - 1:
                    time = begin + folds - 1
                else:
                    time = begin - 1
                    for _ in range(folds):
                        time += 1
                        if word >= depth:
                            while len(pop) <= word - depth:
                                yield
                            work.blocked += max(0, pop[word - depth] + 1 - time)
                            time = max(time, pop[word - depth] + 1)
                        push.append(time + delay)
                        word += 1
                popped.append(time)
