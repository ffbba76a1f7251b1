"""Units that change rows and columns without arithmetic: Pad and Upsample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..events import Process, Queue, Simulation, Times, add, at, count, process
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
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.output.beats, 1)
        frame_rows = self.input.beats // self.row_beats
        rows = sim.frames * frame_rows
        complete, read = sim.events(frame_rows), sim.events(frame_rows)
        beats = self.row_beats * self.factor[0] * self.factor[1]
        waits = sim.work(self.name).waits
        sim.processes.append(_write(source.push, source.pop, complete, read, rows, self.row_beats))
        sim.processes.append(
            _read(out.push, out.pop, out.depth, complete, read, waits, rows, beats)
        )
        return out


@process
def _write(
    pushed: Times, popped: Times, complete: Times, read: Times, rows: int, row_beats: int
) -> Process:
    time = -1
    for row in range(rows):
        for _ in range(row_beats):
            while count(pushed) <= count(popped):
                yield 0
            time = max(time + 1, at(pushed, count(popped)) + 1)
            if row >= 2:
                while count(read) <= row - 2:
                    yield 0
                time = max(time, at(read, row - 2) + 1)
            add(popped, time)
        add(complete, time)


@process
def _read(
    push: Times, pop: Times, depth: int, complete: Times, read: Times, work: Times, rows: int,
    beats: int,
) -> Process:  # fmt: skip
    time = -1
    for row in range(rows):
        while count(complete) <= row:
            yield 0
        begin = max(time + 1, at(complete, row) + 1)
        work[0] += begin - time - 1
        time = begin - 1
        for _ in range(beats):
            time += 1
            begin = time
            n = count(push)
            if n >= depth:
                while count(pop) <= n - depth:
                    yield 0
                time = max(time, at(pop, n - depth) + 1)
            work[1] += time - begin
            add(push, time + 1)
        add(read, time)
