"""The compute unit: steps of the array, words of sums, results."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import prod

import numpy as np

from ....descriptors import LEVELS, OUTPUT_LEVELS, EngineShape, Loop, Op, Operand, Reduction
from .front import Queue, Values
from .pipeline import (
    RESULTS,
    SECOND,
    SUMS,
    TABLE_PARTS,
    TABLE_RESULTS,
    TAP_FETCH,
    VISIBLE,
    Pipeline,
)


class Tiles:
    """Array and result stage."""

    def __init__(self, shape: EngineShape, queues: Mapping[Op, Queue]) -> None:
        self._queues, self._queue = queues, queues[Op.COMPUTE]
        self._pipeline = Pipeline.of(shape)
        self._free = 0
        self._results_free = 0

    def advance(self) -> bool:
        """Carry out the next tile, if it is known when; whether it was."""
        queue = self._queue
        if len(queue.accepted) == len(queue.descriptors):
            return False
        offered = queue.offered(self._queues)
        if offered is None:
            return False
        d = queue.descriptors[len(queue.accepted)]
        accepted = max(offered, self._free)
        queue.accepted.append(accepted)
        queue.finished.append(self._carry_out(d, accepted))
        return True

    def _carry_out(self, d: Values, accepted: int) -> int:
        """The cycle in which a tile is finished."""
        first = accepted + 2
        steps = prod(d[f"loop{n}_count"] for n in range(LEVELS))
        if d.get("hold"):
            held = first + steps + self._pipeline.sum + 1
            finished = max(held, self._results_free)
            self._free = finished + 1
            return finished
        told = max(first, self._results_free)
        last_step, last_word = self._words(d, first, told)
        tables = d.get("tables")
        self._free = max(last_step + TAP_FETCH + 1, told + 2)
        finished = last_word + (TABLE_RESULTS if tables else RESULTS) + VISIBLE
        self._results_free = finished + 1
        return finished

    def _words(self, d: Values, first: int, told: int) -> tuple[int, int]:
        """The cycles of the last step, and in which the last part of the last word begins."""
        pipeline = self._pipeline
        tables, largest = d.get("tables"), d.get("reduction") == Reduction.MAX
        parts = TABLE_PARTS if tables else pipeline.wide_parts if d.get("wide") else 1
        behind = (TAP_FETCH + 1 if largest else pipeline.sum) + 1
        steps, fresh = _profile(*_key(d))
        free = told + 1 + pipeline.turn
        if tables and d.get("second"):
            free = max(free, told + SECOND)
        late, begun = 0, [0] * len(steps)
        for n, (step, new) in enumerate(zip(steps, fresh, strict=True)):
            cycle = first + step + late
            if n >= SUMS and begun[n - SUMS] + parts > cycle:
                late += begun[n - SUMS] + parts - cycle
                cycle = first + step + late
            begin = max(cycle + behind, free)
            if new and n:
                begin = max(begin, group + pipeline.turn)
            if new:
                group = begin
            begun[n] = begin
            free = begin + parts
        return first + steps[-1] + late, begun[-1] + parts - 1


def _key(d: Values) -> tuple:
    window = None
    if d["operand"] == Operand.WINDOW:
        window = (d["window_first"], d["window_step"])
    loops = tuple((d[f"loop{n}_count"], d[f"loop{n}_kind"]) for n in range(LEVELS))
    out = tuple((d[f"out{n}_count"], d[f"out{n}_group"]) for n in range(OUTPUT_LEVELS))
    return loops, window, out


@cache
def _profile(loops: tuple, window: tuple | None, out: tuple) -> tuple[list[int], list[bool]]:
    """The steps that finish sums, and whether their words are of another group than the last."""
    counts = [count for count, _ in reversed(loops)]
    gives = np.ones(counts, bool)
    if window is None:
        for axis, (count, kind) in enumerate(reversed(loops)):
            if kind == Loop.TAP and count > 1:
                shape = [1] * LEVELS
                shape[axis] = count
                gives &= (np.arange(count) == count - 1).reshape(shape)
    else:
        first, step = window
        columns = np.arange(counts[-1])
        gives &= (columns >= first) & ((columns - first) % step == 0)
    steps = np.flatnonzero(gives.reshape(-1))
    group = np.zeros([count for count, _ in reversed(out)], np.int64)
    weight = 1
    for level, (count, of_groups) in enumerate(out):
        if of_groups:
            shape = [1] * OUTPUT_LEVELS
            shape[OUTPUT_LEVELS - 1 - level] = count
            group += weight * np.arange(count).reshape(shape)
            weight *= count
    group = group.reshape(-1)
    fresh = np.ones(len(group), bool)
    fresh[1:] = group[1:] != group[:-1]
    return steps.tolist(), fresh.tolist()
