"""Load and store unit, with the masters that they use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from ....contract.engine import BANKS, EngineShape
from ....contract.isa import Opcode, Target
from ....numeric import ceil_div
from .channels import Burst, Channel, MemoryTiming, ReadChannel, Taken, Write, bursts
from .front import QueueTiming, Values
from .pipeline import (
    BEFORE_CHANNEL,
    LEAVING,
    LOAD_REQUESTS,
    OFFERED,
    ON_BUS,
    OUTSTANDING,
    ROWS_AHEAD,
    SPLITTER,
    STORE_READ,
    STORE_REQUESTS,
    VISIBLE,
    WALKER,
    WRITE_BUFFER,
)
from .tiles import Tiles


def rows_of(d: Values, bus: int) -> list[tuple[int, int, int]]:
    """The address and the beats of each row, and its bank in the feature memory."""
    found = []
    for row in range(d["rows"]):
        start = d["address"] + row * d.get("pitch", 0)
        first = start // bus
        bank = (d.get("first", 0) + row) % d.get("ring", BANKS) % BANKS
        found.append((first * bus, ceil_div(start + d["bytes"], bus) - first, bank))
    return found


def _placing(d: Values) -> int:
    """Cycles in which the place of the first row is found."""
    return (d["first"] // BANKS).bit_length() if _of_features(d) else 0


def _of_features(d: Values) -> bool:
    return d["op"] == Opcode.STORE or d["target"] == Target.FEATURES


@dataclass(frozen=True)
class _Row:
    """A row at the walker's output, from the cycle ``valid`` on.

    features, units : where it goes. first, final : the first one of its load, the last one.
    """

    valid: int
    address: int
    beats: int
    bank: int
    features: bool
    units: int
    first: bool
    final: bool


class Loads:
    """The load unit: rows are requests, and their beats are written as they come."""

    def __init__(
        self,
        shape: EngineShape,
        queues: Mapping[Opcode, QueueTiming],
        channel: ReadChannel,
        tiles: Tiles,
    ) -> None:
        self._queues, self._queue, self._channel = queues, queues[Opcode.LOAD], channel
        self._bus, self._tiles = shape.bus_bytes, tiles
        self._rows: deque[tuple[int, int, int]] = deque()
        self._features, self._units = False, 0
        self._valid, self._free, self._requested, self._count = 0, 0, -1, 0
        self._begins = False
        """Whether the next row is the first one of its load."""
        self._row: _Row | None = None
        self._waiting: deque[tuple[_Row, int]] = deque()
        """Rows that are requested, but not yet given to the read master, and when they were."""
        self._entered: list[int] = []
        """The cycle in which each was given to it."""
        self._begun: list[int] = []
        """The cycle in which the last burst of each row begins."""
        self._taken: list[int] = []
        """The cycle in which the last beat of each row is taken."""

    def advance(self) -> bool:
        """Do what is known by now; whether something was."""
        moved = False
        while self._enter() or self._request() or self._emit() or self._accept():
            moved = True
        return moved

    def _accept(self) -> bool:
        """Take the next load; a row that waits at the output is no reason not to."""
        if self._rows:
            return False
        d = self._queue.accept(self._queues, lambda d: self._free)
        if d is None:
            return False
        self._valid = self._queue.accepted[-1] + WALKER + _placing(d)
        self._features, self._units = _of_features(d), d.get("units", 1)
        self._rows.extend(rows_of(d, self._bus))
        self._begins = True
        return True

    def _emit(self) -> bool:
        """The next row to the walker's output, which holds one until it is requested."""
        if self._row is not None or not self._rows:
            return False
        valid = max(self._valid, self._requested + 1)
        row, self._valid = self._rows.popleft(), valid + 1
        final = not self._rows
        self._row = _Row(valid, *row, self._features, self._units, self._begins, final)
        self._begins = False
        if final:
            self._free = valid
        return True

    def _request(self) -> bool:
        """The row at the output is requested; False where it is not known when that is."""
        row, before, ahead = self._row, self._count - LOAD_REQUESTS, self._count - ROWS_AHEAD
        if row is None or before >= len(self._entered) or ahead >= len(self._taken):
            return False
        requested = row.valid
        if before >= 0:
            requested = max(requested, self._entered[before] + 1)
        if ahead >= 0:
            requested = max(requested, self._taken[ahead] + 1)
        self._waiting.append((row, requested))
        self._count += 1
        self._requested, self._row = requested, None
        return True

    def _enter(self) -> bool:
        """A request is given to the read master; False where it is not known when that is."""
        inside = len(self._entered) - SPLITTER
        if not self._waiting or inside >= len(self._begun):
            return False
        row, requested = self._waiting.popleft()
        entered = requested + 1
        if inside >= 0:
            entered = max(entered, self._begun[inside])
        self._entered.append(entered)
        parts = bursts(row.address, row.beats, self._bus)
        write = self._write(row) if row.features else None
        for n, count in enumerate(parts):
            last = n == len(parts) - 1
            begun = self._came(row.first and n == 0, last, last and row.final)
            self._channel.loads.append(Burst(entered + SPLITTER, count, begun, write))
        return True

    def _write(self, row: _Row) -> Write:
        return lambda cycle: self._tiles.free_to_write(row.units, row.bank, cycle)

    def _came(self, first: bool, last: bool, final: bool) -> Callable[[int, Taken], None]:
        def came(cycle: int, taken: Taken) -> None:
            if first:
                self._queue.begun.append(cycle + ON_BUS)
            if last:
                self._begun.append(cycle)
                self._taken.append(taken.last)
            if final:
                self._queue.finished.append(taken.written[-1] + VISIBLE)

        return came


