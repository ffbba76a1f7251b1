"""The compute unit: steps of the array, words of sums, results, and the banks that they use."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import prod

import numpy as np

from ....contract.engine import BANKS, EngineShape
from ....contract.isa import LEVELS, OUTPUT_LEVELS, WINDOW_TAPS, Loop, Opcode, Operand, Reduction
from ... import latency
from .front import QueueTiming, Values
from .pipeline import (
    ADDRESS,
    FIRST_STEP,
    FREED,
    MOST_UNDER_WAY,
    RESULTS,
    SECOND,
    SECOND_PLACE,
    SECOND_PLACES,
    SECOND_READ,
    SECOND_USED,
    SECONDS,
    SOFTMAX_RESULT,
    START,
    SUMS,
    TABLE_RESULTS,
    TAP_FETCH,
    UNDER_WAY,
    VISIBLE,
    Pipeline,
)


@dataclass(frozen=True)
class _Taps:
    """When the array reads which banks: in the cycle of a step, which is late from some steps on.

    late : steps, and how many cycles later than one after the other they and those after them are.
    word : bytes of a word of a bank.
    """

    descriptor: Values
    word: int
    first: int
    steps: int
    late: list[tuple[int, int]]

    def read(self, bank: int, cycle: int, waits: int | None = None) -> bool:
        """Whether a bank is read in a cycle. ``waits`` : the step before which the array waits."""
        step = cycle - ADDRESS - self.first
        begun = 0
        for start, late in self.late:
            if step - begun < start:
                break
            if step - late < start:
                return False  # the array waits
            begun = late
        step -= begun
        if not 0 <= step < (self.steps if waits is None else waits):
            return False
        d = self.descriptor
        row, position = self._place(step, "row"), self._place(step, "position")
        below = (bank - (d["x_first"] + row) % d["x_ring"]) % BANKS
        rows = WINDOW_TAPS if d["operand"] == Operand.DEPTHWISE_WINDOW else 1 + d["tap_rows"]
        position += d["x_position"]
        return (
            below < rows
            and 0 <= d["x_row"] + row + below < d["x_rows"]
            and -self.word < position < d["x_bytes"]
            and self._moved(step)
        )

    def _place(self, step: int, name: str) -> int:
        """Row or position of a step, from those of the first one on: what each loop has added."""
        place = 0
        for n in range(LEVELS):
            place += step * self.descriptor[f"loop{n}_{name}"]
            step //= self.descriptor[f"loop{n}_count"]
            place -= step * self.descriptor[f"loop{n}_{name}"]
        return place

    def _moved(self, step: int) -> bool:
        """Whether the loop that led to a step changed its place; what stays is not read again."""
        d = self.descriptor
        for n in range(LEVELS):
            step, index = divmod(step, d[f"loop{n}_count"])
            if index:
                return any(d[f"loop{n}_{name}"] for name in ("position", "row", "ring"))
        return True


def _adds_second(d: Values) -> bool:
    """Whether results have a second operand."""
    return bool(d.get("second") and (d.get("tables") or d.get("product")))


class _Second:
    """When words of a second operand are read: one after the other, where taps let them."""

    def __init__(self, d: Values, taps: _Taps, told: int) -> None:
        self._taps, self._first, self._ring = taps, d["second_first"], d["second_ring"]
        self._used = 0 if d.get("product") else SECOND_USED
        self._step = told + SECOND - SECOND_READ - SECOND_PLACE - 1
        self._reads: deque[int] = deque([-1] * SECOND_PLACES, maxlen=SECOND_PLACES)

    @property
    def last(self) -> int:
        """The cycle of the last read."""
        return self._reads[-1]

    def bank(self, row: int) -> int:
        """The bank of a result's row."""
        return (self._first + row) % self._ring % BANKS

    def read(self, row: int, used: int, waits: int | None) -> int:
        """The cycle in which the next word is read.

        row : of its result. used : the cycle behind the last slice's begin of the word whose place
        it takes. waits : the step before which the array waits until then.
        """
        self._step = max(self._step + 1, used + self._used, self._reads[0] + 1)
        bank, cycle = self.bank(row), max(self._reads[-1] + 1, self._step + SECOND_PLACE)
        while self._taps.read(bank, cycle, waits):
            cycle += 1
        self._reads.append(cycle)
        return cycle


