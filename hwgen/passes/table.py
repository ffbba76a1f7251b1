"""Functions of few integers become tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ir import Graph, Node, Tensor, ops
from ..ir.ops.multi_threshold import MAX_STEPS
from .rewrite import single_reader

_FUNCTIONS = (ops.Requantize, ops.Rescale, ops.MultiThreshold, ops.Relu)
MAX_WIDTH = 8
"""Widest input of a table, in bits."""


def tabulate(graph: Graph) -> Graph:
    """Elementwise layers in a row, a Rescale among them, that begin at few integers: one table.

    So are the operands of TensorFlow Lite's addition, each multiplied and rounded on its own.
    """
    nodes = {node.name: node for node in graph.nodes}
    tables: dict[str, Node] = {}
    gone: set[str] = set()
    for node in graph.nodes:
        if node.name in gone or not _begins(graph, node):
            continue
        chain = [node]
        while (reader := single_reader(graph, chain[-1].name)) is not None:
            if not _is_function(graph, nodes[reader.name]):
                break
            chain.append(reader)
        if any(isinstance(n.op, ops.Rescale) for n in chain):
            tables[chain[-1].name] = _table(graph, chain)
            gone.update(n.name for n in chain[:-1])
    kept = (tables.get(n.name, n) for n in graph.nodes if n.name not in gone)
    return replace(graph, nodes=tuple(kept))


def _is_function(graph: Graph, node: Node) -> bool:
    """Whether every element is the same function of one element."""
    if not isinstance(node.op, _FUNCTIONS):
        return False
    values = (getattr(node.op, kind, None) for kind in ("mult", "bias", "shift", "pivot", "below"))
    single = all(v is None or v.size == 1 for v in values)
    by_channel = isinstance(node.op, ops.MultiThreshold) and len(node.op.rows) > 1
    return single and not by_channel and not isinstance(graph.tensors[node.name].type.scale, tuple)


def _begins(graph: Graph, node: Node) -> bool:
    x = graph.operands(node)[0]
    few = x.type.width <= MAX_WIDTH and x.range[1] - x.range[0] <= MAX_STEPS
    return few and x.range[1] > x.range[0] and _is_function(graph, node)


def _table(graph: Graph, chain: list[Node]) -> Node:
    x = graph.operands(chain[0])[0]
    low, high = x.range
    values = np.arange(low, high + 1)
    for node in chain:
        values = node.op.golden([values[:, np.newaxis]], [_column(graph, node)])[:, 0]
    result = graph.tensors[chain[-1].name].type
    table = ops.MultiThreshold(np.arange(low + 1, high + 1), values, result)
    return replace(chain[-1], op=table, inputs=chain[0].inputs)


def _column(graph: Graph, node: Node) -> Tensor:
    """The edge that a node reads, one channel wide."""
    return replace(graph.operands(node)[0], shape=(1,))
