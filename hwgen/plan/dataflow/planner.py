"""Planning the dataflow architecture: from a budget or an interval."""

from __future__ import annotations

from ...aliases import Progress
from ...ir import Graph
from .assembly import assemble
from .buffers import size_buffers
from .folding import choose_for_interval, choose_for_multipliers
from .options import DEFAULT_MULTIPLIERS
from .plan import DataflowPlan
from .stages import stages_of


def plan_dataflow(
    graph: Graph,
    multipliers: int | None = None,
    interval: int | None = None,
    progress: Progress | None = None,
) -> DataflowPlan:
    """Plan a legal graph from a multiplier budget or a target interval.

    With neither of them: as many multipliers as the default budget, 64. Raises UserError when it
    can not be done.
    """
    stages = stages_of(graph)
    if interval is not None:
        chosen = choose_for_interval(stages, interval)
    else:
        budget = DEFAULT_MULTIPLIERS if multipliers is None else multipliers
        chosen = choose_for_multipliers(stages, budget)
    plan = assemble(graph, stages, chosen)
    return size_buffers(plan, progress)
