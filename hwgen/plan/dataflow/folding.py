"""Folding: how many outputs, taps and pixels each MAC unit works on at a time.

The interval of the whole is that of its slowest unit, so for a given interval each unit takes
its cheapest folding that is quick enough; the search over intervals is exact.
"""

from __future__ import annotations

from ...errors import OptionError
from .rules import Folding, Stage


def stream_floor(stages: list[Stage]) -> int:
    """Fewest cycles a frame can take on streams of at most one pixel a beat."""
    return max(stage.rule.least_beats(stage) for stage in stages)


def choose_for_interval(stages: list[Stage], interval: int) -> dict[str, Folding]:
    """Fewest multipliers with which every stage keeps to ``interval`` cycles.

    Raises OptionError when a stage or a stream can not.
    """
    options = {stage.name: fs for stage in stages if (fs := stage.rule.foldings(stage))}
    quickest = {
        stage.name: min((f.cycles for f in options.get(stage.name, [])), default=0)
        or stage.rule.fixed_cycles(stage)
        for stage in stages
    }
    floor = stream_floor(stages)
    # What all of them can keep to: less would be refused for the next one.
    hint = f"ask for --interval {max(floor, *quickest.values())} or more"
    if interval < floor:
        raise OptionError(
            f"an interval of {interval} cycles is below what the streams allow: "
            f"{floor} cycles at one pixel a beat",
            hint=hint,
        )
    for name, least in quickest.items():
        if least > interval:
            raise OptionError(
                f"can not keep to an interval of {interval} cycles, {least} at best",
                layer=name,
                hint=hint,
            )
    return {
        name: min(f for f in choices if f.cycles <= interval) for name, choices in options.items()
    }


def choose_for_multipliers(stages: list[Stage], budget: int) -> dict[str, Folding]:
    """The smallest interval within ``budget`` multipliers, then the fewest at that interval.

    Raises OptionError when the budget is below one multiplier for each MAC stage.
    """
    options = _foldings(stages)
    least = sum(min(f.multipliers for f in fs) for fs in options.values())
    if budget < least:
        raise OptionError(
            f"{budget} multipliers are too few: this network needs at least {least} "
            "(one for each layer that multiplies, more where an accumulator states a group)",
            hint=f"give --multipliers {least} or more",
        )
    quickest = _quickest(stages, options)
    cycles = (max(quickest, f.cycles) for fs in options.values() for f in fs)
    intervals = sorted({quickest, *cycles})

    def cost(interval: int) -> int:
        return sum(
            min(f.multipliers for f in fs if f.cycles <= interval) for fs in options.values()
        )

    low, high = 0, len(intervals) - 1
    while low < high:
        middle = (low + high) // 2
        if cost(intervals[middle]) <= budget:
            high = middle
        else:
            low = middle + 1
    return choose_for_interval(stages, intervals[low])


def useful_multipliers(stages: list[Stage]) -> tuple[int, int]:
    """The fewest multipliers that a network needs, and the most that it can use."""
    options = _foldings(stages)
    fewest = sum(min(fs).multipliers for fs in options.values())
    chosen = choose_for_interval(stages, _quickest(stages, options))
    return fewest, sum(f.multipliers for f in chosen.values())


def _foldings(stages: list[Stage]) -> dict[str, list[Folding]]:
    """All useful foldings of the stages that multiply."""
    return {stage.name: fs for stage in stages if (fs := stage.rule.foldings(stage))}


def _quickest(stages: list[Stage], options: dict[str, list[Folding]]) -> int:
    """Cycles of a frame with as many multipliers as can be used."""
    slowest = max((min(f.cycles for f in fs) for fs in options.values()), default=0)
    fixed = (stage.rule.fixed_cycles(stage) for stage in stages)
    return max(stream_floor(stages), slowest, *fixed)
