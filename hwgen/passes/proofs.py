"""What was replaced by something proven equal: other rules before, simple integers after."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..ir import Graph, Node, Tensor, ops
from ..numeric import Scaling
from . import steps


@dataclass(frozen=True)
class Replacement:
    """``before``, which reads ``x``, was replaced by ``after`` (in order) in a named pass.

    ``divisor`` : of an average; its ``after`` begins with the exact sum. ``earlier`` : layers from
    ``x`` on that went with it into a table.
    """

    step: str
    x: Tensor
    before: Node
    after: tuple[Node, ...]
    divisor: int | None = None
    earlier: tuple[Node, ...] = ()

    @property
    def channels(self) -> int:
        """Functions that were proven equal."""
        return self.x.channels


def replacements(graph: Graph, keep: Collection[Scaling] = ()) -> list[Replacement]:
    """Batch norms, averages and rescales of a graph, and what the passes make of them.

    ``keep`` : as legalize was told. Raises UserError as the passes do.
    """
    found = []
    for name, after in steps(graph, keep):
        known = {node.name for node in graph.nodes if node in after.nodes}
        for node in graph.nodes:
            if node.name in known:
                continue
            if isinstance(node.op, (ops.BatchNorm, ops.AvgPool)):
                found += _replaced(name, graph, after, node)
            elif isinstance(node.op, ops.Rescale):
                found += _reduced(name, graph, after, node)
        graph = after
    return found


def _replaced(step: str, graph: Graph, after: Graph, node: Node) -> list[Replacement]:
    x = graph.operands(node)[0]
    chain = _chain(after, node)
    divisor = int(node.op.divisors(x).max()) if isinstance(node.op, ops.AvgPool) else None
    return [] if chain is None else [Replacement(step, x, node, chain, divisor)]


def _reduced(step: str, graph: Graph, after: Graph, node: Node) -> list[Replacement]:
    """A rescale that became a requantization, or ends in a table."""
    made = {n.name: n for n in after.nodes}
    nodes = {n.name: n for n in graph.nodes}
    earlier: list[Node] = []
    if node.name not in made:  # a table bears the name of its last layer
        following = graph.consumers[node.name]
        if not following or following[0].name not in made:
            return []
        earlier, node = [node], following[0]
    result = made[node.name]
    if not isinstance(result.op, (ops.Requantize, ops.MultiThreshold)):
        return []
    first = earlier[0] if earlier else node
    while first.inputs[0] != result.inputs[0]:
        if first.inputs[0] not in nodes:
            return []
        first = nodes[first.inputs[0]]
        earlier.insert(0, first)
    x = graph.operands(first)[0]
    return [Replacement(step, x, node, (result,), earlier=tuple(earlier))]


def _chain(after: Graph, node: Node) -> tuple[Node, ...] | None:
    """The nodes from what ``node`` read to its result."""
    made = {n.name: n for n in after.nodes}
    if node.name not in made:
        return None
    chain = [made[node.name]]
    while chain[0].inputs[0] != node.inputs[0]:
        if chain[0].inputs[0] not in made:
            return None
        chain.insert(0, made[chain[0].inputs[0]])
    return tuple(chain)
