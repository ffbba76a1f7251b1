"""Event model: the exact cycle of every beat, without data.

Units and queues are deterministic, so the cycle of each event is the latest of a few earlier
events plus a constant (a max-plus recurrence). Each unit names the recurrences of its parts, with
the lists of event times between which they stand; ``recurrences`` has them, compiled. No global
clock is stepped: the cost is per beat, not per cycle.

The times equal those of the RTL, with source and sink always ready; tests compare them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ....numeric import ceil_div
from . import recurrences
from .recurrences import Kind
from .times import Words, compiled


class Events:
    """What a run leaves in its memory: lists of event times, and the state of processes.

    A simulation does not keep it: it may be hundreds of megabytes, which go as soon as nobody needs
    them.
    """

    def __init__(self, memory: Words) -> None:
        self._memory = memory

    def entries(self, place: int) -> Words:
        """The entries of a list."""
        return self._memory[place + 1 : place + 1 + self._memory[place]]

    def words(self, place: int, size: int) -> Words:
        """Words of a process's state."""
        return self._memory[place : place + size]


class Simulation:
    """Lists of event times, tables and processes of one run.

    ``frames`` is how many frames run through; units register what they keep. Lists, tables and
    state are places in one memory, which ``run`` makes.
    """

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.queues: dict[str, Queue] = {}
        self.activity: dict[str, Activity] = {}
        self.levels: dict[str, Callable[[Events, int], int]] = {}
        self._words = 0
        self._sizes: dict[int, int] = {}
        self._tables: list[tuple[int, Words]] = []
        self._processes: list[tuple[Kind, int, tuple[int, ...]]] = []

    def _place(self, words: int) -> int:
        place = self._words
        self._words += words
        return place

    def events(self, entries: int) -> int:
        """A new list of event times, with room for so many in a frame."""
        size = self.frames * entries
        place = self._place(size + 1)
        self._sizes[place] = size
        return place

    def state(self, words: int) -> int:
        """Words that a process keeps, zero at first."""
        return self._place(words)

    def table(self, values: Sequence[int] | Words) -> int:
        """Constants that a process reads."""
        array = np.asarray(values, np.int64)
        place = self._place(array.size)
        self._tables.append((place, array))
        return place

    def queue(self, name: str, depth: int, entries: int, delay: int | None = None) -> Queue:
        """A new queue through which ``entries`` go in a frame; its high-water mark is reported
        under ``name``."""
        queue = Queue(self, depth, entries, delay)
        self.queues[name] = queue
        self.levels[name] = queue.high_water
        return queue

    def work(self, unit: str) -> Activity:
        """The activity record of a unit."""
        return self.activity.setdefault(unit, Activity(self))

    def process(self, kind: Kind, pieces: int, *arguments: int) -> None:
        """Add a process with so many pieces of work in a frame; arguments as its recurrence has
        them."""
        self._processes.append((kind, self.frames * pieces, arguments))

    def run(self) -> Events:
        """Run all processes to their end. Raises Deadlock when none can go on."""
        memory = np.zeros(self._words, np.int64)
        for place, values in self._tables:
            memory[place : place + values.size] = values
        most = max(len(arguments) for _, _, arguments in self._processes)
        size = max(most, recurrences.MOST_ARGUMENTS)
        rows = np.zeros((len(self._processes), size), np.int64)
        for row, (_, _, arguments) in zip(rows, self._processes, strict=True):
            row[: len(arguments)] = arguments
        kinds = np.array([kind for kind, _, _ in self._processes], np.int64)
        pieces = np.array([count for _, count, _ in self._processes], np.int64)
        if not recurrences.run(memory, kinds, pieces, rows, *self._neighbours()):
            raise Deadlock
        for place, size in self._sizes.items():
            if memory[place] > size:
                raise AssertionError("more events than were foreseen")
        return Events(memory)

    def _neighbours(self) -> tuple[Words, Words]:
        """The processes that have a list of events in common with each one, see ``run``.

        A constant that happens to be some list's place makes more of them than there are.
        """
        users: dict[int, set[int]] = {}
        for number, (_, _, arguments) in enumerate(self._processes):
            for place in self._sizes.keys() & set(arguments):
                users.setdefault(place, set()).add(number)
        found: list[set[int]] = [set() for _ in self._processes]
        for group in users.values():
            for number in group:
                found[number] |= group - {number}
        begins = np.cumsum([0, *(len(others) for others in found)])
        return begins, np.array([n for others in found for n in sorted(others)], np.int64)


class Queue:
    """Event times of one queue: entry n is pushed in cycle push[n] and popped in pop[n].

    An entry pushed in cycle t can be popped in t+1; a slot freed in t can be reserved in t+1.
    ``freed`` are the cycles in which slots are freed: those of the pops, unless it is replaced.
    ``delay``: a slot is reserved so many cycles before its push (None: the queue has another rule).
    """

    def __init__(self, sim: Simulation, depth: int, entries: int, delay: int | None) -> None:
        self.depth, self.delay = depth, delay
        self.push, self.pop = sim.events(entries), sim.events(entries)
        self.freed = self.pop

    def sufficient(self, events: Events) -> int | None:
        """The smallest depth with which every event would be as it was; None: not known."""
        push, pop = events.entries(self.push), events.entries(self.pop)
        if self.delay is None or not push.size:
            return None
        freed = np.searchsorted(pop, push - self.delay)
        return int(np.max(np.arange(1, push.size + 1) - freed))

    def high_water(self, events: Events, until: int) -> int:
        """Most entries held at the start of any cycle before ``until``."""
        return int(_most(events.entries(self.push), events.entries(self.pop), until))


@compiled
def _most(push: Words, pop: Words, until: int) -> int:
    level = most = popped = 0
    for n in range(push.size):
        if push[n] + 1 >= until:
            break
        # The level after this push is seen in the cycle after it, with all pops before that.
        while popped < pop.size and pop[popped] < push[n] + 1:
            level -= 1
            popped += 1
        level += 1
        if n + 1 == push.size or push[n + 1] != push[n]:
            most = max(most, level)
    return most


class Activity:
    """What a unit's work waited for, in cycles."""

    def __init__(self, sim: Simulation) -> None:
        self.waits = sim.state(2)

    def starved(self, events: Events) -> int:
        """Cycles without input."""
        return int(events.words(self.waits, 2)[0])

    def blocked(self, events: Events) -> int:
        """Cycles without room at the output."""
        return int(events.words(self.waits, 2)[1])


@dataclass(frozen=True)
class Timing:
    """Result of a run of the event model.

    ends: cycle of each frame's last output beat; first: cycle of each frame's first input beat.
    ports: the same of each port, by the name of its bus.
    """

    ends: tuple[int, ...]
    first: tuple[int, ...]
    high_water: dict[str, int]
    starved: dict[str, int]
    blocked: dict[str, int]
    ports: dict[str, tuple[int, ...]]

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


def steady_interval(ends: Sequence[int], last: int = 2) -> int:
    """Mean of the ``last`` intervals, rounded up; needs three frames."""
    if len(ends) < 3:
        raise ValueError("the steady state needs at least three frames")
    return ceil_div(ends[-1] - ends[-1 - last], last)


class Deadlock(Exception):
    """No process can go on: a buffer is too small."""
