"""The tail of a network that is left to the host."""

from __future__ import annotations

from dataclasses import replace

from ..errors import UserError
from ..ir import Graph, ops

TAILS = ("host",)
"""Who can be left with the tail."""


def without_softmax(graph: Graph) -> Graph:
    """The network up to its last softmax, of each output: what that reads is the output.

    A softmax keeps the order of its inputs, so a host that wants the class needs none, and one
    that wants probabilities computes them from a few integers. Raises UserError where the network
    ends in something else.
    """
    nodes = {node.name: node for node in graph.nodes}
    ends = [nodes.get(name) for name in graph.outputs]
    kinds = (ops.Softmax, ops.SoftmaxTable)
    tails = [node for node in ends if node is not None and isinstance(node.op, kinds)]
    if not tails:
        raise UserError("the network does not end in a softmax: nothing is left to the host")
    moved = {node.name: node.inputs[0] for node in tails}
    # What stands before it may be an output already.
    outputs = tuple(dict.fromkeys(moved.get(name, name) for name in graph.outputs))
    note = f"left to the host: {', '.join(moved)}"
    arrays = {moved.get(name, name): order for name, order in graph.arrays.items()}
    read = {name for node in graph.nodes for name in node.inputs}
    kept = tuple(node for node in graph.nodes if node.name not in moved or node.name in read)
    out = replace(graph, nodes=kept, outputs=outputs, notes=(*graph.notes, note),
                  arrays=arrays)  # fmt: skip
    return out.verify()
