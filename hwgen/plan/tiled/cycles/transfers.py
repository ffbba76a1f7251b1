"""Load and store unit, with the masters that they use."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from ....descriptors import EngineShape, Op, Target
from .channels import Beats, Burst, Channel, Memory, ReadChannel, bursts
from .front import Queue, Values
from .pipeline import (
    OUTSTANDING,
    ROWS_AHEAD,
    SPLITTER,
    STORE_READ,
    STORE_REQUESTS,
    WALKER,
    WRITE_BUFFER,
    WRITTEN,
)


def rows_of(d: Values, bus: int) -> list[tuple[int, int]]:
    """The address and the beats of each row."""
    found = []
    for row in range(d["rows"]):
        start = d["address"] + row * d.get("pitch", 0)
        first = start // bus
        found.append((first * bus, -(-(start + d["bytes"]) // bus) - first))
    return found


def _placing(d: Values) -> int:
    """Cycles in which the place of the first row is found."""
    features = d["op"] == Op.STORE or d["target"] == Target.FEATURES
    return (d.get("first", 0) // 4).bit_length() if features else 0


class Loads:
    """The load unit: rows are requests, and their beats are written as they come."""

    def __init__(
        self, shape: EngineShape, queues: Mapping[Op, Queue], channel: ReadChannel
    ) -> None:
        self._queues, self._queue, self._channel = queues, queues[Op.LOAD], channel
        self._bus = shape.bus_bytes
        self._rows: deque[tuple[int, int]] = deque()
        self._valid = 0
        """The cycle in which the walker has the next row, at the earliest."""
        self._free = 0
        self._taken = -1
        self._count = 0
        self._begun: list[int] = []
        """Of each row, the cycle in which its last burst begins."""
        self._ended: list[int] = []
        """Of each row, the cycle in which its last beat comes."""

    def advance(self) -> bool:
        """Do what is known by now; whether something was."""
        moved = False
        while self._rows or self._accept():
            if not self._request():
                break
            moved = True
        return moved

    def _accept(self) -> bool:
        queue = self._queue
        if len(queue.accepted) == len(queue.descriptors):
            return False
        offered = queue.offered(self._queues)
        if offered is None:
            return False
        d = queue.descriptors[len(queue.accepted)]
        accepted = max(offered, self._free)
        queue.accepted.append(accepted)
        self._valid = accepted + WALKER + _placing(d)
        self._rows.extend(rows_of(d, self._bus))
        return True

    def _request(self) -> bool:
        """The next row's request; False where it is not known when that is."""
        number = self._count
        inside, ahead = number - SPLITTER, number - ROWS_AHEAD
        if inside >= len(self._begun) or ahead >= len(self._ended):
            return False
        # The walker's output holds a row until it is taken.
        valid = max(self._valid, self._taken + 1)
        taken = valid
        if inside >= 0:
            taken = max(taken, self._begun[inside])
        if ahead >= 0:
            taken = max(taken, self._ended[ahead] + 2)
        address, beats = self._rows.popleft()
        self._count += 1
        parts = bursts(address, beats, self._bus)
        for n, count in enumerate(parts):
            last = n == len(parts) - 1
            final = last and not self._rows
            self._channel.loads.append(Burst(taken + SPLITTER, count, self._came(last, final)))
        self._taken, self._valid = taken, valid + 1
        if not self._rows:
            self._free = valid
        return True

    def _came(self, last: bool, final: bool):
        def came(cycle: int, beats: Beats) -> None:
            if last:
                self._begun.append(cycle)
                self._ended.append(beats.last)
            if final:
                self._queue.finished.append(beats.last + WRITTEN)

        return came


class Stores:
    """The store unit, write master and write channel."""

    def __init__(self, shape: EngineShape, queues: Mapping[Op, Queue], memory: Memory) -> None:
        self._queues, self._queue, self._memory = queues, queues[Op.STORE], memory
        self._channel, self._bus = Channel(memory.rate), shape.bus_bytes
        self._free, self._read, self._issued = 0, -1, -1
        self._valid = 0
        self._requested: deque[int] = deque(maxlen=STORE_REQUESTS + SPLITTER)
        self._answered: list[int] = []
        self._written: deque[int] = deque(maxlen=WRITE_BUFFER)
        """The cycles in which the last beats passed."""

    def advance(self) -> bool:
        """Carry out the next store, if it is known when; whether it was."""
        queue = self._queue
        if len(queue.accepted) == len(queue.descriptors):
            return False
        offered = queue.offered(self._queues)
        if offered is None:
            return False
        d = queue.descriptors[len(queue.accepted)]
        accepted = max(offered, self._free)
        queue.accepted.append(accepted)
        valid = accepted + WALKER + _placing(d)
        for address, beats in rows_of(d, self._bus):
            if len(self._requested) == self._requested.maxlen:
                valid = max(valid, self._requested[0] + 1)
            self._row(valid, address, beats)
            self._free = valid
            valid += 1
        queue.finished.append(self._answered[-1] + 1)
        return True

    def _row(self, valid: int, address: int, beats: int) -> None:
        self._read = max(self._read, valid)
        for count in bursts(address, beats, self._bus):
            for _ in range(count):
                self._read += 1
                if len(self._written) == WRITE_BUFFER:
                    self._read = max(self._read, self._written[0] + 1 - STORE_READ)
                self._written.append(1 << 60)
            begin = max(valid + 1 + SPLITTER, self._read + STORE_READ + 1, self._issued + 1)
            if len(self._answered) >= OUTSTANDING:
                begin = max(begin, self._answered[-OUTSTANDING] + 1)
            self._issued = begin
            passed = self._channel.pass_beats(begin + 2, count)
            for n in range(count):
                self._written[n - count] = passed.at(n)
            self._answered.append(passed.last + self._memory.latency)
        self._requested.append(self._issued)
