"""Buffers are as small as the interval allows."""

from __future__ import annotations

from dataclasses import replace

import pytest

import hwgen
from hwgen.plan.dataflow.buffers import SIZING_FRAMES, size_buffers, trimmed
from hwgen.plan.dataflow.events.simulation import FRAMES, Deadlock
from hwgen.plan.dataflow.plan import DataflowPlan
from hwgen.plan.dataflow.plan_file import dataflow_from_json
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


def test_sizing_keeps_the_interval_of_generous_buffers() -> None:
    seen = 0
    for seed in range(500, 560):
        case = random_case(seed)
        if case.mode == "generous":
            sized = size_buffers(case.plan)
            assert interval(sized) == interval(case.plan)
            assert sized.memory_bits <= case.plan.memory_bits
            seen += 1
    assert seen > 5


def test_a_ring_too_small_for_its_window_never_gives_anything() -> None:
    """The smallest ring works; below it the model says so instead of going on for ever."""
    plan = hwgen.plan(hwgen.load("hwgen/models/mnist_cnn.h5"), multipliers=32)
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
