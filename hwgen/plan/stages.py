"""Stages: a legal graph cut into pieces that one unit each carries out.

What holds of a legal graph is stated in ir.legal, and relied on here. Ops that the dataflow
architecture can not carry out are refused by name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import singledispatch
from math import gcd

from ..errors import UserError
from ..geometry import WindowGeometry
from ..ir import Graph, Node, Op, Tensor, ops


@dataclass(frozen=True)
class Stage:
    """One node, or a MAC node with its requantization.

    ``inputs`` and ``output`` are the edges at its ends, ``sources`` the streams that bring the
    inputs: names of stages, or INPUT; ``requant`` is set where the stage requantizes.
    """

    name: str
    layers: tuple[str, ...]
    op: Op
    inputs: tuple[Tensor, ...]
    output: Tensor
    requant: ops.Requantize | None = None
    sources: tuple[str, ...] = ()

    @property
    def input(self) -> Tensor:
        """The first input, for most the only one."""
        return self.inputs[0]


INPUT = "input"
"""The stream from the input port."""


def stages_of(graph: Graph) -> list[Stage]:
    """The stages of a legal graph in topological order.

    Raises UserError for several inputs or outputs, and ops without a rule.
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
        stage = stage_of(node.op, node, _only_reader(graph, node), graph)
        if stage is None:
            streams[node.name] = streams[node.inputs[0]]
            continue
        sources = tuple(streams[name] for name in node.inputs)
        stage = replace(stage, name=_identifier(stage.name, stages), sources=sources)
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


def _identifier(name: str, earlier: list[Stage]) -> str:
    """A name that hardware can bear, unique among the stages."""
    clean = re.sub(r"\W", "_", name, flags=re.ASCII)
    taken = {stage.name for stage in earlier} | {INPUT}
    while clean in taken:
        clean += "_"
    return clean


@singledispatch
def stage_of(op: Op, node: Node, following: Node | None, graph: Graph) -> Stage | None:
    """The stage that begins with this node; None where nothing needs to be done.

    Dispatches on the op's type: the dataflow architecture's rule for each op.
    """
    raise UserError(f"the dataflow architecture has no unit for {op.op_name}", layer=node.name)


def _edges(node: Node, graph: Graph) -> tuple[tuple[Tensor, ...], Tensor]:
    return tuple(graph.operands(node)), graph.tensors[node.name]


def _mac_stage(node: Node, following: Node | None, graph: Graph) -> Stage:
    inputs, _ = _edges(node, graph)
    assert following is not None and isinstance(following.op, ops.Requantize)  # legal.REQUANTIZED
    y = graph.tensors[following.name]
    # Passes that move a bias out leave the bare product under a name of its own; the unit is
    # called as the layer was.
    name = re.sub("(_mac)+$", "", node.name)
    return Stage(name, (node.name, following.name), node.op, inputs, y, following.op)


@stage_of.register
def _(op: ops.SoftmaxTable, node: Node, following: Node | None, graph: Graph) -> Stage:
    raise UserError(
        "the dataflow architecture has no unit for a softmax in float32, as LiteRT's optimized "
        "kernels compute it; it has one for that of TFLM and of the reference kernels",
        layer=node.name,
        hint="import the model with --runtime tflm or --runtime reference; or leave the softmax "
        "to the host with --tail host, where it is the last layer",
    )


@stage_of.register
def _(op: ops.Conv2D, node: Node, following: Node | None, graph: Graph) -> Stage:
    return _mac_stage(node, following, graph)


@stage_of.register
def _(op: ops.Dense, node: Node, following: Node | None, graph: Graph) -> Stage:
    return _mac_stage(node, following, graph)


@stage_of.register(ops.MaxPool)
@stage_of.register(ops.SumPool)
@stage_of.register(ops.ArgMax)
@stage_of.register(ops.Softmax)
@stage_of.register(ops.Add)
@stage_of.register(ops.Mul)
@stage_of.register(ops.Concat)
@stage_of.register(ops.Slice)
@stage_of.register(ops.Staircase)
@stage_of.register(ops.Rescale)
@stage_of.register(ops.Cast)
@stage_of.register(ops.Pad)
@stage_of.register(ops.Upsample)
def _(op: Op, node: Node, following: Node | None, graph: Graph) -> Stage:
    return Stage(node.name, (node.name,), op, *_edges(node, graph))


@stage_of.register
def _(op: ops.Requantize, node: Node, following: Node | None, graph: Graph) -> Stage:
    return Stage(node.name, (node.name,), op, *_edges(node, graph), requant=op)


@stage_of.register(ops.Flatten)
@stage_of.register(ops.Reshape)
def _(op: Op, node: Node, following: Node | None, graph: Graph) -> None:
    # Elements keep their order; a change of pixel size is the next unit's regrouping.
    return None


def sliced_lanes(stage: Stage) -> int | None:
    """Most lanes with which a slice keeps all channels of a beat, or none; None: any will do."""
    op, channels = stage.op, stage.input.channels
    assert isinstance(op, ops.Slice)
    start, size, step = op.start[-1], op.size[-1], op.step[-1]
    if size == channels:
        return None
    return 1 if step > 1 else gcd(start, size, channels)


def window_of(stage: Stage, lanes: int, pixels: int = 1) -> WindowGeometry:
    """Geometry of a conv or pool stage."""
    op = stage.op
    assert isinstance(op, (ops.Conv2D, ops.Pool))
    height, width, channels = stage.input.hwc
    return WindowGeometry(
        kernel=op.reach if isinstance(op, ops.Conv2D) else op.kernel,
        stride=op.stride,
        pads=op.pads(stage.input),
        size=(height, width),
        channels=channels,
        lanes=lanes,
        pixels=pixels,
    )
