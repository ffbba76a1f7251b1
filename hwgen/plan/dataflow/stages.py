"""Stages: a legal graph cut into pieces that one unit each carries out.

What holds of a legal graph is stated in ir.legal, and relied on here. Ops that the dataflow
architecture can not carry out are refused by name.
"""

from __future__ import annotations

from dataclasses import replace

from ...errors import UserError
from ...identifiers import word
from ...ir import Graph, Node
from .rules import Stage, rule_of

INPUT = "input"
"""The stream from the input port."""


def stages_of(graph: Graph) -> list[Stage]:
    """The stages of a legal graph in topological order.

    Raises UserError for several inputs or outputs, and for what no unit can carry out.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UserError(
            f"the dataflow architecture takes one input and one output, this network has "
            f"{len(graph.inputs)} and {len(graph.outputs)}"
        )
    stages: list[Stage] = []
    streams = {graph.inputs[0].name: INPUT}
    for node in graph.nodes:
        if node.name in streams:
            continue  # the requantization of an earlier stage
        stage = rule_of(node).stage(node, _only_reader(graph, node), graph)
        if stage is None:
            streams[node.name] = streams[node.inputs[0]]
            continue
        sources = tuple(streams[name] for name in node.inputs)
        stage = replace(stage, name=_unique(stage.name, stages), sources=sources)
        stages.append(stage)
        for layer in stage.layers:
            streams[layer] = stage.name
    if not stages:
        raise UserError("the network has no layer to build hardware for")
    return stages


def output_stream(graph: Graph, stages: list[Stage]) -> str:
    """The stream that is the network's output: the name of a stage."""
    streams = {layer: stage.name for stage in stages for layer in stage.layers}
    sources = {node.name: node.inputs[0] for node in graph.nodes}
    edge = graph.outputs[0]
    while edge not in streams:
        edge = sources[edge]  # a change of shape only
    return streams[edge]


def _only_reader(graph: Graph, node: Node) -> Node | None:
    readers = graph.consumers[node.name]
    return readers[0] if len(readers) == 1 and node.name not in graph.outputs else None


def _unique(name: str, earlier: list[Stage]) -> str:
    """A name that hardware can bear behind a prefix, unique among the stages."""
    clean = word(name)
    taken = {stage.name for stage in earlier} | {INPUT}
    while clean in taken:
        clean += "_"
    return clean
