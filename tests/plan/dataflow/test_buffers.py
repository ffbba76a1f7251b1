"""Buffers are as small as the interval allows."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace

import pytest

import hwgen
from hwgen.plan.dataflow import buffers
from hwgen.plan.dataflow.buffers import SIZING_FRAMES, size_buffers, trimmed
from hwgen.plan.dataflow.events.simulation import FRAMES, Deadlock
from hwgen.plan.dataflow.network import interval_of, run_units
from hwgen.plan.dataflow.plan import DataflowPlan
from hwgen.plan.dataflow.plan_file import dataflow_from_json
from hwgen.plan.dataflow.units import Unit
from tests.helpers.graphs import random_case


def changed(plan: DataflowPlan, index: int, field: str, value: int) -> DataflowPlan:
    unit = plan.units[index].with_capacity(field, value)
    return replace(plan, units=(*plan.units[:index], unit, *plan.units[index + 1 :]))


def interval(plan: DataflowPlan) -> float:
    return plan.interval(FRAMES)


def is_slower(plan: DataflowPlan, other: DataflowPlan) -> bool:
    """In the steady state, or on the way there."""
    return any(plan.interval(n) > other.interval(n) for n in (SIZING_FRAMES, FRAMES))


def assert_smallest(plan: DataflowPlan) -> int:
    """One less of any capacity is slower; returns how many could have been less."""
    count = 0
    for index, unit in enumerate(plan.units):
        for field in unit.capacities:
            value = unit.capacity(field)
            if value > unit.smallest(field):
                less = changed(plan, index, field, value - 1)
                assert is_slower(less, plan), f"{unit.name}: {field} {value - 1} will do"
                count += 1
    return count


@pytest.mark.parametrize("budget", [32, 64, 400])
def test_one_less_of_any_capacity_of_the_shipped_network_is_slower(budget: int) -> None:
    plan = hwgen.plan(hwgen.load("hwgen/models/mnist_cnn.h5"), multipliers=budget)
    assert interval(plan) <= 1.02 * plan.interval_bound + 16
    assert assert_smallest(plan) > 3


def test_one_less_of_any_capacity_of_random_networks_is_slower() -> None:
    count = 0
    for seed in range(300, 380):
        case = random_case(seed)
        if case.mode in ("budget", "interval", "sized"):
            print(case)
            count += assert_smallest(case.plan)
    assert count > 20


def test_trimming_changes_no_event() -> None:
    for seed in range(600, 660):
        case = random_case(seed, ("chain", "branching", "rich", "types")[seed % 4])
        print(case)
        less = replace(case.plan, units=trimmed(case.plan.units, case.frames))
        before, after = case.plan.timing(case.frames), less.timing(case.frames)
        assert (before.ends, before.first) == (after.ends, after.first)
        assert before.high_water == after.high_water


def test_a_row_is_released_while_windows_before_it_wait() -> None:
    plan = random_case(50_028_500, "branching").plan  # once sized into a deadlock
    assert interval(plan) == plan.interval_bound


def test_more_of_any_capacity_is_never_slower() -> None:
    tried = 0
    for seed in range(400, 440):
        plan = random_case(seed).plan
        for index, unit in enumerate(plan.units):
            for field in unit.capacities:
                value = getattr(unit, field)
                if field == "parallel" and value:
                    continue
                more = changed(plan, index, field, value + 1)
                assert interval(more) <= interval(plan), f"seed {seed}: {unit.name} {field}"
                tried += 1
    assert tried > 200


@pytest.mark.parametrize("kind", ["chain", "branching"])
def test_sizing_keeps_the_interval_of_generous_buffers(kind: str) -> None:
    seen = 0
    for seed in range(500, 560):
        case = random_case(seed, kind)
        if case.mode == "generous":
            print(case)
            sized = size_buffers(case.plan)
            assert interval(sized) == interval(case.plan)
            assert sized.memory_bits <= case.plan.memory_bits
            seen += 1
    assert seen > 5


def test_a_part_of_a_network_is_never_slower_than_the_whole() -> None:
    slower = 0
    for seed in range(700, 712):
        plan = random_case(seed, ("chain", "branching")[seed % 2]).plan
        print("seed", seed)
        whole = interval_of(plan.units, 12)
        for first in range(len(plan.units)):
            for behind in range(first + 1, len(plan.units) + 1):
                part = interval_of(plan.units[first:behind], 12)
                assert part <= whole
                slower += part == whole
    assert slower > 10


def test_beats_that_come_evenly() -> None:
    """What a run fills of the queues then is enough for the interval; its beats come on time."""
    tried = 0
    for seed in range(740, 764):
        case = random_case(seed, ("chain", "branching")[seed % 2])
        if case.mode != "generous":
            continue
        print(case)
        cycles = case.plan.interval(FRAMES)
        assert isinstance(cycles, int)
        run = run_units(case.plan.units, FRAMES, cycles)
        assert list(run.first.values()) == [tuple(n * cycles for n in range(FRAMES))]
        less = trimmed(case.plan.units, FRAMES, cycles)
        assert interval_of(less, FRAMES) <= cycles
        tried += 1
    assert tried > 1


def test_the_memory_of_a_run_goes_with_its_last_reader() -> None:
    """A simulation that kept it in a cycle of references took gigabytes for large networks."""
    gc.disable()
    try:
        run = run_units(random_case(1).plan.units, 2)
        events = weakref.ref(run.events)
        del run
        assert events() is None
    finally:
        gc.enable()


def test_a_ring_too_small_for_its_window_never_gives_anything() -> None:
    """The smallest ring works; below it the model says so instead of going on for ever."""
    plan = hwgen.plan(hwgen.load("hwgen/models/mnist_cnn.h5"), multipliers=32)
    assert isinstance(plan, DataflowPlan)
    (index,) = [i for i, unit in enumerate(plan.units) if unit.name == "conv1"]
    smallest = plan.units[index].smallest("rows")
    assert interval(changed(plan, index, "rows", smallest)) < float("inf")
    with pytest.raises(Deadlock):
        changed(plan, index, "rows", smallest - 1).timing()


@pytest.mark.parametrize("kind", ["chain", "wide"])
def test_plan_file_gives_the_same_plan(kind: str) -> None:
    """Also where it reads the ring though the windows are not wide: the file's kinds decide."""
    for seed in range(600, 640):
        plan = random_case(seed, kind).plan
        again = dataflow_from_json(plan.graph, plan.to_json())
        assert again == plan
        assert again.to_json() == plan.to_json()


def test_nothing_is_run_again_with_no_more_of_any_capacity(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was too slow with more is not tried with less."""
    runs: list[tuple[tuple[str, ...], tuple[int, ...], float]] = []

    def counted(units: Sequence[Unit], frames: int, last: int = 2) -> float:
        interval = interval_of(units, frames, last)
        names = tuple(unit.name for unit in units)
        sizes = tuple(unit.capacity(field) for unit in units for field in unit.capacities)
        runs.append((names, sizes, interval))
        return interval

    monkeypatch.setattr(buffers, "interval_of", counted)
    slower = 0
    for seed in range(820, 850):
        case = random_case(seed, "branching")
        if case.mode != "generous":
            continue
        print(case)
        target = case.plan.interval(SIZING_FRAMES)
        runs.clear()
        sized = size_buffers(case.plan)
        tried = [run for run in runs if len(run[0]) < len(sized.units)]
        for number, (names, sizes, interval) in enumerate(tried):
            slower += interval > target
            for before, more, longer in tried[:number]:
                known = longer > target and before == names
                assert not (known and all(a <= b for a, b in zip(sizes, more, strict=True)))
    assert slower > 20
