"""One shift for all channels of a requantization, the smallest that is exact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..ir import Graph, Node, ops
from ..numeric import Rounding
from .rewrite import replace_nodes


def common_shift(graph: Graph) -> Graph:
    """Every Requantize gets one shift for all channels, the smallest that is exact.

    Where nothing is left to shift, nothing is rounded: the type then says floor, which is free.
    """

    def change(node: Node) -> Iterator[Node]:
        if isinstance(node.op, ops.Requantize):
            node = replace(node, op=with_common_shift(node.op))
        yield node

    return replace_nodes(graph, change)


def with_common_shift(op: ops.Requantize) -> ops.Requantize:
    """The same requantization with one shift; its arrays have one entry where all are equal."""
    shift = int(op.shift.max())
    up = shift - op.shift.astype(object)
    below = op.bias if op.below is None else op.below
    mult, bias, below = (a.astype(object) << up for a in (op.mult, op.bias, below))
    # Bits that are zero in every multiplier and bias round nothing.
    spare = shift
    for value in [*mult, *bias, *below]:
        if value:
            spare = min(spare, (int(value) & -int(value)).bit_length() - 1)
    shift -= spare
    return replace(
        op,
        mult=_narrow(mult >> spare),
        bias=_narrow(bias >> spare),
        shift=np.array([shift]),
        below=None if op.below is None else _narrow(below >> spare),
        type=op.type if shift else replace(op.type, rounding=Rounding.FLOOR),
    )


def _narrow(values: np.ndarray) -> np.ndarray:
    """One entry when all are equal; int64 when they fit."""
    if len(set(values.tolist())) == 1:
        values = values[:1]
    fits = all(-(1 << 63) <= int(v) < 1 << 63 for v in values)
    return values.astype(np.int64) if fits else values
