"""What was replaced by something proven equal: real-valued ops before and integers after."""

from __future__ import annotations

from dataclasses import dataclass

from ..ir import Graph, Node, Tensor, ops
from . import steps


@dataclass(frozen=True)
class Replacement:
    """``before``, which reads ``x``, was replaced by ``after`` (in order) in a named pass.

    ``divisor`` : of an average; its ``after`` begins with the exact sum.
    """

    step: str
    x: Tensor
    before: Node
    after: tuple[Node, ...]
    divisor: int | None = None

    @property
    def channels(self) -> int:
        """Functions that were proven equal."""
        return self.x.channels


def replacements(graph: Graph) -> list[Replacement]:
    """Batch norms and averages of a graph and what the passes make of them.

    Raises UserError as the passes do.
    """
    found = []
    for name, after in steps(graph):
        known = {node.name for node in graph.nodes if node in after.nodes}
        for node in graph.nodes:
            if node.name in known or not isinstance(node.op, (ops.BatchNorm, ops.AvgPool)):
                continue
            x = graph.operands(node)[0]
            chain = _chain(after, node)
            divisor = int(node.op.divisors(x).max()) if isinstance(node.op, ops.AvgPool) else None
            if chain is not None:
                found.append(Replacement(name, x, node, chain, divisor))
        graph = after
    return found


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
