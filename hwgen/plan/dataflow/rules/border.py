"""Pad and Upsample: their rules and units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....ir import ops
from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from ..units import JoinUnit, Unit
from .rule import Place, Rule, Stage


@dataclass(frozen=True)
class PadUnit(JoinUnit):
    """A border around each frame. See gateware Pad. ``size`` : rows and columns of the input."""

    kind: ClassVar[str] = "pad"
    waits: ClassVar[bool] = True

    size: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]

    def order(self) -> list[tuple[int, ...]]:
        (top, bottom), (left, right) = self.pads
        beats = self.input.beats // self.input.pixels
        row = [()] * left + [(0,)] * self.size[1] + [()] * right
        rows = [[()] * len(row)] * top + [row] * self.size[0] + [[()] * len(row)] * bottom
        return [taken for row in rows for taken in row for _ in range(beats)]


@dataclass(frozen=True)
class UpsampleUnit(Unit):
    """Rows and columns several times. See gateware Upsample. ``columns`` : of the input."""

    kind: ClassVar[str] = "upsample"

    columns: int
    factor: tuple[int, int]

    @property
    def row_beats(self) -> int:
        """Beats of an input row."""
        return self.columns * (self.input.beats // self.input.pixels)

    @property
    def memory_bits(self) -> int:
        return super().memory_bits + 2 * self.row_beats * self.input.lanes * self.input.bits

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.output.beats, 1)
        rows = self.input.beats // self.row_beats
        complete, read = sim.events(rows), sim.events(rows)
        beats = self.row_beats * self.factor[0] * self.factor[1]
        sim.process(
            Kind.FILL_ROWS, self.input.beats, source.push, source.pop, complete, read,
            self.row_beats,
        )  # fmt: skip
        sim.process(
            Kind.REPEAT_ROWS, rows * beats, out.push, out.pop, complete, read,
            sim.work(self.name).waits, out.depth, beats,
        )  # fmt: skip
        return out


class PadRule(Rule[ops.Pad]):
    """Rows and columns of one value around an image."""

    def unit(self, stage: Stage[ops.Pad], place: Place) -> Unit:
        return PadUnit(
            **self.common(stage, place),
            inputs=place.inputs,
            size=stage.input.hwc[:2],
            pads=stage.op.pads,
        )


class UpsampleRule(Rule[ops.Upsample]):
    """Each row and each column several times."""

    def unit(self, stage: Stage[ops.Upsample], place: Place) -> Unit:
        return UpsampleUnit(
            **self.common(stage, place),
            columns=stage.input.hwc[1],
            factor=stage.op.factor,
        )
