"""Zero points leave the products: sums of the integers as they are, and a constant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..ir import Graph, Node, ops
from .rewrite import replace_nodes


def zero_points_into_biases(graph: Graph) -> Graph:
    """Conv2D and Dense multiply integers as they are stored; the bias takes the difference.

    The sum of (x - z) w is that of x w less z times the sum of w. Padded positions hold z. A given
    accumulator, which a constant added later would not equal, has no zero point: its products have
    fractional bits.
    """

    def change(node: Node) -> Iterator[Node]:
        op = node.op
        if isinstance(op, (ops.Conv2D, ops.Dense)) and not op.raw:
            zero = graph.operands(node)[0].type.zero_point
            if zero:
                axes = tuple(range(op.weights.ndim - 1))
                constant = -zero * op.weights.sum(axis=axes)
                bias = constant if op.bias is None else op.bias + constant
                node = replace(node, op=replace(op, raw=True, bias=np.asarray(bias, np.int64)))
        yield node

    return replace_nodes(graph, change)
