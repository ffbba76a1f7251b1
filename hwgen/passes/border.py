"""Borders of zeros move into the convolutions that read them; factors get the size of products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..ir import Graph, Node, ops
from .rewrite import fresh_name, replace_nodes


def repeat_factors(graph: Graph) -> Graph:
    """The second factor of a Mul, where it is one pixel for all, is repeated for each."""

    def change(node: Node) -> Iterator[Node]:
        if isinstance(node.op, ops.Mul):
            a, b = graph.operands(node)
            if a.shape != b.shape:
                name = fresh_name(graph, f"{node.name}_repeated")
                repeated = ops.Upsample((a.hwc[0], a.hwc[1]))
                yield replace(node, name=name, op=repeated, inputs=(b.name,))
                node = replace(node, inputs=(a.name, name))
        yield node

    return replace_nodes(graph, change)


def pad_into_conv(graph: Graph) -> Graph:
    """A Conv2D that reads a border of zeros pads for itself, where its kernel is larger.

    Other readers keep the border; without any, it is dead.
    """
    made = {node.name: node for node in graph.nodes}

    def change(node: Node) -> Iterator[Node]:
        source, op = made.get(node.inputs[0]), node.op
        if isinstance(op, ops.Conv2D) and source is not None and isinstance(source.op, ops.Pad):
            x = graph.operands(source)[0]
            pads = tuple(
                (own[0] + more[0], own[1] + more[1])
                for own, more in zip(op.pads(graph.operands(node)[0]), source.op.pads, strict=True)
            )
            fits = all(max(p) < k for p, k in zip(pads, op.dilated_kernel, strict=True))
            if fits and source.op.value == x.type.zero_point:
                yield replace(node, op=replace(op, padding=pads), inputs=source.inputs)
                return
        yield node

    return replace_nodes(graph, change)
