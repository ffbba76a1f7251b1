"""Stages: a legal graph cut into pieces that one unit each carries out.

What holds of a legal graph is stated in ir.legal, and relied on here. Ops that the dataflow
architecture can not carry out are refused by name.
"""

from __future__ import annotations

from dataclasses import replace

from ...errors import UserError
from ...identifiers import word
from ...ir import Graph, Node
from .ports import input_streams
from .rules import Stage, rule_of


def stages_of(graph: Graph) -> list[Stage]:
    """The stages of a legal graph in topological order.

    Raises UserError for what no unit can carry out, and for an input that no layer reads.
    """
    stages: list[Stage] = []
    ports = input_streams(graph)
    streams = dict(ports)
    for node in graph.nodes:
        if node.name in streams:
            continue  # the requantization of an earlier stage
        stage = rule_of(node).stage(node, _only_reader(graph, node), graph)
        if stage is None:
            streams[node.name] = streams[node.inputs[0]]
            continue
        sources = tuple(streams[name] for name in node.inputs)
        stage = replace(stage, name=_unique(stage.name, stages, ports), sources=sources)
        stages.append(stage)
        for layer in stage.layers:
            streams[layer] = stage.name
    if not stages:
        raise UserError("the network has no layer to build hardware for")
    read = {source for stage in stages for source in stage.sources}
    for name, stream in ports.items():
        if stream not in read:
            raise UserError(
                f"input {name!r}: no layer computes anything from it",
                hint="leave it out of the model",
            )
    return stages


def output_streams(graph: Graph, stages: list[Stage]) -> dict[str, str]:
    """The stream of each output, by its name: that of a stage, or of an input's port."""
    streams = {layer: stage.name for stage in stages for layer in stage.layers}
    streams |= input_streams(graph)
    sources = {node.name: node.inputs[0] for node in graph.nodes}
    found = {}
    for name in graph.outputs:
        edge = name
        while edge not in streams:
            edge = sources[edge]  # a change of shape only
        found[name] = streams[edge]
    return found


def _only_reader(graph: Graph, node: Node) -> Node | None:
    readers = graph.consumers[node.name]
    return readers[0] if len(readers) == 1 and node.name not in graph.outputs else None


def _unique(name: str, earlier: list[Stage], ports: dict[str, str]) -> str:
    """A name that hardware can bear behind a prefix, unique among the stages and the streams from
    the ports."""
    clean = word(name)
    taken = {stage.name for stage in earlier} | {*ports.values()}
    while clean in taken:
        clean += "_"
    return clean
