"""Event processes of a sliding window: writing a ring of rows, reading it, queueing windows."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ....contract.geometry import WindowGeometry
from ... import latency
from .recurrences import Kind
from .simulation import Queue, Simulation
from .times import Words, compiled


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
    steps = _steps_of(g, parallel)
    reads, columns = int(steps.reads.sum()), steps.reads.size
    reads_at, completes_at = sim.table(steps.reads), sim.table(steps.completes)
    released = sim.events(g.size[0])
    # A beat is asked for, and accepted from the ring's output queue, in events of its own: it may
    # be asked for, and its row released, while windows before it still wait for room.
    issued, accepted = sim.events(reads), sim.events(reads)
    queue = sim.queue(f"{name}.windows", windows, g.out_size[0] * g.groups)
    queue.freed = sim.events(g.out_size[0] * g.groups)
    sim.process(
        Kind.WRITE_RING, g.size[0] * g.row_beats, source.push, source.pop, released, rows,
        g.row_beats,
    )  # fmt: skip
    sim.process(
        Kind.READ_RING, reads, source.pop, issued, accepted, released, sim.state(2), reads_at,
        sim.table(steps.places), sim.table(steps.releases), columns, g.beats,
        g.size[0] * g.row_beats, latency.RING_QUEUE, latency.SEEN,
    )  # fmt: skip
    sim.process(
        Kind.SHIFT, reads + g.out_size[0] * g.groups, issued, accepted, queue.push, queue.freed,
        sim.state(3), reads_at, completes_at, columns, windows, latency.RING + 1, latency.WINDOW,
    )  # fmt: skip
    _report_ring(sim, name, source, released, g)
    return queue


def tap_events(
    sim: Simulation,
    name: str,
    geometry: WindowGeometry,
    source: Queue,
    rows: int,
    shadow: Queue,
    folds: int,
    cycles: int,
    delay: int,
) -> None:
    """Add the processes of a unit whose taps are read straight from the ring.

    Each window takes ``folds`` times ``cycles``; each fold's word is pushed into ``shadow``,
    ``delay`` after its last cycle.
    """
    g = geometry
    released = sim.events(g.size[0])
    windows = g.out_size[0] * g.groups
    places, releases = _taps_of(g)
    beats = g.size[0] * g.row_beats
    sim.process(Kind.WRITE_RING, beats, source.push, source.pop, released, rows, g.row_beats)
    sim.process(
        Kind.READ_TAPS, windows * folds, source.pop, released, shadow.push, shadow.pop,
        sim.work(name).waits, sim.table(places), sim.table(releases), windows, beats,
        folds, cycles, shadow.depth, delay, latency.SEEN,
    )  # fmt: skip
    _report_ring(sim, name, source, released, g)


@lru_cache(maxsize=256)
def _taps_of(g: WindowGeometry) -> tuple[Words, Words]:
    """Places of the last beat that each window of a frame needs; rows released at its end."""
    rows = range(g.out_size[0])
    columns = [min(g.size[1], g.first_steps + n * g.step) for n in range(g.groups)]
    pixels = np.add.outer([g.last_row(row) * g.size[1] for row in rows], columns)
    releases = np.zeros_like(pixels)
    releases[:, -1] = [g.rows_released(row) for row in rows]
    return pixels.ravel() * g.beats - 1, releases.ravel()


def _report_ring(
    sim: Simulation, name: str, source: Queue, released: int, g: WindowGeometry
) -> None:
    sim.levels[f"{name}.ring"] = lambda events, until: _ring_high_water(
        events.entries(source.pop), events.entries(released), g.row_beats, until
    )


class _Steps(NamedTuple):
    """What each step of a frame does: an entry for every column that enters the window.

    reads : beats. places : of the last row's first beat in the frame, -1 where the column is
    virtual. releases : rows, at the end. completes : whether a window is complete then.
    """

    reads: Words
    places: Words
    releases: Words
    completes: Words


@lru_cache(maxsize=256)
def _steps_of(g: WindowGeometry, parallel: bool) -> _Steps:
    beats = g.beats * (1 if parallel else g.kernel[0])
    steps = []
    for row, column, completes in _columns(g):
        real = column < g.columns_read
        place = g.last_row(row) * g.row_beats + column * g.beats if real else -1
        releases = g.rows_released(row) if column == g.columns_read - 1 else 0
        steps.append((beats if real else 1, place, releases, completes))
    return _Steps(*np.array(steps, np.int64).T.copy())


def _columns(g: WindowGeometry) -> Iterator[tuple[int, int, bool]]:
    """(output row, column, completes a window) of every step of a frame."""
    needs, columns_read = _steps_between_windows(g), g.columns_read
    missing = next(needs)
    for out_row in range(g.out_size[0]):
        last = out_row == g.out_size[0] - 1
        steps = columns_read + (g.virtual_steps if last or not g.fused else 0)
        for column in range(steps):
            missing -= 1
            yield out_row, column, missing == 0
            if missing == 0:
                missing = next(needs, 0)


def _steps_between_windows(g: WindowGeometry) -> Iterator[int]:
    """How many columns each window of a frame waits for after the one before."""
    for out_row in range(g.out_size[0]):
        shared = g.virtual_steps if g.fused and out_row else 0
        yield g.first_steps - shared
        for _ in range(g.groups - 1):
            yield g.step


@compiled
def _ring_high_water(written: Words, released: Words, row_beats: int, until: int) -> int:
    most = free = 0
    for row, first in enumerate(written[::row_beats]):
        seen = first + 1
        if seen >= until:
            break
        while free < released.size and released[free] < seen:
            free += 1
        most = max(most, row + 1 - free)
    return most
