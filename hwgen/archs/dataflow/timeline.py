"""Frames on their way through the units, as a simulation saw them."""

from __future__ import annotations

from ...flow.engine import SimulationRun
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.timeline import spans_of
from ...plan.timeline import Span


def measured(plan: DataflowPlan, run: SimulationRun) -> list[Span]:
    """The spans of a run (see ``spans_of``) whose simulator watches what units give."""
    return spans_of(plan, run.given, run.first, run.ends)
