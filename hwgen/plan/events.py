"""Event model: the exact cycle of every beat, without data.

Units and queues are deterministic, so the cycle of each event is the latest of a few earlier
events plus a constant (a max-plus recurrence). Each unit describes its recurrences as generator
processes over lists of event times; a process yields when an event it needs is not known yet. No
global clock is stepped: the cost is per beat, not per cycle. Processes are compiled by Numba, once
for all runs; ``process`` marks them. They see a list of times as an array whose first element
counts the entries, through ``count``, ``at`` and ``add``.

The times equal those of the RTL, with source and sink always ready; tests compare them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

Process = Generator[int, None, None]
Times = np.ndarray[Any, Any]
"""A list of event times: int64, its first element the number of entries, which follow."""


def process(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a process, or a function that processes call; kept for later runs where some folder
    can be written."""
    try:
        return njit(cache=True)(function)
    except RuntimeError:  # no folder for the cache
        return njit(function)


@process
def count(times: Times) -> int:
    """Entries of a list."""
    return times[0]


@process
def at(times: Times, n: int) -> int:
    """Entry n of a list."""
    return times[n + 1]


@process
def add(times: Times, time: int) -> None:
    """Append to a list. Raises IndexError where it is full."""
    n = times[0] + 1
    if n >= times.size:
        raise IndexError("more events than were foreseen")
    times[n] = time
    times[0] = n


def new_times(size: int) -> Times:
    """An empty list with room for so many entries."""
    return np.zeros(size + 1, np.int64)


def entries(times: Times) -> Times:
    """The entries of a list."""
    return times[1 : times[0] + 1]


class Queue:
    """Event times of one queue: entry n is pushed in cycle push[n] and popped in pop[n].

    An entry pushed in cycle t can be popped in t+1; a slot freed in t can be reserved in t+1.
    ``freed`` are the cycles in which slots are freed: those of the pops, unless it is replaced.
    ``delay``: a slot is reserved so many cycles before its push (None: the queue has another rule).
    """

    __slots__ = ("delay", "depth", "freed", "name", "pop", "push")

    def __init__(self, name: str, depth: int, size: int, delay: int | None = None) -> None:
        self.name, self.depth, self.delay = name, depth, delay
        self.push, self.pop = new_times(size), new_times(size)
        self.freed = self.pop

    @property
    def sufficient(self) -> int | None:
        """The smallest depth with which every event would be as it was; None: not known."""
        if self.delay is None or not self.push[0]:
            return None
        reserved = entries(self.push) - self.delay
        freed = np.searchsorted(entries(self.pop), reserved)
        return int(np.max(np.arange(1, len(reserved) + 1) - freed))

    def high_water(self, until: int) -> int:
        """Most entries held at the start of any cycle before ``until``."""
        return int(_most(self.push, self.pop, until))


@process
def _most(push: Times, pop: Times, until: int) -> int:
    level = most = n_pop = 0
    for n in range(count(push)):
        time = at(push, n)
        if time + 1 >= until:
            break
        # The level after this push is seen in cycle time + 1, with all pops up to time.
        while n_pop < count(pop) and at(pop, n_pop) < time + 1:
            level -= 1
            n_pop += 1
        level += 1
        if n + 1 == count(push) or at(push, n + 1) != time:
            most = max(most, level)
    return most


class Activity:
    """What a unit's work waited for, in cycles, and when it was issued.

    issued : first cycle of each piece of work. waits : cycles starved, cycles blocked.
    """

    def __init__(self, size: int) -> None:
        self.issued = new_times(size)
        self.waits = np.zeros(2, np.int64)

    @property
    def starved(self) -> int:
        """Cycles without input."""
        return int(self.waits[0])

    @property
    def blocked(self) -> int:
        """Cycles without room at the output."""
        return int(self.waits[1])


@dataclass(frozen=True)
class Timing:
    """Result of a run of the event model.

    ends: cycle of each frame's last output beat; first: cycle of each frame's first input beat.
    """

    ends: tuple[int, ...]
    first: tuple[int, ...]
    high_water: dict[str, int]
    starved: dict[str, int]
    blocked: dict[str, int]

    @property
    def interval(self) -> int:
        """Cycles between the last outputs of successive frames, in the steady state."""
        return steady_interval(self.ends)

    @property
    def latency(self) -> int:
        """First input beat to last output beat of the first frame."""
        return self.ends[0] - self.first[0] + 1


FRAMES = 6
"""Frames of a run: a few to fill the buffers, then the steady state."""


def steady_interval(ends: Sequence[int]) -> int:
    """Mean distance over the last two intervals, rounded up; needs three frames."""
    if len(ends) < 3:
        raise ValueError("the steady state needs at least three frames")
    return -(-(ends[-1] - ends[-3]) // 2)


class Deadlock(Exception):
    """No process can go on: a buffer is too small."""


class Simulation:
    """Queues, event lists and processes of one run.

    ``frames`` is how many frames run through; units register what they keep.
    """

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.queues: dict[str, Queue] = {}
        self.activity: dict[str, Activity] = {}
        self.levels: dict[str, Callable[[int], int]] = {}
        self.processes: list[Process] = []
        self._events: list[Times] = []

    def queue(self, name: str, depth: int, entries: int, delay: int | None = None) -> Queue:
        """A new queue through which ``entries`` go in a frame; its high-water mark is reported
        under ``name``."""
        queue = Queue(name, depth, self.frames * entries, delay)
        self.queues[name] = queue
        self._events += [queue.push, queue.pop]
        self.levels[name] = queue.high_water
        return queue

    def events(self, entries: int) -> Times:
        """A new list of event times, with room for so many in a frame."""
        times = new_times(self.frames * entries)
        self._events.append(times)
        return times

    def work(self, unit: str, entries: int = 0) -> Activity:
        """The activity record of a unit that issues so many pieces of work in a frame."""
        activity = Activity(self.frames * entries)
        self._events.append(activity.issued)
        return self.activity.setdefault(unit, activity)

    def run(self) -> None:
        """Run all processes to their end. Raises Deadlock when none can go on."""
        active = list(self.processes)
        happened = -1
        while active:
            # Counting events is not free: many rounds go between two looks.
            for _ in range(_ROUNDS):
                active = [one for one in active if next(one, None) is not None]
            before, happened = happened, sum(int(times[0]) for times in self._events)
            if active and happened == before:
                raise Deadlock


_ROUNDS = 32


def source(queue: Queue, beats: int) -> Process:
    """Always has the next beat: fills ``queue`` as it has room."""
    return _source(queue.push, queue.pop, queue.depth, beats)


@process
def _source(push: Times, pop: Times, depth: int, beats: int) -> Process:
    time = -1
    for n in range(beats):
        time += 1
        if n >= depth:
            while count(pop) <= n - depth:
                yield 0
            time = max(time, at(pop, n - depth) + 1)
        add(push, time)


def sink(queue: Queue, beats: int) -> Process:
    """Always ready: takes each beat as it comes."""
    return _sink(queue.push, queue.pop, beats)


@process
def _sink(push: Times, pop: Times, beats: int) -> Process:
    time = -1
    for n in range(beats):
        while count(push) <= n:
            yield 0
        time = max(time + 1, at(push, n) + 1)
        add(pop, time)
