"""Buffers as small as the interval allows, by runs of the event model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...aliases import Progress
from .events.simulation import FRAMES
from .events.times import Words
from .network import interval_of, run_units
from .plan import DataflowPlan
from .units import Unit

Units = tuple[Unit, ...]
Knob = tuple[int, str]
"""The number of a unit, and one of its capacities."""

SIZING_FRAMES = 4
"""Frames that usually show the steady state; the result is checked with FRAMES."""
NEAR = 2
"""Units before and behind one that usually tell how small its buffers may be."""
LONG = 1000
"""Cycles of a frame from which on a part of a network is steady after two frames; in shorter ones
there are beats of several frames, and intervals may differ in turn."""
WINDOWED = ("rows", "parallel", "windows")
"""Capacities of a sliding window."""


def size_buffers(plan: DataflowPlan, progress: Progress | None = None) -> DataflowPlan:
    """The smallest capacities with which the interval is that of generous ones.

    Each unit's capacities are lowered as far as the units around it allow, those of the costliest
    unit first. Where that is too far for the whole network, capacities are lowered to these again,
    many at a time, by what more units around them say; in the end by all of them.
    """
    say = progress or (lambda text: None)
    for frames in (SIZING_FRAMES, FRAMES):
        sized = _sized(plan, frames, say)
        if frames == FRAMES or sized.interval(FRAMES) <= plan.interval(FRAMES):
            return sized
    raise AssertionError


def _sized(plan: DataflowPlan, frames: int, say: Progress) -> DataflowPlan:
    target = plan.interval(frames)
    say(f"interval {target:g} with generous buffers, bound {plan.interval_bound}")
    least, near = tuple(_smallest(unit) for unit in plan.units), NEAR
    slower, cuts = _Slower(least), {}
    while True:
        sizing = _Sizing(least, target, frames, near, slower, say)
        least = sizing.sized(plan.units, cuts)
        if near >= len(least) or interval_of(least, frames) <= target:
            break
        slower.add(least, 0, len(least))
        near *= 4
    if near > NEAR:  # capacities beside one that had to grow may be smaller for it
        less = sizing.lowered_once_more(least)
        if interval_of(less, frames) <= target:
            least = less
    return replace(plan, units=least)


def trimmed(units: Units, frames: int, cycles: int = 0) -> Units:
    """Units with queues as deep as leaves every event of a run of so many frames as it was.

    cycles : of a frame at the input, whose beats come evenly; 0: they come as soon as they can.
    """
    run = run_units(units, frames, cycles)
    result = []
    for unit in units:
        for field in unit.capacities:
            queue = run.sim.queues.get(f"{unit.name}.{field}")
            enough = None if queue is None else queue.sufficient(run.events)
            if enough is not None:
                enough = max(enough, unit.smallest(field))
                unit = unit.with_capacity(field, min(unit.capacity(field), enough))
        result.append(unit)
    return tuple(result)


class _Slower:
    """Capacities of parts of a network that were too slow, and so are all that have no more."""

    def __init__(self, units: Units) -> None:
        sizes = [len(unit.capacities) for unit in units]
        self._begins = [sum(sizes[:index]) for index in range(len(units) + 1)]
        self._found: list[tuple[slice, Words]] = []

    def add(self, units: Units, first: int, behind: int) -> None:
        """The units from one on, as far as the one before another, are too slow."""
        place = slice(self._begins[first], self._begins[behind])
        self._found.append((place, _capacities(units)[place]))

    def has(self, units: Units) -> bool:
        """Whether a part of a network is known to be too slow."""
        capacities = _capacities(units)
        return any((capacities[place] <= found).all() for place, found in reversed(self._found))


class _Sizing:
    """A search for capacities that keep to an interval, not below those of ``least``.

    near : units looked at before and behind the one whose capacities are lowered.
    """

    def __init__(
        self, least: Units, target: float, frames: int, near: int, slower: _Slower, say: Progress
    ) -> None:
        self.least, self.target, self.frames, self.say = least, target, frames, say
        self.near, self.slower = near, slower

    def sized(self, units: Units, cuts: dict[Units, Units]) -> Units:
        """The units with capacities as small as can be. cuts : units and those that ``_cut`` made
        of them, which are added."""
        # Windows and rows cost more than their bits: queues may grow for them, not the other way.
        units = self._lowered(units, True)
        if units not in cuts:
            cuts[units] = self._cut(units)
        return self._lowered(cuts[units], False)

    def _cut(self, units: Units) -> Units:
        """The units with queues as deep as a run fills them."""
        # Where beats come evenly, queues hold no more than what comes unevenly inside.
        cut = trimmed(units, self.frames, int(self.target))
        if interval_of(cut, self.frames) > self.target:  # not steady after so many frames
            cut = trimmed(units, self.frames)
        return cut

    def lowered_once_more(self, units: Units) -> Units:
        """The units with each capacity, below ``least`` too, as small as the others then allow."""
        # Most are as small as can be, which few units tell as well, and sooner.
        few = _Sizing(self.least, self.target, self.frames, NEAR, self.slower, self.say)
        for index, unit in enumerate(units):
            for field in unit.capacities:
                low, high = unit.smallest(field), units[index].capacity(field)
                knobs = [(index, field)]
                if high == low:
                    continue
                if few._interval(_set(units, index, field, high - 1), knobs) <= self.target:
                    units = self._alone(units, index, field, low - 1)
        return units

    def _lowered(self, units: Units, windowed: bool) -> Units:
        """Capacities of windows, or all others, as small as can be."""
        groups = [
            [(index, field) for field in unit.capacities if (field in WINDOWED) == windowed]
            for index, unit in enumerate(units)
        ]
        if self.near > NEAR:
            return self._together(units, [knob for group in groups for knob in group])
        groups.sort(key=lambda group: -sum(_saving(units[i], field) for i, field in group))
        for group in groups:
            units = self._together(units, group)
        return units

    def _together(self, units: Units, knobs: Sequence[Knob]) -> Units:
        """Some capacities as small as can be: all at once, else one half after the other."""
        knobs = [(i, f) for i, f in knobs if units[i].capacity(f) > self.least[i].capacity(f)]
        if not knobs:
            return units
        trial = units
        for index, field in knobs:
            trial = _set(trial, index, field, self.least[index].capacity(field))
        interval = self._interval(trial, knobs)
        if interval <= self.target:
            return trial
        if len(knobs) == 1:
            index, field = knobs[0]
            return self._alone(units, index, field, self.least[index].capacity(field), interval)
        middle = len(knobs) // 2
        return self._together(self._together(units, knobs[:middle]), knobs[middle:])

    def _alone(
        self, units: Units, index: int, field: str, low: int, interval: float = float("inf")
    ) -> Units:
        """One capacity as small as can be, which is more than ``low``, with which the interval is
        too long."""
        high = units[index].capacity(field)
        slow = [(low, interval)]
        trial = (low + high) // 2 if field in WINDOWED else high - 1  # often trimmed to what it is
        while high - low > 1:
            interval = self._interval(_set(units, index, field, trial), [(index, field)])
            if interval <= self.target:
                high = trial
            else:
                low = trial
                slow = [slow[-1], (trial, interval)]
            trial = min(max(low + 1, self._estimate(slow, (low + high) // 2)), high - 1)
        self.say(f"{units[index].name}: {field} {high}")
        return _set(units, index, field, high)

    def _estimate(self, slow: list[tuple[int, float]], otherwise: int) -> int:
        """The capacity that two smaller ones and their intervals point at, where they do: most
        entries of a queue save as many cycles as the one before."""
        (a, longer), (b, shorter) = slow[0], slow[-1]
        if not shorter < longer < float("inf"):
            return otherwise
        return b + math.ceil((shorter - self.target) * (b - a) / (longer - shorter))

    def _interval(self, units: Units, knobs: Sequence[Knob]) -> float:
        """That of the units around those of some capacities; infinite where it was too long with
        as much or more."""
        if self.slower.has(units):
            return float("inf")
        first, last = _region(units, knobs[0][0], knobs[-1][0])
        first, behind = max(0, first - self.near), min(len(units), last + self.near + 1)
        around = units[first:behind]
        if len(around) < len(units) and self.target >= LONG:
            interval = interval_of(around, 3, last=1)
        else:
            interval = interval_of(around, self.frames)
        if interval > self.target:
            self.slower.add(units, first, behind)
        return interval


def _capacities(units: Units) -> Words:
    return np.array([unit.capacity(field) for unit in units for field in unit.capacities])


def _smallest(unit: Unit) -> Unit:
    for field in unit.capacities:
        unit = unit.with_capacity(field, unit.smallest(field))
    return unit


def _saving(unit: Unit, field: str) -> int:
    if field == "parallel":
        return 1 << 62  # rotating rows costs logic, which bits do not show
    return unit.memory_bits - unit.with_capacity(field, unit.smallest(field)).memory_bits


def _region(units: Units, first: int, last: int) -> tuple[int, int]:
    """First and last of the fewest units around some that one stream at most enters and leaves."""
    giver = {name: number for number, unit in enumerate(units) for name in unit.streams}
    streams = [
        # What comes from outside is never late: it binds no units together.
        (giver.get(name, reader), reader)
        for reader, unit in enumerate(units)
        for name in unit.sources
    ]

    def is_narrow(place: int) -> bool:
        return sum(start < place <= end for start, end in streams) <= 1

    return (
        next(n for n in range(first, -1, -1) if is_narrow(n)),
        next(n for n in range(last + 1, len(units) + 1) if is_narrow(n)) - 1,
    )


def _set(units: Units, index: int, field: str, value: int) -> Units:
    return (*units[:index], units[index].with_capacity(field, value), *units[index + 1 :])
