"""hwgen inspect: what is in a model, and the hardware it would become."""

from __future__ import annotations

import argparse
from typing import Any

from .. import api
from ..console import Output
from ..errors import naming
from ..ir import Graph
from ..plan.architectures import Plan
from ..plan.dataflow import DataflowPlan
from ..plan.tiled.options import buffer_bytes
from ..plan.tiled.plan import TiledPlan
from .arguments import add_architecture, add_budget, add_model, architecture, load_model, unused

TEXT = "layers, types, MACs, parameters of a model"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_model(sub)
    sub.add_argument("--plan", action="store_true", help="also the hardware it would become")
    add_budget(sub, with_file=False)
    add_architecture(sub)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do it. Returns the exit code."""
    graph = load_model(arguments)
    value = _describe(graph)
    plan = _planned(arguments, graph, output)
    # All that can be refused has been by now: what is said below is all of it.
    output.say(f"{graph.name}: {graph.macs:,} MACs, {graph.parameters_bits:,} parameter bits")
    for note in graph.notes:
        output.say(f"  note: {note}")
    rows = [
        [row["name"], row["op"], "x".join(map(str, row["shape"])), row["type"], row["macs"]]
        for row in value["layers"]
    ]
    output.table("layers", ["layer", "op", "output", "type", "MACs"], rows)
    if plan is not None:
        tiled = isinstance(plan, TiledPlan)
        value["plan"] = _describe_tiled(plan, output) if tiled else _describe_plan(plan, output)
        value |= unused(plan, arguments, output)
    output.json(value)
    return 0


def _planned(arguments: argparse.Namespace, graph: Graph, output: Output) -> Plan | None:
    """The plan that is asked for, with its cycles; None where none is. Raises UserError."""
    asked = architecture(arguments) | {
        "multipliers": arguments.multipliers, "interval": arguments.interval,
    }  # fmt: skip
    options = (*asked.values(), arguments.tail)
    if not arguments.plan and all(option is None for option in options):
        return None
    with naming(arguments.model), output.steps() as say:
        plan = api.plan(graph, tail=arguments.tail, progress=say, **asked)
        plan.to_json()
    return plan


def _describe(graph: Graph) -> dict[str, Any]:
    layers = [
        {
            "name": node.name,
            "op": node.op.op_name,
            "inputs": list(node.inputs),
            "shape": list(graph.tensors[node.name].shape),
            "type": str(graph.tensors[node.name].type),
            "macs": node.op.macs(graph.operands(node)),
            "parameters_bits": node.op.parameters_bits,
        }
        for node in graph.nodes
    ]
    inputs = [{"name": t.name, "shape": list(t.shape), "type": str(t.type)} for t in graph.inputs]
    return {
        "name": graph.name,
        "inputs": inputs,
        "outputs": list(graph.outputs),
        "macs": graph.macs,
        "parameters_bits": graph.parameters_bits,
        "notes": list(graph.notes),
        "layers": layers,
    }


def _describe_plan(plan: DataflowPlan, output: Output) -> dict[str, Any]:
    timing = plan.timing()
    output.say(
        f"dataflow plan: {plan.multipliers} multipliers, a frame every {timing.interval} cycles "
        f"(bound {plan.interval_bound}), latency {timing.latency}"
    )
    rows = []
    for unit in plan.units:
        fold = f"{unit.pe}x{unit.simd}" if unit.pe else ""
        capacities = ", ".join(f"{f} {unit.capacity(f)}" for f in unit.capacities)
        starved, blocked = (d.get(unit.name, 0) for d in (timing.starved, timing.blocked))
        bound = max(unit.bounds.values())
        rows.append([unit.name, unit.kind, fold, bound, capacities, starved, blocked])
    columns = ["unit", "kind", "PE x SIMD", "bound", "buffers", "starved", "blocked"]
    output.table("units", columns, rows)
    return plan.to_json() | {
        "multipliers": plan.multipliers,
        "interval_bound": plan.interval_bound,
        "interval_estimate": timing.interval,
        "latency_estimate": timing.latency,
        "starved": timing.starved,
        "blocked": timing.blocked,
    }


def _describe_tiled(plan: TiledPlan, output: Output) -> dict[str, Any]:
    shape, estimate, program = plan.shape, plan.estimate(), plan.program
    arrays = "an array" if shape.tiles == 1 else f"{shape.tiles} tile units, each an array"
    if plan.used < shape.tiles:
        output.say(f"{plan.used} of {shape.tiles} tile units have work: more make it no quicker")
    each = "" if shape.tiles == 1 else " of each unit"
    output.say(
        f"tiled plan: {arrays} of {shape.pe}x{shape.simd}, {plan.multipliers} multipliers; about "
        f"{estimate.cycles:,} cycles a frame (bound {plan.interval_bound:,})"
    )
    output.say(
        f"  buffers{each}: {buffer_bytes(shape) / 1024:g} KiB: feature maps "
        f"{shape.feature_bytes:,} bytes, weights {shape.weight_words} words, "
        f"psums {shape.psum_words}, parameters {shape.parameter_words}; "
        f"tiles held in each: {plan.resident}"
    )
    output.say(
        f"  external memory: {shape.mem_width} bits; {len(program.memory):,} bytes, of these "
        f"{program.start:,} constants, {program.end - program.start:,} program"
    )
    rows = []
    for row in plan.layers():
        tile, moved = row["tile"], row["bytes"]
        places = ["chip" if row[way]["stays"] else "memory" for way in ("ifmap", "ofmap")]
        rows.append(
            [row["name"], " -> ".join(places), f"{row['units']} by {row['split']}",
             f"{tile['rows']}x{tile['columns']}x{tile['outputs']}", row["tiles"], row["order"],
             moved["weights"] + moved["parameters"], moved["ifmaps"], moved["ofmaps"],
             row["interval_bound"], row["interval_estimate"]]
        )  # fmt: skip
    columns = [
        "layer", "ifmap -> ofmap", "units", "tile", "tiles", "order", "weight bytes", "ifmap bytes",
        "ofmap bytes", "steps", "cycles",
    ]  # fmt: skip
    if shape.tiles == 1:
        columns.remove("units")
        rows = [row[:2] + row[3:] for row in rows]
    output.table("tiles (rows x columns x channels)", columns, rows)
    _describe_buffers(plan, output)
    return plan.to_json() | {
        "multipliers": plan.multipliers,
        "interval_bound": plan.interval_bound,
        "interval_estimate": estimate.cycles,
        "latency_estimate": estimate.cycles,
    }


def _describe_buffers(plan: TiledPlan, output: Output) -> None:
    rows = [
        [row["name"], row["stationary"], *row["buffer_bytes"].values()] for row in plan.layers()
    ]
    totals = [sum(column) for column in zip(*(row[2:] for row in rows), strict=True)]
    columns = [
        "layer", "stationary", "ifmap bytes", "weight bytes", "psum bytes read", "written",
    ]  # fmt: skip
    output.table("between buffers and array", columns, [*rows, ["all", "", *totals]])
