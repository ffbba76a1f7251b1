"""Frames on their way through the units of a dataflow plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..timeline import Span
from .plan import DataflowPlan
from .units import ForkUnit

Given = Mapping[str, Sequence[tuple[int, int]]]
"""Cycles of the first and of the last beat that each unit gives of each frame."""


def estimated(plan: DataflowPlan, frames: int) -> list[Span]:
    """What the event model says of so many frames; see ``spans_of``.

    Raises Deadlock where a buffer is too small.
    """
    run = plan.passages(frames)
    return spans_of(plan, run.given, run.first, run.ends)


def spans_of(
    plan: DataflowPlan, given: Given, first: Sequence[int], ends: Sequence[int]
) -> list[Span]:
    """The spans of each unit and frame, from the first beat that the unit gives to the last, and
    behind them those of each frame, from its first beat in to its last one out. Forks, which only
    copy, have none.

    first, ends : cycles of each frame's first input beat and last output beat.
    """
    spans = []
    for unit in plan.units:
        if isinstance(unit, ForkUnit):
            continue
        title = plan.graph.title_of(unit.layers) or unit.name
        # What follows the last frame's last output was not run to its end.
        whole = given[unit.name][: len(ends)]
        spans += [
            Span(unit.name, title, "gives", begin, end + 1, n)
            for n, (begin, end) in enumerate(whole)
        ]
    return spans + [
        Span("frame", plan.graph.name, "frame", begin, end + 1, n)
        for n, (begin, end) in enumerate(zip(first, ends, strict=True))
    ]
