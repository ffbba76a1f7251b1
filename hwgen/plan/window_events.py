"""Event processes of a sliding window: writing a ring of rows, reading it, queueing windows."""

from __future__ import annotations

from collections import deque
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
    sim.processes.append(_loader(sim, geometry, parallel, events, queue))
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


def _loader(
    sim: Simulation, g: WindowGeometry, parallel: bool, events: RingEvents, queue: Queue
) -> Process:
    """Reads columns, shifts them in, queues windows.

    A beat is asked of the memory when the ring's output queue has a place for it, and accepted
    from there by the shift register, unless a window waits there for a place in its queue.
    """
    written, released, push, freed = events.written, events.released, queue.push, queue.freed
    repeats = 1 if parallel else g.kernel[0]
    columns_read, beats, row_beats, depth = g.columns_read, g.beats, g.row_beats, queue.depth
    last_rows = [g.last_row(row) for row in range(g.out_size[0])]
    rows_released = [g.rows_released(row) for row in range(g.out_size[0])]
    seen, ring = latency.SEEN, latency.RING + 1
    issue = accept = late = -1
    accepted: deque[int] = deque([-1] * latency.RING_QUEUE, maxlen=latency.RING_QUEUE)
    for first_row, out_row, column, completes in _columns(g, sim.frames):
        positions: Sequence[int] = (-1,)
        if column < columns_read:
            start = (first_row + last_rows[out_row]) * row_beats + column * beats
            positions = range(start, start + beats)
            positions = positions if repeats == 1 else tuple(positions) * repeats
        for position in positions:
            issue = (accepted[0] if accepted[0] > issue else issue) + 1
            if position >= 0:
                while len(written) <= position:
                    yield
                if written[position] + seen > issue:
                    issue = written[position] + seen
            accept = max(issue + ring, accept + 1, late)
            accepted.append(accept)
        if column == columns_read - 1:
            # The last beat is read in the cycle after it is asked for.
            released.extend([issue + 1] * rows_released[out_row])
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
