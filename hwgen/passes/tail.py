"""The tail of a network that is left to the host."""

from __future__ import annotations

from dataclasses import replace

from ..errors import UserError
from ..ir import Graph, Node, ops

TAILS = ("host",)
"""Who can be left with the tail."""


_LEFT = (ops.Softmax, ops.SoftmaxTable, ops.ArgMax)
_SHAPES = (ops.Flatten, ops.Reshape)


def without_tail(graph: Graph) -> Graph:
    """The network up to its last softmax or argmax, of each output: what that reads is the output.

    A softmax keeps the order of its inputs, so a host that wants the class needs none, and one
    that wants probabilities computes them from a few integers; the index of the largest of some
    integers it finds itself. Raises UserError where the network ends in something else.
    """
    nodes = {node.name: node for node in graph.nodes}
    left: dict[str, str] = {}
    moved = {name: _before(nodes, name, left) for name in graph.outputs}
    if not left:
        raise UserError(
            "the network does not end in a softmax or an argmax: nothing is left to the host"
        )
    # What stands before it may be an output already.
    outputs = tuple(dict.fromkeys(moved.values()))
    note = f"left to the host: {', '.join(left)}"
    tensors = graph.tensors
    arrays = {
        moved[name]: order for name, order in graph.arrays.items()
        if name in moved and tensors[name].shape == tensors[moved[name]].shape
    }  # fmt: skip
    arrays |= {name: order for name, order in graph.arrays.items() if name not in moved}
    kept, needed = [], set(outputs)
    for node in reversed(graph.nodes):
        if node.name in needed or node.name not in left:
            kept.append(node)
            needed.update(node.inputs)
    out = replace(graph, nodes=tuple(reversed(kept)), outputs=outputs,
                  notes=(*graph.notes, note), arrays=arrays)  # fmt: skip
    return out.verify()


def _before(nodes: dict[str, Node], name: str, left: dict[str, str]) -> str:
    """What an output's tail reads, the output itself where it has none; the layers of the tail are
    added to ``left``."""
    tail, at = [], name
    while (node := nodes.get(at)) is not None and isinstance(node.op, (*_LEFT, *_SHAPES)):
        tail.append(at)
        at = node.inputs[0]
        if isinstance(node.op, _LEFT):
            left |= dict.fromkeys(tail, at)
            name, tail = at, []
    return name
