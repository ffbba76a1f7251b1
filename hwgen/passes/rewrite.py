"""What passes share: replacing nodes of a graph, which is never changed in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from ..ir import Graph, Node

Pass = Callable[[Graph], Graph]


def replace_nodes(graph: Graph, change: Callable[[Node], Iterable[Node]]) -> Graph:
    """A graph with each node replaced by those that ``change`` gives, in their place.

    The last of them must bear the node's name, so that readers find its value.
    """
    nodes = tuple(new for node in graph.nodes for new in change(node))
    return replace(graph, nodes=nodes)


def redirected(node: Node, edges: dict[str, str]) -> Node:
    """A node that reads, for each edge that is a key of ``edges``, the edge named there."""
    return replace(node, inputs=tuple(edges.get(name, name) for name in node.inputs))


def fresh_name(graph: Graph, wanted: str) -> str:
    """``wanted``, or the first of wanted_2, wanted_3, ... that no edge bears."""
    taken = {t.name for t in graph.inputs} | {n.name for n in graph.nodes}
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    return name


def single_reader(graph: Graph, edge: str) -> Node | None:
    """The only reader of an edge that is no output, else None."""
    readers = graph.consumers[edge]
    return readers[0] if len(readers) == 1 and edge not in graph.outputs else None
