"""Planning the dataflow architecture: from a budget, an interval, or a plan file's choices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...errors import UserError
from ...ir import Graph
from .assembly import assemble
from .buffers import size_buffers
from .folding import choose_for_interval, choose_for_multipliers
from .options import DEFAULT_MULTIPLIERS
from .plan import SCHEMA, DataflowPlan, Progress
from .rules import MacRule, Stage
from .rules.conv2d import RingConvUnit
from .stages import stages_of


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
    stages = stages_of(graph)
    if choices is not None:
        return _from_choices(graph, stages, choices)
    if interval is not None:
        chosen = choose_for_interval(stages, interval)
    else:
        budget = DEFAULT_MULTIPLIERS if multipliers is None else multipliers
        chosen = choose_for_multipliers(stages, budget)
    plan = assemble(graph, stages, chosen)
    return size_buffers(plan, progress)


def _from_choices(graph: Graph, stages: list[Stage], choices: dict[str, Any]) -> DataflowPlan:
    """The plan that a plan file states. Raises UserError where it does not fit the network."""
    if choices.get("schema") != SCHEMA or choices.get("arch") != "dataflow":
        raise UserError(f"not a plan of the dataflow architecture with schema {SCHEMA}")
    by_name = {c.get("name"): c for c in choices.get("units", []) if isinstance(c, dict)}
    chosen = {}
    for stage in stages:
        if not isinstance(stage.rule, MacRule):
            continue
        choice = by_name.get(stage.name)
        if choice is None:
            raise UserError("the plan has no unit for this layer", layer=stage.name)
        try:
            fold = (int(choice["pe"]), int(choice["simd"]), int(choice["pixels"]))
            ring = choice["kind"] == RingConvUnit.kind
            chosen[stage.name] = stage.rule.folding(stage, *fold, ring=ring)
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            raise UserError(
                "the plan's kind, pe, simd, pixels are not usable", layer=stage.name
            ) from None
    lanes = choices.get("input_lanes")
    if not isinstance(lanes, int) or not 1 <= lanes <= graph.inputs[0].hwc[2]:
        raise UserError(f"the plan's input_lanes {lanes!r} do not fit the input")
    plan = assemble(graph, stages, chosen, lanes)
    units = []
    for unit in plan.units:
        choice = by_name.get(unit.name, {})
        if choice.get("kind") != unit.kind:
            raise UserError(f"the plan's unit should be a {unit.kind!r}", layer=unit.name)
        for field in unit.capacities:
            value = choice.get(field)
            if not isinstance(value, int) or not unit.smallest(field) <= value <= 1 << 20:
                raise UserError(f"the plan's {field} {value!r} is not usable", layer=unit.name)
            unit = unit.with_capacity(field, value)
        units.append(unit)
    return replace(plan, units=tuple(units))
