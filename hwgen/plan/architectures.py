"""Plans of all architectures."""

from __future__ import annotations

from typing import Any

from ..errors import UserError
from ..ir import Graph
from .dataflow.plan import DataflowPlan
from .dataflow.planner import plan_dataflow
from .tiled.plan import TiledPlan, tiled_from_json

Plan = DataflowPlan | TiledPlan
ARCHITECTURES = ("dataflow", "tiled")


def plan_from_json(graph: Graph, choices: dict[str, Any]) -> Plan:
    """The plan that a plan file states, of whichever architecture. Raises UserError."""
    if choices.get("arch") == "tiled":
        return tiled_from_json(graph, choices)
    if choices.get("arch") == "dataflow":
        return plan_dataflow(graph, choices=choices)
    raise UserError(f"the architecture {choices.get('arch')!r} is not known")
