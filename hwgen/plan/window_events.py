"""Event processes of a sliding window: writing a ring of rows, reading it, queueing windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..geometry import WindowGeometry
from . import latency
from .events import Process, Queue, Simulation


@dataclass
class RingEvents:
    """Event times of a ring. written : of each input beat. released : of each input row."""

    written: list[int]
    released: list[int]


@dataclass
class ReadEvents:
    """When each beat is asked of the ring's memory, and accepted from its output queue.

    These are events of their own because a beat may be asked for, and its row released, while
    windows before it still wait for room: the one must be known without the other.
    """

    issued: list[int]
    accepted: list[int]


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
    events = RingEvents(sim.events(), sim.events())
    queue = sim.queue(f"{name}.windows", windows)
    queue.freed = sim.events()
    sim.processes.append(_writer(sim, geometry, source, rows, events))
    reads = ReadEvents(sim.events(), sim.events())
    sim.processes.append(_reader(sim, geometry, parallel, events, reads))
    sim.processes.append(_shifter(sim, geometry, parallel, reads, queue))
    sim.levels[f"{name}.ring"] = lambda until: _ring_high_water(events, geometry, until)
    return queue


def _writer(
    sim: Simulation, geometry: WindowGeometry, source: Queue, rows: int, events: RingEvents
) -> Process:
    pushed, popped = source.push, source.pop
    written, released = events.written, events.released
    time = -1
    row_beats = geometry.row_beats
    n = 0
    for row in range(sim.frames * geometry.size[0]):
        room = 0
        if row >= rows:
            while len(released) <= row - rows:
                yield
            room = released[row - rows] + 1
        for _ in range(row_beats):
            while len(pushed) <= n:
                yield
            time = max(time, pushed[n], room - 1) + 1
            written.append(time)
            popped.append(time)
            n += 1


def _reader(
    sim: Simulation, g: WindowGeometry, parallel: bool, events: RingEvents, reads: ReadEvents
) -> Process:
    """Asks the memory for a beat when the ring's output queue has a place for it."""
    written, released = events.written, events.released
    issued, accepted = reads.issued, reads.accepted
    repeats = 1 if parallel else g.kernel[0]
    columns_read, beats, row_beats = g.columns_read, g.beats, g.row_beats
    last_rows = [g.last_row(row) for row in range(g.out_size[0])]
    rows_released = [g.rows_released(row) for row in range(g.out_size[0])]
    issue, beat = -1, -latency.RING_QUEUE
    for first_row, out_row, column, _ in _columns(g, sim.frames):
        positions: Sequence[int] = (-1,)
        if column < columns_read:
            start = (first_row + last_rows[out_row]) * row_beats + column * beats
            positions = range(start, start + beats)
            positions = positions if repeats == 1 else tuple(positions) * repeats
        for position in positions:
            if beat >= 0:
                while len(accepted) <= beat:
                    yield
                if accepted[beat] > issue:
                    issue = accepted[beat]
            issue += 1
            beat += 1
            if position >= 0:
                while len(written) <= position:
                    yield
                if written[position] + latency.SEEN > issue:
                    issue = written[position] + latency.SEEN
            issued.append(issue)
        if column == columns_read - 1:
            # The last beat is read in the cycle after it is asked for.
            released.extend([issue + 1] * rows_released[out_row])


def _shifter(
    sim: Simulation, g: WindowGeometry, parallel: bool, reads: ReadEvents, queue: Queue
) -> Process:
    """Accepts beats into the shift register and queues windows; while one waits there for a
    place in its queue, no beat is accepted.
    """
    issued, accepted, push, freed = reads.issued, reads.accepted, queue.push, queue.freed
    repeats = 1 if parallel else g.kernel[0]
    columns_read, beats, depth = g.columns_read, g.beats * repeats, queue.depth
    ring = latency.RING + 1
    accept = late = -1
    for _, _, column, completes in _columns(g, sim.frames):
        for _ in range(beats if column < columns_read else 1):
            beat = len(accepted)
            while len(issued) <= beat:
                yield
            accept = max(issued[beat] + ring, accept + 1, late)
            accepted.append(accept)
        if completes:
            room = 0
            if len(push) >= depth:
                while len(freed) <= len(push) - depth:
                    yield
                room = freed[len(push) - depth] + 1
            if room > accept or accept == late:
                late = max(room, accept + latency.WINDOW)
                push.append(late)
            else:
                push.append(accept + latency.WINDOW)


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


def _ring_high_water(events: RingEvents, geometry: WindowGeometry, until: int) -> int:
    most = released = 0
    times = events.released
    for row, n in enumerate(range(0, len(events.written), geometry.row_beats)):
        seen = events.written[n] + 1
        if seen >= until:
            break
        while released < len(times) and times[released] < seen:
            released += 1
        most = max(most, row + 1 - released)
    return most
