"""Random small graphs with several inputs and outputs, reproducible from a seed."""

from __future__ import annotations

from random import Random

import numpy as np

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.plan.dataflow.stages import stages_of

from .random_layers import Builder, random_codes, random_type

Edge = tuple[Tensor, np.ndarray]
"""An edge, with samples of what passes it."""
MOST_BITS = 20
"""Of an edge that another layer begins at, or that is an output."""


def random_ports_graph(rng: Random) -> Graph:
    """Layers that begin anywhere, at an input too; any edge may be an output.

    Inputs meet in sums and concatenations, or in nothing; some are read several times.
    """
    while True:
        graph = _drawn(rng)
        if len(graph.inputs) == len(graph.outputs) == 1:
            continue
        try:
            stages_of(graph)
        except UserError:
            continue  # an input that no layer computes anything from
        return graph


def _drawn(rng: Random) -> Graph:
    builder = Builder(rng)
    inputs: list[Tensor] = [builder.input]
    edges: list[Edge] = [(builder.input, builder.sample)]
    for _ in range(rng.choice([2, 3, 4, 5])):
        if len(inputs) < 3 and rng.random() < 0.5:
            edges.append(_another_input(rng, inputs, edges))
        start = edges[-1] if rng.random() < 0.6 else rng.choice(edges)
        builder.edge, builder.sample = start
        if rng.random() < 0.5:
            _join(builder, rng, edges)
        else:
            builder.layer()
        if builder.edge is not start[0] and builder.edge.type.width <= MOST_BITS:
            edges.append((builder.edge, builder.sample))
    return _with_outputs(rng, inputs, builder.nodes)


def _another_input(rng: Random, inputs: list[Tensor], edges: list[Edge]) -> Edge:
    """An input like some edge, of any type."""
    like = rng.choice(edges)[0]
    qtype = like.type if rng.random() < 0.5 else random_type(rng)
    tensor = Tensor(f"x{len(inputs)}", like.shape, qtype)
    inputs.append(tensor)
    return tensor, random_codes(rng, qtype, (8, *like.shape))


def _join(builder: Builder, rng: Random, edges: list[Edge]) -> None:
    """What the builder is at, with another edge of its shape, where there is one."""
    others = [edge for edge in edges if edge[0].shape == builder.edge.shape]
    other = rng.choice(others)
    alike = other[0].type == builder.edge.type and len(builder.edge.shape) == 3
    builder.add(ops.Concat() if alike and rng.random() < 0.5 else ops.Add(), other)
    builder.requantize()


def _with_outputs(rng: Random, inputs: list[Tensor], nodes: list[Node]) -> Graph:
    """What nothing reads is an output, and some of what something reads."""
    read = {name for node in nodes for name in node.inputs}
    inner = Graph("inner", tuple(inputs), tuple(nodes), (nodes[-1].name,) if nodes else ())
    outputs = [node.name for node in nodes if node.name not in read]
    for node in nodes:
        product = isinstance(node.op, (ops.Conv2D, ops.Dense))
        narrow = node.name in read and inner.tensors[node.name].type.width <= 32
        if narrow and not product and rng.random() < 0.2:
            outputs.append(node.name)
    outputs += [x.name for x in inputs if x.name in read and rng.random() < 0.1]
    rng.shuffle(outputs)
    used = tuple(x for x in inputs if x.name in read)
    return Graph("random", used, tuple(nodes), tuple(outputs))
