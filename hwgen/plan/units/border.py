"""Units that change rows and columns without arithmetic: Pad and Upsample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..events import Process, Queue, Simulation
from .base import Unit
from .branch import JoinUnit


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
        out = sim.queue(f"{self.name}.fifo", self.fifo, 1)
        rows = sim.frames * (self.input.beats // self.row_beats)
        complete: list[int] = []
        read: list[int] = []
        sim.processes.append(self._write(source, rows, complete, read))
        sim.processes.append(self._read(sim, out, rows, complete, read))
        return out

    def _write(self, source: Queue, rows: int, complete: list[int], read: list[int]) -> Process:
        time = -1
        for row in range(rows):
            for _ in range(self.row_beats):
                while len(source.push) <= len(source.pop):
                    yield
                time = max(time + 1, source.push[len(source.pop)] + 1)
                if row >= 2:
                    while len(read) <= row - 2:
                        yield
                    time = max(time, read[row - 2] + 1)
                source.pop.append(time)
            complete.append(time)

    def _read(
        self, sim: Simulation, out: Queue, rows: int, complete: list[int], read: list[int]
    ) -> Process:
        work = sim.work(self.name)
        beats = self.row_beats * self.factor[0] * self.factor[1]
        time = -1
        for row in range(rows):
            while len(complete) <= row:
                yield
            begin = max(time + 1, complete[row] + 1)
            work.starved += begin - time - 1
            time = begin - 1
            for _ in range(beats):
                begin = time = time + 1
                n = len(out.push)
                if n >= out.depth:
                    while len(out.pop) <= n - out.depth:
                        yield
                    time = max(time, out.pop[n - out.depth] + 1)
                work.blocked += time - begin
                out.push.append(time + 1)
            read.append(time)
