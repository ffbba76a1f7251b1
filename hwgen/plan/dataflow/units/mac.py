"""What units with a MAC array share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ....numeric import ceil_div
from ....validation import fields
from ... import latency
from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from .base import CAPACITY, Unit


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
        return ceil_div(self.taps, self.simd)

    @property
    def out_folds(self) -> int:
        """Folds of the outputs."""
        return ceil_div(self.outputs, self.pe)

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
        return [ceil_div(width, self.output.lanes) for width in widths]

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
