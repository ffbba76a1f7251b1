"""hwgen inspect: what is in a model, and the hardware it would become."""

from __future__ import annotations

import argparse
from typing import Any

from .. import api
from ..archs.registry import architecture
from ..console import Output
from ..errors import naming
from ..ir import Graph
from ..plan.protocol import Plan
from .arguments import add_model, add_plan, load_model, planning, unused

TEXT = "layers, types, MACs, parameters of a model"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model(sub)
    sub.add_argument("--plan", action="store_true", help="plan the hardware and show it too")
    add_plan(sub, with_file=False)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Carry out the command. Returns the exit code."""
    graph = load_model(arguments)
    value = _describe(graph)
    plan = _planned(arguments, graph, output)
    # All that can be refused has been by now: what is said below is all of it.
    output.say(f"{graph.name}: {graph.macs:,} MACs, {graph.parameters_bits:,} parameter bits")
    for note in graph.notes:
        output.say(f"  note: {note}")
    for name, order in graph.arrays.items():
        output.say(f"  note: arrays of {name}: {order.told()}")
    output.table("layers", graph.COLUMNS, graph.table())
    if plan is not None:
        described = architecture(plan.arch).describe(plan)
        for line in described.lines:
            output.say(line)
        for table in described.tables:
            output.table(table.title, table.columns, table.rows)
        value["plan"] = described.json
        value |= unused(plan, arguments, output)
    output.json(value)
    return 0


def _planned(arguments: argparse.Namespace, graph: Graph, output: Output) -> Plan | None:
    """The plan that is asked for, with its cycles; None where none is. Raises UserError."""
    asked = planning(arguments)
    options = (*asked.values(), arguments.tail)
    if not arguments.plan and all(option is None for option in options):
        return None
    with naming(arguments.model), output.steps() as say:
        plan = api.plan(graph, tail=arguments.tail, progress=say, **asked)
        plan.to_json()
    return plan


def _describe(graph: Graph) -> dict[str, Any]:
    inputs = [{"name": t.name, "shape": list(t.shape), "type": str(t.type)} for t in graph.inputs]
    return {
        "name": graph.name,
        "inputs": inputs,
        "outputs": list(graph.outputs),
        "arrays": {
            name: {"shape": list(order.shape), "axes": list(order.axes)}
            for name, order in graph.arrays.items()
        },
        "macs": graph.macs,
        "parameters_bits": graph.parameters_bits,
        "notes": list(graph.notes),
        "layers": graph.layers(),
    }
