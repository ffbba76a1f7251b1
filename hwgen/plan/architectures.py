"""Plans of all architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import naming
from ..ir import Graph
from ..validation import Schema, read_json
from .dataflow import DataflowPlan
from .dataflow_file import dataflow_from_json
from .tiled.plan import TiledPlan
from .tiled.plan_file import tiled_from_json

Plan = DataflowPlan | TiledPlan
ARCHITECTURES = ("dataflow", "tiled")

_READERS = {"dataflow": dataflow_from_json, "tiled": tiled_from_json}
_ANY_PLAN = Schema(
    {
        "type": "object",
        "required": ["arch"],
        "properties": {"arch": {"enum": list(ARCHITECTURES)}},
    }
)


def read_plan(path: Path) -> dict[str, Any]:
    """What a plan file states: an object whose ``arch`` is one of ``ARCHITECTURES``.

    Raises UserError, naming the file.
    """
    value = read_json(path)
    with naming(path):
        _ANY_PLAN.check(value)
    return value


def plan_from_json(graph: Graph, choices: Any, file: Path | None = None) -> Plan:
    """The plan that a plan file states for a legal graph, of whichever architecture.

    Raises UserError; where the plan is at fault, not the network, it names ``file``.
    """
    with naming(file):
        _ANY_PLAN.check(choices)
    return _READERS[choices["arch"]](graph, choices, file)
