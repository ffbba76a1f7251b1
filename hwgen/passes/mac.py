"""Multiplying layers: without bias, and followed by exactly one requantization."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..ir import Graph, Node, ops
from ..numeric import MAX_TENSOR_WIDTH
from .rewrite import fresh_name, replace_nodes, single_reader


def bias_into_requantize(graph: Graph) -> Graph:
    """Conv2D and Dense lose their bias: a Rescale that follows takes it, or else a Requantize that
    changes nothing else adds it.

    The sum keeps the layer's name, so the bare product takes another one.
    """
    nodes = {node.name: node for node in graph.nodes}

    def change(node: Node) -> Iterator[Node]:
        op = node.op
        if isinstance(op, ops.Rescale):
            source = nodes.get(node.inputs[0])
            bias = None if source is None else _movable_bias(graph, source)
            if bias is not None and source is not None:
                bare = fresh_name(graph, f"{source.name}_mac")
                node = replace(node, op=replace(op, bias=op.bias + bias), inputs=(bare,))
            yield node
            return
        if not isinstance(op, (ops.Conv2D, ops.Dense)) or op.bias is None:
            yield node
            return
        if _movable_bias(graph, node) is not None:
            name = fresh_name(graph, f"{node.name}_mac")
            yield replace(node, name=name, op=replace(op, bias=None, bias_frac=None))
            return
        x = graph.operands(node)[0]
        result = graph.tensors[node.name]
        bare = replace(op, bias=None, bias_frac=None)
        name = fresh_name(graph, f"{node.name}_mac")
        acc = bare.infer(name, [x])
        up_acc = up_bias = 0
        if op.bias_frac is not None:
            up_acc = result.type.frac - acc.type.frac
            up_bias = result.type.frac - op.bias_frac
        bias = op.bias.astype(object) << up_bias
        requant = ops.Requantize.scaled(result.type, 1 << up_acc, bias, 0)
        yield replace(node, name=name, op=bare)
        yield replace(node, op=requant, inputs=(name,))

    return replace_nodes(graph, change)


def _movable_bias(graph: Graph, node: Node) -> np.ndarray | None:
    """The bias of a MAC node that its only reader, a Rescale, can add; None where it can not."""
    if not isinstance(node.op, (ops.Conv2D, ops.Dense)) or node.op.bias is None:
        return None
    reader = single_reader(graph, node.name)
    aligned = node.op.bias_frac is None or graph.tensors[node.name].type.frac == node.op.bias_frac
    return node.op.bias if reader and isinstance(reader.op, ops.Rescale) and aligned else None


def ensure_requantize(graph: Graph) -> Graph:
    """Every Conv2D and Dense is followed by exactly one Requantize; one that keeps all if need be.

    Raises UserError when the exact result has more bits than a stream takes.
    """

    def change(node: Node) -> Iterator[Node]:
        if not isinstance(node.op, (ops.Conv2D, ops.Dense)):
            yield node
            return
        reader = single_reader(graph, node.name)
        if reader is not None and isinstance(reader.op, ops.Requantize):
            yield node
            return
        acc = graph.tensors[node.name]
        if acc.type.width > MAX_TENSOR_WIDTH:
            raise UserError(
                f"its exact result has {acc.type.width} bits, streams take at most "
                f"{MAX_TENSOR_WIDTH}",
                layer=node.name,
                hint="quantize it",
            )
        name = fresh_name(graph, f"{node.name}_mac")
        yield replace(node, name=name)
        yield replace(node, op=ops.Requantize.identity(acc), inputs=(name,))

    return replace_nodes(graph, change)
