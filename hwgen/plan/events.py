"""Event model: the exact cycle of every beat, without data.

Units and queues are deterministic, so the cycle of each event is the latest of a few earlier
events plus a constant (a max-plus recurrence). Each unit describes its recurrences as generator
processes over the lists of event times; a process yields when an event it needs is not known
yet. No global clock is stepped: the cost is per beat, not per cycle.

The times equal those of the RTL, with source and sink always ready; tests compare them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np

Process = Generator[None, None, None]


class Queue:
    """Event times of one queue: entry n is pushed in cycle push[n] and popped in pop[n].

    An entry pushed in cycle t can be popped in t+1; a slot freed in t can be reserved in t+1.
    ``freed`` are the cycles in which slots are freed: those of the pops, unless it is replaced.
    ``delay``: a slot is reserved so many cycles before its push (None: the queue has another rule).
    """

    __slots__ = ("delay", "depth", "freed", "name", "pop", "push", "weight_in", "weight_out")

    def __init__(self, name: str, depth: int, delay: int | None = None) -> None:
        self.name, self.depth, self.delay = name, depth, delay
        self.push: list[int] = []
        self.pop: list[int] = []
        self.freed = self.pop
        self.weight_in: Callable[[int], int] | None = None
        self.weight_out: Callable[[int], int] | None = None

    @property
    def sufficient(self) -> int | None:
        """The smallest depth with which every event would be as it was; None: not known."""
        if self.delay is None or not self.push:
            return None
        reserved = np.array(self.push) - self.delay
        freed = np.searchsorted(np.array(self.pop), reserved)
        return int(np.max(np.arange(1, len(reserved) + 1) - freed))

    def high_water(self, until: int) -> int:
        """Most entries held at the start of any cycle before ``until``.

        Entries weigh 1 each unless ``weight_in`` and ``weight_out`` give the amount that the
        n-th push adds and the n-th pop takes away.
        """
        level = most = 0
        pops, n_pop = self.pop, 0
        add = self.weight_in or _one
        take = self.weight_out or _one
        for n, time in enumerate(self.push):
            if time + 1 >= until:
                break
            # The level after this push is seen in cycle time + 1, with all pops up to time.
            while n_pop < len(pops) and pops[n_pop] < time + 1:
                level -= take(n_pop)
                n_pop += 1
            level += add(n)
            following = self.push[n + 1] if n + 1 < len(self.push) else None
            if following != time:
                most = max(most, level)
        return most


def _one(_: int) -> int:
    return 1


@dataclass
class Activity:
    """What a unit's work waited for, in cycles, and when it was issued."""

    issued: list[int] = field(default_factory=list)
    """First cycle of each piece of work."""
    starved: int = 0
    blocked: int = 0


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
        self._events: list[list[int]] = []

    def queue(self, name: str, depth: int, delay: int | None = None) -> Queue:
        """A new queue; its high-water mark is reported under ``name``."""
        queue = Queue(name, depth, delay)
        self.queues[name] = queue
        self._events += [queue.push, queue.pop]
        self.levels[name] = queue.high_water
        return queue

    def events(self) -> list[int]:
        """A new list of event times."""
        times: list[int] = []
        self._events.append(times)
        return times

    def work(self, unit: str) -> Activity:
        """The activity record of a unit."""
        activity = Activity()
        self._events.append(activity.issued)
        return self.activity.setdefault(unit, activity)

    def run(self) -> None:
        """Run all processes to their end. Raises Deadlock when none can go on."""
        active = list(self.processes)
        happened = -1
        while active:
            # Counting events is not free: many rounds go between two looks.
            for _ in range(_ROUNDS):
                active = [process for process in active if next(process, True) is None]
            before, happened = happened, sum(map(len, self._events))
            if active and happened == before:
                raise Deadlock


_ROUNDS = 32


def source(queue: Queue, beats: int) -> Process:
    """Always has the next beat: fills ``queue`` as it has room."""
    time = -1
    for n in range(beats):
        time += 1
        if n >= queue.depth:
            while len(queue.pop) <= n - queue.depth:
                yield
            time = max(time, queue.pop[n - queue.depth] + 1)
        queue.push.append(time)


def sink(queue: Queue, beats: int) -> Process:
    """Always ready: takes each beat as it comes."""
    time = -1
    for n in range(beats):
        while len(queue.push) <= n:
            yield
        time = max(time + 1, queue.push[n] + 1)
        queue.pop.append(time)
