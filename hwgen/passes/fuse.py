"""Activations and requantizations become as few requantizations as possible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from ..ir import Graph, Node, Op, Tensor, ops
from .compose import composed, is_identity, is_monotone
from .rewrite import fresh_name, redirected, replace_nodes, single_reader

_NEEDS_REQUANTIZE = (ops.Conv2D, ops.Dense)


def relu_into_requantize(graph: Graph) -> Graph:
    """A Relu is a Requantize that changes nothing and clips."""

    def change(node: Node) -> Iterator[Node]:
        if isinstance(node.op, ops.Relu):
            x = graph.operands(node)[0]
            node = replace(node, op=ops.Requantize.identity(x, node.op.bounds(x)))
        yield node

    return replace_nodes(graph, change)


def simplify(graph: Graph) -> Graph:
    """Fuse, hoist and drop requantizations until nothing changes."""
    while True:
        before = graph.nodes
        for step in (fuse_requantize, hoist_requantize, drop_identities):
            graph = step(graph)
        if graph.nodes == before:
            return graph


def fuse_requantize(graph: Graph) -> Graph:
    """Two Requantize in a row become one where the result is the same for every input."""
    return _pairwise(graph, _fused)


def hoist_requantize(graph: Graph) -> Graph:
    """A Requantize behind a MaxPool moves before it where it is monotone: data narrow early.

    It moves before Flatten and Reshape where it is the same for all channels. The layer that it
    changes places with takes its name, and with it the value that readers expect.
    """
    return _pairwise(graph, _hoisted)


def drop_identities(graph: Graph) -> Graph:
    """A Requantize that keeps type and values disappears, but for one behind a MAC node.

    An output keeps its name: the layer before takes it.
    """
    graph = _pairwise(graph, _dropped)
    nodes = {node.name: node for node in graph.nodes}
    instead: dict[str, str] = {}
    kept = []
    for node in graph.nodes:
        node = redirected(node, instead)
        first = nodes.get(node.inputs[0])
        if node.name in graph.outputs or not _disappears(graph, first, nodes[node.name]):
            kept.append(node)
        else:
            instead[node.name] = node.inputs[0]
    return replace(graph, nodes=tuple(kept)) if instead else graph


def _disappears(graph: Graph, first: Node | None, node: Node) -> bool:
    """Whether nothing changes without the node, which reads the edge of ``first`` or an input."""
    if not isinstance(node.op, ops.Requantize):
        return False
    if first is not None and isinstance(first.op, _NEEDS_REQUANTIZE):
        return False
    return is_identity(node.op, graph.operands(node)[0])


_Rule = Callable[[Graph, Node, Node], tuple[Node, ...] | None]
"""(graph, a node, the only reader of its edge) to the nodes in their place, None to keep both.

The last of them bears the name of the second node.
"""


def _pairwise(graph: Graph, rule: _Rule) -> Graph:
    """Apply a rule to all pairs of neighbours, until it changes none."""
    while True:
        new = _once(graph, rule)
        if new is graph:
            return graph
        graph = new


def _once(graph: Graph, rule: _Rule) -> Graph:
    """One sweep. A node takes part in one change, so that every type that is read is true."""
    nodes = {node.name: node for node in graph.nodes}
    places: dict[str, tuple[Node, ...]] = {}
    used: set[str] = set()
    for node in graph.nodes:
        first = nodes.get(node.inputs[0])
        if first is None or first.name in used or len(node.inputs) != 1:
            continue
        if single_reader(graph, first.name) is not node:
            continue
        replacement = rule(graph, first, node)
        if replacement is not None:
            places[first.name], places[node.name] = (), replacement
            used |= {first.name, node.name}
    if not places:
        return graph
    return replace_nodes(graph, lambda node: places.get(node.name, (node,)))


def _fused(graph: Graph, first: Node, second: Node) -> tuple[Node, ...] | None:
    a, b = first.op, second.op
    if not isinstance(a, ops.Requantize) or not isinstance(b, ops.Requantize):
        return None
    x, middle = graph.operands(first)[0], graph.tensors[first.name]
    op = composed(a, b, x, middle)
    return None if op is None else (replace(second, op=op, inputs=first.inputs),)


def _dropped(graph: Graph, first: Node, second: Node) -> tuple[Node, ...] | None:
    if second.name not in graph.outputs or not _disappears(graph, first, second):
        return None
    return (replace(first, name=second.name),)


def _hoisted(graph: Graph, first: Node, second: Node) -> tuple[Node, ...] | None:
    if not isinstance(second.op, ops.Requantize):
        return None
    x = graph.operands(first)[0]
    if not _commutes(first.op, second.op, x):
        return None
    wider = graph.tensors[second.name].type.width > x.type.width
    if wider and x in graph.inputs:
        return None  # nothing before to fuse with, and nothing becomes narrow
    name = fresh_name(graph, f"{first.name}_requant")
    early = replace(second, name=name, inputs=first.inputs)
    return early, replace(first, name=second.name, inputs=(name,))


def _commutes(op: Op, requant: ops.Requantize, x: Tensor) -> bool:
    if isinstance(op, ops.MaxPool):
        return is_monotone(requant, x)
    if isinstance(op, (ops.Flatten, ops.Reshape)):
        arrays = (requant.mult, requant.bias, requant.shift)
        return all(a.size == 1 for a in arrays) and not isinstance(requant.type.scale, tuple)
    return False