class Tiles:
    """The tile units; several of them get their tiles from one queue and end in its order."""

    def __init__(self, shape: EngineShape, queues: Mapping[Opcode, QueueTiming]) -> None:
        self._queues, self._queue = queues, queues[Opcode.COMPUTE]
        self._units = [_Unit(shape) for _ in range(shape.tiles)]
        self._waiting = [0] * shape.tiles
        """The cycle from which on another tile may wait at a unit."""
        self._depth = min(MOST_UNDER_WAY, UNDER_WAY * shape.tiles)

    def free_to_write(self, units: int, bank: int, cycle: int) -> int:
        """The cycle, from one on, by which a beat is written in a bank of all of some units."""
        return max(
            unit.free_to_write(bank, cycle) for n, unit in enumerate(self._units) if units >> n & 1
        )

    def reads(self, unit: int, bank: int, cycle: int) -> bool:
        """Whether the array of a unit reads a bank in a cycle."""
        return self._units[unit].reads(bank, cycle)

    def advance(self) -> bool:
        """Carry out the next tile, if it is known when; whether it was."""
        queue = self._queue
        d = queue.accept(self._queues, self._ready)
        if d is None:
            return False
        unit, accepted = self._units[d.get("unit", 0)], queue.accepted[-1]
        if len(self._units) == 1:
            queue.begun.append(accepted + FIRST_STEP - 1)
            queue.finished.append(unit.carry_out(d, accepted))
            return True
        # A tile waits at its unit, a place for each, and is told of when all before it are.
        begun = max(accepted + 1, unit.free)
        queue.begun.append(begun + FIRST_STEP - 1)
        finished = unit.carry_out(d, begun)
        self._waiting[d["unit"]] = begun + 1
        queue.finished.append(max(finished, queue.finished[-1] if queue.finished else 0) + 1)
        return True

    def _ready(self, d: Values) -> int:
        """The cycle from which on a tile is taken."""
        if len(self._units) == 1:
            return self._units[0].free
        told, ready = self._queue.finished, self._waiting[d["unit"]]
        return max(ready, told[-self._depth] + 1) if len(told) >= self._depth else ready


class _Unit:
    """Array and result stage of a tile unit."""

    def __init__(self, shape: EngineShape) -> None:
        self._pipeline, self._word = Pipeline.of(shape), shape.word
        self.free = 0
        """The cycle from which on another tile is taken."""
        self._results_free = 0
        self._taps: list[_Taps] = []
        self._firsts: list[int] = []
        self._written: dict[int, int] = {}
        """The bank that results are written to in a cycle."""
        self._second_read: dict[int, int] = {}
        """The bank that a word of a second operand is read from in a cycle."""

    def free_to_write(self, bank: int, cycle: int) -> int:
        """The first cycle, from one on, in which no result is written to a bank."""
        while self._written.get(cycle) == bank:
            cycle += 1
        return cycle

    def reads(self, bank: int, cycle: int) -> bool:
        """Whether the array reads a bank in a cycle, or a second operand is read from it."""
        if self._second_read.get(cycle) == bank:
            return True
        number = bisect_right(self._firsts, cycle - ADDRESS) - 1
        return number >= 0 and self._taps[number].read(bank, cycle)

    def carry_out(self, d: Values, accepted: int) -> int:
        """The cycle in which a tile is finished."""
        first = accepted + FIRST_STEP
        if d.get("softmax"):
            return self._softmax(d, first)
        steps = prod(d[f"loop{n}_count"] for n in range(LEVELS))
        self._firsts.append(first)
        if d.get("no_writeback"):
            self._taps.append(_Taps(d, self._word, first, steps, []))
            held = first + steps + self._pipeline.sum + 1
            finished = max(held, self._results_free)
            self.free = finished + 1
            return finished
        told = max(first, self._results_free)
        taps = _Taps(d, self._word, first, steps, [])
        self._taps.append(taps)
        last_word, last_read = self._words(d, taps, told)
        last_step = first + steps - 1 + (taps.late[-1][1] if taps.late else 0)
        self.free = max(last_step + TAP_FETCH + 1, told + 2, last_read + 2)
        finished = last_word + (TABLE_RESULTS if d.get("tables") else RESULTS) + VISIBLE
        self._results_free = finished + 1
        return finished

    def _softmax(self, d: Values, first: int) -> int:
        """The array does nothing but pass the command on; a byte is written after the other."""
        told = max(first, self._results_free)
        self.free = max(first + TAP_FETCH, told + 2)
        _, rows = _profile(*_key(d))
        groups = d["groups"]
        channels = (groups - 1) * self._pipeline.lanes + d["lanes"]
        gap, interval = latency.softmax(channels)
        written = told + SECOND + channels - 1 + gap + latency.SOFTMAX + 1 + SOFTMAX_RESULT
        for row in rows[::groups]:
            bank = (d["y_first"] + row) % d["y_ring"] % BANKS
            self._written.update((written + n, bank) for n in range(channels))
            written += interval
        finished = written - interval + channels - 1 + VISIBLE
        self._results_free = finished + 1
        return finished

    def _words(self, d: Values, taps: _Taps, told: int) -> tuple[int, int]:
        """The cycle in which the last part of the last word begins, and that in which the last word
        of a second operand is read, if there is one. Notes where steps are late."""
        pipeline, first = self._pipeline, taps.first
        tables, largest = d.get("tables"), d.get("reduction") == Reduction.MAX
        parts = pipeline.cycles(bool(d.get("wide")), bool(tables))
        behind = (TAP_FETCH + 1 if largest else pipeline.sum) + 1
        steps, rows = _profile(*_key(d))
        free, lateness, begun = told + START, [0] * len(steps), [0] * len(steps)
        second = _Second(d, taps, told) if _adds_second(d) else None
        for n, step in enumerate(steps):
            begin = max(first + step + lateness[n] + behind, free)
            waiting = n + SUMS
            if second is not None:
                used = begun[n - SECONDS] + parts if n >= SECONDS else 0
                until = steps[waiting] if waiting < len(steps) else None
                read = second.read(rows[n], used, until)
                self._second_read[read] = second.bank(rows[n])
                begin = max(begin, read + SECOND_READ)
            begun[n], free = begin, begin + parts
            if waiting < len(steps):
                # The array waits before a step that finishes a sum for which there is no room.
                late = taps.late[-1][1] if taps.late else 0
                lateness[waiting] = max(late, free + FREED - first - steps[waiting])
                if lateness[waiting] > late:
                    taps.late.append((steps[waiting], lateness[waiting]))
        self._note(d, begun, rows, parts)
        return begun[-1] + parts - 1, second.last if second is not None else 0

    def _note(self, d: Values, begun: list[int], rows: list[int], parts: int) -> None:
        """Which banks results are written to, and when."""
        first, ring = d["y_first"], d["y_ring"]
        banks = [(first + row) % ring % BANKS for row in rows]
        behind = TABLE_RESULTS if d.get("tables") else RESULTS
        # Bytes are written with a word's last slice, wide results with each.
        for part in range(0 if d.get("wide") else parts - 1, parts):
            self._written.update(
                (cycle + part + behind, b) for cycle, b in zip(begun, banks, strict=True)
            )


