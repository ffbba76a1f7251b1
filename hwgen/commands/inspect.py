"""hwgen inspect: what is in a model, and the hardware it would become."""

from __future__ import annotations

import argparse
from typing import Any

from .. import api
from ..archs.registry import architecture
from ..console import Output
from ..errors import UserError
from ..ir import Graph
from .arguments import add_model, add_plan, load_model, planning

TEXT = "layers, types, MACs, parameters of a model"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_model(sub)
    sub.add_argument("--plan", action="store_true", help="also the hardware it would become")
    add_plan(sub, with_file=False)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do it. Returns the exit code."""
    graph = load_model(arguments)
    value = _describe(graph)
    output.say(f"{graph.name}: {graph.macs:,} MACs, {graph.parameters_bits:,} parameter bits")
    for note in graph.notes:
        output.say(f"  note: {note}")
    rows = [
        [row["name"], row["op"], "x".join(map(str, row["shape"])), row["type"], row["macs"]]
        for row in value["layers"]
    ]
    output.table("layers", ["layer", "op", "output", "type", "MACs"], rows)
    asked = planning(arguments)
    if arguments.plan or any(option is not None for option in asked.values()):
        with output.steps() as say:
            try:
                plan = api.plan(graph, tail=arguments.tail, progress=say, **asked)
            except UserError as error:
                raise error.within(arguments.model) from None
        described = architecture(asked["arch"]).describe(plan)
        for line in described.lines:
            output.say(line)
        for table in described.tables:
            output.table(table.title, table.columns, table.rows)
        value["plan"] = described.json
    output.json(value)
    return 0


def _describe(graph: Graph) -> dict[str, Any]:
    inputs = [{"name": t.name, "shape": list(t.shape), "type": str(t.type)} for t in graph.inputs]
    return {
        "name": graph.name,
        "inputs": inputs,
        "outputs": list(graph.outputs),
        "macs": graph.macs,
        "parameters_bits": graph.parameters_bits,
        "notes": list(graph.notes),
        "layers": graph.layers(),
    }
