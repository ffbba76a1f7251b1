"""Units that change rows and columns without arithmetic: Pad, Crop and Upsample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from .base import BeatUnit, Unit
from .join_fork import JoinUnit


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
class CropUnit(BeatUnit):
    """Some of a frame's beats. See gateware Crop. ``kept`` : rows, columns, beats of a pixel."""

    kind: ClassVar[str] = "crop"

    kept: tuple[tuple[bool, ...], ...]

    def completes(self) -> list[bool]:
        rows, columns, beats = self.kept
        return [r and c and b for r in rows for c in columns for b in beats]


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
