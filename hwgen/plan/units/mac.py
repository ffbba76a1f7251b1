"""Units with a MAC array: convolution and dense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .. import latency
from ..drain_events import drain_process
from ..events import Process, Queue, Simulation, Times, add, at, count, process
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

    def word_beats(self) -> list[int]:
        """Beats in which each shadow word leaves, over and over."""
        widths = (min(self.pe, self.outputs - n * self.pe) for n in range(self.out_folds))
        return [beats_of(width, self.output.lanes) for width in widths]

    def drain(self, sim: Simulation, shadow: Queue, words: int) -> Queue:
        """Add the drain; returns the output queue."""
        delay = latency.requantizer(self.multiplies, self.outputs)
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.output.beats, delay)
        beats = np.array(self.word_beats(), np.int64)
        sim.processes.append(drain_process(shadow, out, words, beats, delay))
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

    def word_beats(self) -> list[int]:
        if self.pixels == 1:
            return super().word_beats()
        beats, full = beats_of(self.outputs, self.output.lanes), self.geometry.groups - 1
        last = self.geometry.out_size[1] - full * self.pixels
        return [self.pixels * beats] * full + [last * beats]

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        g = self.geometry
        ready = self.window_queue(sim, source)
        # A window's place is given back early where a word's place is sure a cycle before.
        count_of = g.out_size[0] * g.groups
        words = count_of * self.out_folds
        shadow = sim.queue(f"{self.name}.shadow", self.shadow, words, self.mac_latency + 1)
        work = sim.work(self.name, count_of)
        sim.processes.append(
            _compute_windows(
                ready.push, ready.pop, ready.freed, shadow.push, shadow.pop, work.issued,
                work.waits, sim.frames * count_of, self.out_folds, self.tap_folds, shadow.depth,
                self.mac_latency,
            )
        )  # fmt: skip
        return self.drain(sim, shadow, sim.frames * words)


@process
def _compute_windows(
    given: Times, taken: Times, freed: Times, push: Times, pop: Times, issued: Times, work: Times,
    windows: int, folds: int, cycles: int, depth: int, delay: int,
) -> Process:  # fmt: skip
    time, word = -1, 0
    for window in range(windows):
        while count(given) <= window:
            yield 0
        begin = max(time + 1, at(given, window) + 1)
        work[0] += begin - time - 1
        add(issued, begin)
        time = begin - 1
        early = 0
        for _ in range(folds):
            time += cycles
            ready = time
            room = 0
            if word >= depth:
                while count(pop) <= word - depth:
                    yield 0
                room = at(pop, word - depth) + 1
            time = max(time, room)
            early = 1 if cycles > 1 and room < ready else 0
            work[1] += time - ready
            add(push, time + delay)
            word += 1
        add(taken, time)
        add(freed, time - early)


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
        shadow = sim.queue(f"{self.name}.shadow", self.shadow, self.out_folds, self.mac_latency)
        work = sim.work(self.name, self.tap_folds)
        sim.processes.append(
            _compute_beats(
                source.push, source.pop, shadow.push, shadow.pop, work.issued, work.waits,
                sim.frames, self.tap_folds, self.out_folds, shadow.depth, self.mac_latency,
            )
        )  # fmt: skip
        return self.drain(sim, shadow, sim.frames * self.out_folds)


@process
def _compute_beats(
    pushed: Times, popped: Times, push: Times, pop: Times, issued: Times, work: Times, frames: int,
    beats: int, folds: int, depth: int, delay: int,
) -> Process:  # fmt: skip
    time, word = -1, 0
    for n in range(frames * beats):
        while count(pushed) <= n:
            yield 0
        begin = max(time + 1, at(pushed, n) + 1)
        work[0] += begin - time - 1
        add(issued, begin)
        if (n + 1) % beats != 0:
            time = begin + folds - 1
        else:
            time = begin - 1
            for _ in range(folds):
                time += 1
                if word >= depth:
                    while count(pop) <= word - depth:
                        yield 0
                    work[1] += max(0, at(pop, word - depth) + 1 - time)
                    time = max(time, at(pop, word - depth) + 1)
                add(push, time + delay)
                word += 1
        add(popped, time)
