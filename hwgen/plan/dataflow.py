"""Planning the dataflow architecture: from a budget, an interval, or a plan file's choices."""

from __future__ import annotations

from typing import Any

from ..ir import Graph
from .assembly import assemble
from .buffers import SIZING_FRAMES, size_buffers, trimmed
from .dataflow_file import dataflow_from_json
from .dataflow_plan import INPUT_FIFO, DataflowPlan, Progress
from .events import steady_interval
from .folding import choose_for_interval, choose_for_multipliers
from .stages import stages_of
from .unit_rules import needs_multiplier


def plan_dataflow(
    graph: Graph,
    multipliers: int | None = None,
    interval: int | None = None,
    choices: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> DataflowPlan:
    """Plan a legal graph from a multiplier budget, a target interval, or a plan file's choices.

    With none of them: as many multipliers as the default budget, 64. Raises UserError when it
    can not be done.
    """
    if choices is not None:
        return dataflow_from_json(graph, choices)
    stages = stages_of(graph)
    if interval is not None:
        chosen = choose_for_interval(stages, interval)
    else:
        budget = DEFAULT_MULTIPLIERS if multipliers is None else multipliers
        chosen = choose_for_multipliers(stages, budget)
    plan = assemble(graph, stages, chosen)
    return size_buffers(plan, progress)


DEFAULT_MULTIPLIERS = 64


__all__ = [
    "DEFAULT_MULTIPLIERS",
    "INPUT_FIFO",
    "SIZING_FRAMES",
    "DataflowPlan",
    "assemble",
    "needs_multiplier",
    "plan_dataflow",
    "size_buffers",
    "steady_interval",
    "trimmed",
]
