"""Stages: a legal graph cut into pieces that one unit each carries out.

A legal graph is what the passes leave: every conv and dense has no bias and is followed by one
requantization with a common shift. Ops that the dataflow architecture can not carry out are
refused here, by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import singledispatch

from ..errors import UserError
from ..geometry import WindowGeometry
from ..ir import Graph, Node, Op, Tensor, ops


@dataclass(frozen=True)
class Stage:
    """One node, or a MAC node with its requantization.

    ``input`` and ``output`` are the edges at its two ends; ``requant`` is set where the stage
    requantizes.
    """

    name: str
    layers: tuple[str, ...]
    op: Op
    input: Tensor
    output: Tensor
    requant: ops.Requantize | None = None


def stages_of(graph: Graph) -> list[Stage]:
    """The stages of a legal graph in stream order.

    Raises UserError for branches, several inputs or outputs, and ops without a rule.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise UserError(
            f"the dataflow architecture takes one input and one output, this network has "
            f"{len(graph.inputs)} and {len(graph.outputs)}"
        )
    chain = list(_chain(graph))
    stages: list[Stage] = []
    position = 0
    while position < len(chain):
        node = chain[position]
        following = chain[position + 1] if position + 1 < len(chain) else None
        stage = stage_of(node.op, node, following, graph)
        if stage is not None:
            stages.append(replace(stage, name=_identifier(stage.name, stages)))
            position += len(stage.layers)
        else:
            position += 1
    if not stages:
        raise UserError("the network has no layer to build hardware for")
    return stages


def _identifier(name: str, earlier: list[Stage]) -> str:
    """A name that hardware can bear, unique among the stages."""
    clean = re.sub(r"\W", "_", name, flags=re.ASCII)
    taken = {stage.name for stage in earlier}
    while clean in taken:
        clean += "_"
    return clean


def _chain(graph: Graph) -> Iterator[Node]:
    edge = graph.inputs[0].name
    seen = 0
    while True:
        readers = graph.consumers[edge]
        if edge == graph.outputs[0]:
            if readers:
                raise UserError(
                    "the output is also read inside the network",
                    layer=edge,
                    hint="the dataflow architecture builds chains so far",
                )
            break
        if len(readers) != 1 or len(readers[0].inputs) != 1:
            raise UserError(
                f"its output is read by {len(readers)} layers"
                if len(readers) != 1
                else f"{readers[0].name!r} has several inputs",
                layer=edge,
                hint="the dataflow architecture builds chains so far",
            )
        yield readers[0]
        seen += 1
        edge = readers[0].name
    if seen != len(graph.nodes):
        raise UserError("some layers do not lead to the output")


@singledispatch
def stage_of(op: Op, node: Node, following: Node | None, graph: Graph) -> Stage | None:
    """The stage that begins with this node; None where nothing needs to be done.

    Dispatches on the op's type: the dataflow architecture's rule for each op.
    """
    raise UserError(
        f"the dataflow architecture has no unit for {op.op_name}",
        layer=node.name,
        hint="a pass should have replaced it" if isinstance(op, _LOWERED_BY_PASSES) else None,
    )


_LOWERED_BY_PASSES = (ops.AvgPool, ops.BatchNorm, ops.Relu)


def _edges(node: Node, graph: Graph) -> tuple[Tensor, Tensor]:
    x, y = graph.tensors[node.inputs[0]], graph.tensors[node.name]
    for tensor in (x, y):
        if tensor.type.zero_point:
            raise UserError("zero points are not lowered yet", layer=node.name)
    return x, y


def _mac_stage(node: Node, following: Node | None, graph: Graph) -> Stage:
    x, _ = _edges(node, graph)
    if following is None or not isinstance(following.op, ops.Requantize):
        raise UserError("a requantization must follow", layer=node.name)
    y = graph.tensors[following.name]
    # Passes that move a bias out leave the bare product under a name of its own; the unit is
    # called as the layer was.
    name = node.name.removesuffix("_mac")
    return Stage(name, (node.name, following.name), node.op, x, y, following.op)


@stage_of.register
def _(op: ops.Conv2D, node: Node, following: Node | None, graph: Graph) -> Stage:
    return _mac_stage(node, following, graph)


@stage_of.register
def _(op: ops.Dense, node: Node, following: Node | None, graph: Graph) -> Stage:
    return _mac_stage(node, following, graph)


@stage_of.register(ops.MaxPool)
@stage_of.register(ops.SumPool)
@stage_of.register(ops.ArgMax)
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


def window_of(stage: Stage, lanes: int, pixels: int = 1) -> WindowGeometry:
    """Geometry of a conv or pool stage."""
    op = stage.op
    assert isinstance(op, (ops.Conv2D, ops.Pool))
    height, width, channels = stage.input.hwc
    return WindowGeometry(
        kernel=op.kernel,
        stride=op.stride,
        pads=op.pads(stage.input),
        size=(height, width),
        channels=channels,
        lanes=lanes,
        pixels=pixels,
    )