class Stores:
    """The store unit, write master and write channel."""

    def __init__(
        self,
        shape: EngineShape,
        queues: Mapping[Opcode, QueueTiming],
        memory: MemoryTiming,
        tiles: Tiles,
    ) -> None:
        self._queues, self._queue, self._memory = queues, queues[Opcode.STORE], memory
        self._channel, self._bus, self._tiles = Channel(memory.rate), shape.bus_bytes, tiles
        self._free, self._read, self._offered, self._issued = 0, -1, -1, -1
        self._requested: deque[int] = deque(maxlen=STORE_REQUESTS + SPLITTER)
        self._answered: list[int] = []
        self._left: deque[int] = deque(maxlen=WRITE_BUFFER)
        """The cycles in which the last beats left the write master's buffer."""
        self._passed: deque[int] = deque([-1] * BEFORE_CHANNEL, maxlen=BEFORE_CHANNEL)
        """The cycles in which the last ones passed, one for each place before the channel."""
        self._known = 0
        self._work: Iterator[None] | None = None

    def advance(self, known: int) -> bool:
        """Do what can be said while all tiles are known that begin by then; whether a store was
        finished."""
        self._known = known
        if self._work is None:
            d = self._queue.accept(self._queues, lambda d: self._free)
            if d is None:
                return False
            self._work = self._store(d, self._queue.accepted[-1])
        for _ in self._work:
            return False  # it waits for what is known later
        self._work = None
        self._queue.finished.append(self._answered[-1] + 1)
        return True

    def _store(self, d: Values, accepted: int) -> Iterator[None]:
        valid = accepted + WALKER + _placing(d)
        for address, beats, bank in rows_of(d, self._bus):
            if len(self._requested) == self._requested.maxlen:
                valid = max(valid, self._requested[0] + 1)
            self._read = max(self._read, valid)
            for count in bursts(address, beats, self._bus):
                for _ in range(count):
                    yield from self._beat(d.get("unit", 0), bank)
                first = self._burst(valid, count)
                if len(self._queue.begun) < len(self._queue.accepted):
                    self._queue.begun.append(first)
            self._requested.append(self._offered)
            self._free = valid
            valid += 1

    def _beat(self, unit: int, bank: int) -> Iterator[None]:
        """The next beat is read, in a cycle in which the array does not read its bank."""
        self._read += 1
        if len(self._left) == WRITE_BUFFER:
            self._read = max(self._read, self._left[0] + 1 - STORE_READ)
        while True:
            while self._read + 1 > self._known:
                yield
            if not self._tiles.reads(unit, bank, self._read + 1):
                break
            self._read += 1
        self._left.append(0)

    def _burst(self, valid: int, count: int) -> int:
        """Begin a burst whose beats are read; gives the cycle in which its first one passes."""
        # It leaves the splitter when the burst before it has begun.
        self._offered = max(valid + 1 + SPLITTER, self._issued)
        begin = max(self._offered + OFFERED, self._read + STORE_READ + 1)
        if len(self._answered) >= OUTSTANDING:
            begin = max(begin, self._answered[-OUTSTANDING] + 1)
        self._issued = begin
        passed = self._channel.pass_beats(begin + LEAVING + 1, count)
        leaves = begin + LEAVING
        for n in range(count):
            leaves = max(leaves, self._passed[0] + 1)
            self._left[n - count] = leaves
            self._passed.append(passed.at(n))
            leaves += 1
        self._answered.append(passed.last + self._memory.latency)
        return passed.at(0)