def _key(d: Values) -> tuple:
    window = None
    if d["operand"] == Operand.DEPTHWISE_WINDOW:
        window = (d["window_first"], d["window_step"])
    loops = tuple(
        (d[f"loop{n}_count"], d[f"loop{n}_kind"], d.get(f"loop{n}_skip", 0)) for n in range(LEVELS)
    )
    out = tuple(
        (d[f"out{n}_count"], d[f"out{n}_group"], d[f"out{n}_row"]) for n in range(OUTPUT_LEVELS)
    )
    return loops, window, out


@cache
def _profile(loops: tuple, window: tuple | None, out: tuple) -> tuple[list[int], list[int]]:
    """The step that finishes each word of sums, and its row from that of the first on."""
    counts = [count for count, _, _ in reversed(loops)]
    gives = np.ones(counts, bool)
    if window is None:
        for axis, (count, kind, skip) in enumerate(reversed(loops)):
            steps = np.arange(count)
            if kind == Loop.TAP and count > 1:
                gives &= _along(steps == count - 1, axis, LEVELS)
            if skip:
                gives &= _along(steps >= skip, axis, LEVELS)
    else:
        first, step = window
        columns = np.arange(counts[-1])
        gives &= (columns >= first) & ((columns - first) % step == 0)
    steps = np.flatnonzero(gives.reshape(-1))
    words = [count for count, _, _ in reversed(out)]
    row = np.zeros(words, np.int64)
    inside = 0
    for level, (count, _, step) in enumerate(out):
        places = _along(np.arange(count), OUTPUT_LEVELS - 1 - level, OUTPUT_LEVELS)
        stride = step + inside if count > 1 else 0
        row += places * stride
        inside += (count - 1) * stride
    return steps.tolist(), row.reshape(-1).tolist()


def _along(values: np.ndarray, axis: int, axes: int) -> np.ndarray:
    shape = [1] * axes
    shape[axis] = len(values)
    return values.reshape(shape)
