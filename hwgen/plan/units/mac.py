"""Units with a MAC array: convolution and dense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ...validation import fields
from .. import latency
from ..events import Queue, Simulation
from ..recurrences import Kind
from ..window_events import tap_events
from .base import CAPACITY, Unit, beats_of
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

    @classmethod
    def choice_schema(cls) -> dict[str, Any]:
        schema = super().choice_schema()
        fold = ("pe", "simd", "pixels")
        properties = schema["properties"] | dict.fromkeys(fold, CAPACITY)
        return fields(properties, required=(*schema["required"], *fold))

    def choices(self) -> dict[str, Any]:
        return super().choices() | {"pe": self.pe, "simd": self.simd, "pixels": self.pixels}

    def word_beats(self) -> list[int]:
        """Beats in which each shadow word leaves, over and over."""
        widths = (min(self.pe, self.outputs - n * self.pe) for n in range(self.out_folds))
        return [beats_of(width, self.output.lanes) for width in widths]

    def drain(self, sim: Simulation, shadow: Queue) -> Queue:
        """Add the drain, which takes shadow words apart; returns the output queue."""
        delay = latency.requantizer(self.multiplies, self.outputs)
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.output.beats, delay)
        beats = self.word_beats()
        sim.process(
            Kind.DRAIN, self.output.beats, shadow.push, shadow.pop, out.push, out.pop,
            sim.state(1), sim.table(beats), len(beats), out.depth, delay,
        )  # fmt: skip
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
        words = g.out_size[0] * g.groups * self.out_folds
        shadow = sim.queue(f"{self.name}.shadow", self.shadow, words, self.mac_latency + 1)
        sim.process(
            Kind.CONVOLVE, words, ready.push, ready.pop, ready.freed, shadow.push, shadow.pop,
            sim.work(self.name).waits, self.out_folds, self.tap_folds, shadow.depth,
            self.mac_latency,
        )  # fmt: skip
        return self.drain(sim, shadow)


@dataclass(frozen=True)
class RingConvUnit(WindowedUnit, MacUnit):
    """Ring of rows, MAC array, drain; no window. See gateware RingConv. ``parallel`` is given."""

    kind: ClassVar[str] = "ring_conv"
    capacities: ClassVar[tuple[str, ...]] = ("rows", "shadow", "fifo")

    @property
    def mac_latency(self) -> int:
        rom = latency.rom(self.tap_folds * self.out_folds)
        return max(rom, latency.TAPS) + latency.mac(self.simd)

    @property
    def compute(self) -> int:
        return self.output.pixels * self.tap_folds * self.out_folds

    def generous(self, field: str) -> int:
        return self.mac_latency + 4 if field == "shadow" else super().generous(field)

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        words = self.output.pixels * self.out_folds
        shadow = sim.queue(f"{self.name}.shadow", self.shadow, words, self.mac_latency)
        tap_events(
            sim, self.name, self.geometry, source, self.rows, shadow, self.out_folds,
            self.tap_folds, self.mac_latency,
        )  # fmt: skip
        return self.drain(sim, shadow)


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
        sim.process(
            Kind.MULTIPLY, self.tap_folds - 1 + self.out_folds, source.push, source.pop,
            shadow.push, shadow.pop, sim.work(self.name).waits, sim.state(1), self.tap_folds,
            self.out_folds, shadow.depth, self.mac_latency,
        )  # fmt: skip
        return self.drain(sim, shadow)
