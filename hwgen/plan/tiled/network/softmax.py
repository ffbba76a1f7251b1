"""Softmax on the tiled engine: the exponentials of its table, and what has to be refused."""

from __future__ import annotations

from math import prod

import numpy as np

from ....contract.engine import EngineShape
from ....contract.isa import SOFTMAX_CHANNELS, TABLE_WORDS
from ....errors import UserError
from ....ir import Graph, Node, ops
from ... import latency
from ...exponentials import softmax_powers
from ...host import float_softmax, way_out
from .widths import check_bytes

_HINT = "use --arch dataflow, or "


def exponentials_of(node: Node, graph: Graph, shape: EngineShape) -> np.ndarray:
    """The exponential of each difference to the largest byte, as Q0.31: 256 integers.

    shape : of the engine. Raises UserError for what the engine has no unit for.
    """
    op, layer, (x,) = node.op, node.name, graph.operands(node)
    if isinstance(op, ops.SoftmaxTable):
        raise float_softmax(op, layer, graph)
    assert isinstance(op, ops.Softmax)
    if op.type.width > 8:
        raise UserError(
            f"the tiled architecture has a softmax of 8 bits, this one gives {op.type.width}",
            layer=layer,
            hint=_HINT + way_out(graph, layer),
        )
    check_bytes(shape, "a softmax", layer, _HINT + way_out(graph, layer))
    assert x.channels <= SOFTMAX_CHANNELS
    powers = softmax_powers(op.mult, op.shift, (TABLE_WORDS - 1).bit_length())
    return np.array(powers, np.int64)


def softmax_cycles(counts: list[int], groups: int, channels: int) -> int:
    """Cycles that the vectors of a tile take; counts : of the loops over their words."""
    _, interval = latency.softmax(channels)
    return prod(counts) // groups * interval
