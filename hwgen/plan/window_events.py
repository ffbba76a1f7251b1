"""Event processes of a sliding window: writing a ring of rows, reading it, queueing windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..geometry import WindowGeometry
from . import latency
from .events import Process, Queue, Simulation, Times, add, at, count, process


@dataclass
class RingEvents:
    """Event times of a ring. written : of each input beat. released : of each input row."""

    written: Times
    released: Times


@dataclass
class ReadEvents:
    """When each beat is asked of the ring's memory, and accepted from its output queue.

    These are events of their own because a beat may be asked for, and its row released, while
    windows before it still wait for room: the one must be known without the other.
    """

    issued: Times
    accepted: Times


def window_events(
    sim: Simulation,
    name: str,
    geometry: WindowGeometry,
    source: Queue,
    rows: int,
    parallel: bool,
    windows: int,
) -> Queue:
    """Add the processes of a window to a simulation; returns the queue of windows.

    Its consumer fills ``pop`` and ``freed``.
    """
    g = geometry
    repeats = 1 if parallel else g.kernel[0]
    columns = _columns_of(g, sim.frames)
    ring_rows, beats = sim.frames * g.size[0], g.beats * repeats
    events = RingEvents(sim.events(g.size[0] * g.row_beats), sim.events(g.size[0]))
    queue = sim.queue(f"{name}.windows", windows, g.out_size[0] * g.groups)
    queue.freed = sim.events(g.out_size[0] * g.groups)
    sim.processes.append(
        _writer(source.push, source.pop, *astuple(events), ring_rows, rows, g.row_beats)
    )
    most_reads = g.out_size[0] * (g.columns_read * beats + g.virtual_steps)
    reads = ReadEvents(sim.events(most_reads), sim.events(most_reads))
    last_rows, released = _rows_of(g)
    sim.processes.append(
        _reader(
            *astuple(events), *astuple(reads), columns, g.columns_read, g.beats, repeats,
            g.row_beats, last_rows, released,
        )
    )  # fmt: skip
    sim.processes.append(
        _shifter(*astuple(reads), queue.push, queue.freed, columns, g.columns_read, beats, windows)
    )
    sim.levels[f"{name}.ring"] = lambda until: _ring_high_water(
        events.written, events.released, g.row_beats, until
    )
    return queue


def astuple(events: RingEvents | ReadEvents) -> tuple[Times, Times]:
    """Both lists."""
    if isinstance(events, RingEvents):
        return events.written, events.released
    return events.issued, events.accepted


@process
def _writer(
    pushed: Times, popped: Times, written: Times, released: Times, ring_rows: int, rows: int,
    row_beats: int,
) -> Process:  # fmt: skip
    time = -1
    n = 0
    for row in range(ring_rows):
        room = 0
        if row >= rows:
            while count(released) <= row - rows:
                yield 0
            room = at(released, row - rows) + 1
        for _ in range(row_beats):
            while count(pushed) <= n:
                yield 0
            time = max(time, at(pushed, n), room - 1) + 1
            add(written, time)
            add(popped, time)
            n += 1


@process
def _reader(
    written: Times, released: Times, issued: Times, accepted: Times, columns: Times,
    columns_read: int, beats: int, repeats: int, row_beats: int, last_rows: Times,
    rows_released: Times,
) -> Process:  # fmt: skip
    """Asks the memory for a beat when the ring's output queue has a place for it."""
    issue, beat = -1, -latency.RING_QUEUE
    for step in range(columns.shape[0]):
        first_row, out_row, column = columns[step, 0], columns[step, 1], columns[step, 2]
        real = column < columns_read
        start = (first_row + last_rows[out_row]) * row_beats + column * beats
        for n in range(beats * repeats if real else 1):
            if beat >= 0:
                while count(accepted) <= beat:
                    yield 0
                issue = max(issue, at(accepted, beat))
            issue += 1
            beat += 1
            if real:
                position = start + n % beats
                while count(written) <= position:
                    yield 0
                issue = max(issue, at(written, position) + latency.SEEN)
            add(issued, issue)
        if column == columns_read - 1:
            # The last beat is read in the cycle after it is asked for.
            for _ in range(rows_released[out_row]):
                add(released, issue + 1)


@process
def _shifter(
    issued: Times, accepted: Times, push: Times, freed: Times, columns: Times, columns_read: int,
    beats: int, depth: int,
) -> Process:  # fmt: skip
    """Accepts beats into the shift register and queues windows; while one waits there for a
    place in its queue, no beat is accepted.
    """
    ring = latency.RING + 1
    accept = late = -1
    for step in range(columns.shape[0]):
        for _ in range(beats if columns[step, 2] < columns_read else 1):
            beat = count(accepted)
            while count(issued) <= beat:
                yield 0
            accept = max(at(issued, beat) + ring, accept + 1, late)
            add(accepted, accept)
        if columns[step, 3]:
            room = 0
            if count(push) >= depth:
                while count(freed) <= count(push) - depth:
                    yield 0
                room = at(freed, count(push) - depth) + 1
            if room > accept or accept == late:
                late = max(room, accept + latency.WINDOW)
                add(push, late)
            else:
                add(push, accept + latency.WINDOW)


@lru_cache(maxsize=256)
def _columns_of(g: WindowGeometry, frames: int) -> Times:
    """The steps of a run: (steps, 4), as _columns gives them."""
    return np.array(list(_columns(g, frames)), np.int64).reshape(-1, 4)


@lru_cache(maxsize=256)
def _rows_of(g: WindowGeometry) -> tuple[Times, Times]:
    """For each output row, the last input row it reads, and how many it releases."""
    rows = range(g.out_size[0])
    return (np.array([g.last_row(row) for row in rows], np.int64),
            np.array([g.rows_released(row) for row in rows], np.int64))  # fmt: skip


def _columns(g: WindowGeometry, frames: int) -> Iterator[tuple[int, int, int, bool]]:
    """(first row of the frame, output row, column, completes a window) of every step."""
    needs, columns_read = _steps_between_windows(g), g.columns_read
    missing = next(needs)
    for frame in range(frames):
        for out_row in range(g.out_size[0]):
            last = out_row == g.out_size[0] - 1
            steps = columns_read + (g.virtual_steps if last or not g.fused else 0)
            for column in range(steps):
                missing -= 1
                yield frame * g.size[0], out_row, column, missing == 0
                if missing == 0:
                    missing = next(needs)


def _steps_between_windows(g: WindowGeometry) -> Iterator[int]:
    """How many columns each window waits for after the one before, for ever."""
    while True:
        for out_row in range(g.out_size[0]):
            shared = g.virtual_steps if g.fused and out_row else 0
            yield g.first_steps - shared
            for _ in range(g.groups - 1):
                yield g.step


@process
def _ring_high_water(written: Times, times: Times, row_beats: int, until: int) -> int:
    most = released = 0
    for row in range(-(-count(written) // row_beats)):
        seen = at(written, row * row_beats) + 1
        if seen >= until:
            break
        while released < count(times) and at(times, released) < seen:
            released += 1
        most = max(most, row + 1 - released)
    return most
