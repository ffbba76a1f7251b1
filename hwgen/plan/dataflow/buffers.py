"""Buffers as small as the interval allows, by runs of the event model."""

from __future__ import annotations

from dataclasses import replace

from .events.simulation import FRAMES
from .plan import DataflowPlan, Progress
from .units import Unit


def size_buffers(plan: DataflowPlan, progress: Progress | None = None) -> DataflowPlan:
    """The smallest capacities with which the interval is that of generous ones.

    Each group of capacities is lowered at once where that costs nothing, else its halves, down
    to a bisection of single ones; the costly ones go first.
    """
    say = progress or (lambda text: None)
    for frames in (SIZING_FRAMES, FRAMES):
        sized = _sized(plan, frames, say)
        if frames == FRAMES or sized.interval(FRAMES) <= plan.interval(FRAMES):
            return sized
    raise AssertionError


SIZING_FRAMES = 4
"""Frames that usually show the steady state; the result is checked with FRAMES."""


def _sized(plan: DataflowPlan, frames: int, say: Progress) -> DataflowPlan:
    target = plan.interval(frames)
    say(f"interval {target:g} with generous buffers, bound {plan.interval_bound}")
    knobs = [(i, f) for i, unit in enumerate(plan.units) for f in unit.capacities]
    knobs.sort(key=lambda knob: -_saving(plan.units[knob[0]], knob[1]))
    # Windows and rows cost more than their bits: queues may grow for them, not the other way.
    plan = _lowered(plan, [k for k in knobs if k[1] in WINDOWED], target, frames, say)
    plan = trimmed(plan, frames)
    return _lowered(plan, [k for k in knobs if k[1] not in WINDOWED], target, frames, say)


WINDOWED = ("rows", "parallel", "windows")
"""Capacities of a sliding window."""


def _lowered(
    plan: DataflowPlan, knobs: list[tuple[int, str]], target: float, frames: int, say: Progress
) -> DataflowPlan:
    """Each of some capacities as small as the interval allows, one after the other."""

    def lowered(units: tuple[Unit, ...], group: list[tuple[int, str]]) -> tuple[Unit, ...]:
        trial = units
        for index, field in group:
            trial = _set(trial, index, field, trial[index].smallest(field))
        if trial == units or replace(plan, units=trial).interval(frames) <= target:
            return trial
        if len(group) > 1:
            middle = len(group) // 2
            return lowered(lowered(units, group[:middle]), group[middle:])
        index, field = group[0]
        low, high = units[index].smallest(field), units[index].capacity(field)
        while high - low > 1:
            middle = (low + high) // 2
            trial = _set(units, index, field, middle)
            if replace(plan, units=trial).interval(frames) <= target:
                high = middle
            else:
                low = middle
        say(f"{units[index].name}: {field} {high}")
        return _set(units, index, field, high)

    group = [(i, f) for i, f in knobs if plan.units[i].capacity(f) != plan.units[i].smallest(f)]
    return replace(plan, units=lowered(plan.units, group)) if group else plan


def trimmed(plan: DataflowPlan, frames: int) -> DataflowPlan:
    """The plan with queues as deep as leaves every event of a run of so many frames as it was."""
    sim, _, _ = plan._simulate(frames)
    units = []
    for unit in plan.units:
        for field in unit.capacities:
            queue = sim.queues.get(f"{unit.name}.{field}")
            enough = None if queue is None else queue.sufficient
            if enough is not None:
                enough = max(enough, unit.smallest(field))
                unit = unit.with_capacity(field, min(unit.capacity(field), enough))
        units.append(unit)
    return replace(plan, units=tuple(units))


def _saving(unit: Unit, field: str) -> int:
    if field == "parallel":
        return 1 << 62  # rotating rows costs logic, which bits do not show
    return unit.memory_bits - unit.with_capacity(field, unit.smallest(field)).memory_bits


def _set(units: tuple[Unit, ...], index: int, field: str, value: int) -> tuple[Unit, ...]:
    return (*units[:index], units[index].with_capacity(field, value), *units[index + 1 :])
