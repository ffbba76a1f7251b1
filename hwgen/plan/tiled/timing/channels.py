"""External memory's two channels: when beats pass, and when bursts begin."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from .pipeline import MAX_BEATS, OUTSTANDING, READ_BUFFER

_TINY = 1e-9

_NEVER = (-1, -1)

Write = Callable[[int], int]
"""The cycle in which a beat is written that might be from a cycle on."""


@dataclass(frozen=True)
class MemoryTiming:
    """External memory: cycles from a burst's address to its first beat, beats a cycle."""

    latency: int = 20
    rate: float = 1.0


@dataclass(frozen=True)
class Beats:
    """Beats one after the other: the first one's cycle, what the channel may give by then."""

    first: int
    credit: float
    rate: float
    count: int

    def at(self, number: int) -> int:
        """The cycle of a beat."""
        late = ceil((number + 1 - self.credit) / self.rate - _TINY)
        return self.first + max(number, late)

    @property
    def last(self) -> int:
        """The cycle of the last one."""
        return self.at(self.count - 1)


class Channel:
    """Gives ``rate`` beats a cycle, at most one; what was not used in one cycle is not lost."""

    def __init__(self, rate: float) -> None:
        self._rate, self._cycle, self._credit = rate, -1, 1.0

    def pass_beats(self, ready: int, count: int) -> Beats:
        """The next beats, from a cycle on."""
        wait = max(1, ceil((1 - self._credit) / self._rate - _TINY))
        first = max(ready, self._cycle + wait)
        most = 1 + self._rate
        credit = min(self._credit + (first - self._cycle) * self._rate, most)
        beats = Beats(first, credit, self._rate, count)
        last = beats.last
        self._credit = min(credit + (last - first) * self._rate, most + count - 1) - count
        self._cycle = last
        return beats


def bursts(address: int, beats: int, bus: int) -> list[int]:
    """Beats of the bursts of a request."""
    found = []
    while beats:
        count = min(beats, MAX_BEATS - address // bus % MAX_BEATS)
        found.append(count)
        beats -= count
        address += count * bus
    return found


class Taken:
    """The cycles in which what asked for a burst takes its beats.

    written : in which the last two that it has taken are written: the load unit has places for
    two that are not.
    """

    def __init__(
        self, beats: Beats, free: int, written: tuple[int, int], write: Write | None
    ) -> None:
        """``free`` : from when on beats can be taken. ``written`` : those of the beats before."""
        self._beats = beats
        self._cycles: list[int] = []
        second, last = written
        if write is None and max(free, second + 1, last) <= beats.first + 1:
            before = beats.at(beats.count - 2) + 2 if beats.count > 1 else last
            self.written = before, beats.last + 2
            return
        for n in range(beats.count):
            cycle = max(beats.at(n) + 1, free, second + 1)
            self._cycles.append(cycle)
            free = cycle + 1
            earliest = max(free, last + 1)
            second, last = last, write(earliest) if write is not None else earliest
        self.written = second, last

    def at(self, number: int) -> int:
        """The cycle in which a beat is taken: one after it comes, or later."""
        return self._cycles[number] if self._cycles else self._beats.at(number) + 1

    @property
    def count(self) -> int:
        """Beats."""
        return self._beats.count

    @property
    def last(self) -> int:
        """The cycle of the last one."""
        return self.at(self.count - 1)


@dataclass
class Burst:
    """A burst that waits to begin: from which cycle on, and its beats.

    begun : is called with the cycle in which it begins, and with when its beats are taken.
    write : where a beat may have to wait before it is written.
    """

    available: int
    beats: int
    begun: Callable[[int, Taken], None]
    write: Write | None = None


class ReadChannel:
    """Bursts of loads and of the program, which goes first, in the order in which they begin."""

    def __init__(self, memory: MemoryTiming) -> None:
        self._memory, self._channel = memory, Channel(memory.rate)
        self.loads: deque[Burst] = deque()
        self.program: deque[Burst] = deque()
        self._begun: list[tuple[int, Beats, Taken]] = []
        self._written = _NEVER
        """The cycles in which the last two beats of loads are written."""
        self._ends: list[int] = []
        """Beats of all bursts so far, after each."""

    def next(self) -> int | None:
        """The cycle in which the next burst begins; None where none waits."""
        waiting = [q[0].available for q in (self.program, self.loads) if q]
        return self._with_room(max(min(waiting), self._free())) if waiting else None

    def begin(self, cycle: int) -> None:
        """Begin the next burst."""
        first = self.program and self.program[0].available <= cycle
        burst = (self.program if first else self.loads).popleft()
        beats = self._channel.pass_beats(cycle + 1 + self._memory.latency, burst.beats)
        # A load's beat that waits to be written holds up those of loads alone.
        free = self._begun[-1][2].last + 1 if self._begun else 0
        taken = Taken(beats, free, _NEVER if first else self._written, burst.write)
        if not first:
            self._written = taken.written
        self._begun.append((cycle, beats, taken))
        self._ends.append(burst.beats + (self._ends[-1] if self._ends else 0))
        burst.begun(cycle, taken)

    def _free(self) -> int:
        """The cycle from which on a burst may begin, for all but the room in the buffer."""
        free = self._begun[-1][0] + 1 if self._begun else 0
        if len(self._begun) >= OUTSTANDING:
            free = max(free, self._begun[-OUTSTANDING][1].last + 1)
        return free

    def _with_room(self, cycle: int) -> int:
        """This cycle, or the first one in which the buffer was seen to have room.

        What is free is a register, and so is that it is enough: a burst that began in the cycle
        before is not seen.
        """
        while True:
            count = len(self._begun)
            if count and self._begun[-1][0] == cycle - 1:
                count -= 1
            held = self._ends[count - 1] if count else 0
            must_leave = held - (READ_BUFFER - 2 * MAX_BEATS)
            if must_leave <= 0:
                return cycle
            seen = self._left(must_leave - 1) + 2
            if seen <= cycle:
                return cycle
            cycle = seen

    def _left(self, number: int) -> int:
        """The cycle in which a beat is taken, counted from the first one of all."""
        n = bisect_left(self._ends, number + 1)
        before = self._ends[n - 1] if n else 0
        return self._begun[n][2].at(number - before)
