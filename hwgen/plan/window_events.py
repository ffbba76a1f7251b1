"""Event processes of a sliding window: writing a ring of rows, reading it, queueing windows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..geometry import WindowGeometry
from .events import Process, Queue, Simulation


@dataclass
class WindowEvents:
    """Event times inside a unit with a window.

    written : of each input beat. released : of each input row. handed : when each window left
    the shift register. head : when it entered the head of its queue (usable in the next cycle).
    consumed : when its work was done.
    """

    written: list[int]
    released: list[int]
    handed: list[int]
    head: list[int]
    consumed: list[int]


def window_events(
    sim: Simulation,
    name: str,
    geometry: WindowGeometry,
    source: Queue,
    rows: int,
    parallel: bool,
    windows: int,
) -> WindowEvents:
    """Add the processes of a window to a simulation."""
    events = WindowEvents(*(sim.events() for _ in range(5)))
    sim.processes.append(_writer(sim, geometry, source, rows, events))
    sim.processes.append(_loader(sim, geometry, parallel, windows, events))
    sim.processes.append(_mover(sim, geometry, windows, events))
    sim.levels[f"{name}.ring"] = lambda until: _ring_high_water(events, geometry, until)
    return events


def _writer(
    sim: Simulation, geometry: WindowGeometry, source: Queue, rows: int, events: WindowEvents
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
            time = max(time + 1, pushed[n] + 1, room)
            written.append(time)
            popped.append(time)
            n += 1


def _loader(
    sim: Simulation, g: WindowGeometry, parallel: bool, windows: int, events: WindowEvents
) -> Process:
    """Reads columns, shifts them in, hands windows on.

    A beat is issued to the memory, waits in a stage of one beat, and is accepted by the shift
    register unless a complete window waits there for the queue.
    """
    written, released, handed = events.written, events.released, events.handed
    follows = events.consumed if windows == 1 else events.head
    repeats = 1 if parallel else g.kernel[0]
    issue = accept = hand_on = -1
    window = 0
    for first_row, out_row, column, completes in _columns(g, sim.frames):
        positions: Sequence[int] = (-1,)
        if column < g.columns_read:
            start = (first_row + g.last_row(out_row)) * g.row_beats + column * g.beats
            positions = tuple(range(start, start + g.beats)) * repeats
        for position in positions:
            issue = max(issue + 1, accept)
            if position >= 0:
                while len(written) <= position:
                    yield
                issue = max(issue, written[position] + 1)
            accept = max(issue + 1, accept + 1, hand_on)
        if column == g.columns_read - 1:
            released.extend([issue] * g.rows_released(out_row))
        if completes:
            hand_on = accept + 1
            if window >= windows - (windows > 1):
                # Its place is free in the cycle the head is consumed (one register), or one
                # after an earlier window has left the FIFO for the head.
                before = window - 1 if windows == 1 else window - (windows - 1)
                while len(follows) <= before:
                    yield
                hand_on = max(hand_on, follows[before] + (windows > 1))
            handed.append(hand_on)
            window += 1


def _columns(g: WindowGeometry, frames: int) -> Iterator[tuple[int, int, int, bool]]:
    """(first row of the frame, output row, column, completes a window) of every step."""
    needs = _steps_between_windows(g)
    missing = next(needs)
    for frame in range(frames):
        for out_row in range(g.out_size[0]):
            last = out_row == g.out_size[0] - 1
            steps = g.columns_read + (g.virtual_steps if last or not g.fused else 0)
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


def _mover(sim: Simulation, g: WindowGeometry, windows: int, events: WindowEvents) -> Process:
    """Moves windows into the head register as the one before is consumed."""
    handed, head, consumed = events.handed, events.head, events.consumed
    for window in range(sim.frames * g.out_size[0] * g.groups):
        while len(handed) <= window or len(consumed) < window:
            yield
        enters = handed[window] + (windows > 1)
        head.append(max(enters, consumed[window - 1]) if window else enters)


def _ring_high_water(events: WindowEvents, geometry: WindowGeometry, until: int) -> int:
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
