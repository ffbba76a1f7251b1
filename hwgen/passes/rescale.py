"""A runtime's rescaling becomes multiply, add, shift where the two are proven equal.

Every rule is monotone, so each channel is a step function. Rules that round by magnitude have one
line above zero and another below it: a bias for each side of a pivot. What is left are channels
where a rule rounds twice just beside a tie, which no line does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..ir import Graph, Node, Tensor, ops
from ..numeric import Overflow, Rounding, Scaling, magnitude
from .rewrite import replace_nodes
from .step_functions import Solution, StepFunctions, bounds_of, first_difference, solve

Ends = tuple[np.ndarray, np.ndarray]
_ANY = 1 << 40
"""Beyond every result of what does not saturate: there is nothing to be equal to."""
_SATURATING = (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC)


def reduce_rescale(graph: Graph, keep: Collection[Scaling] = ()) -> Graph:
    """Every Rescale that has an equal Requantize becomes it; the others stay as they are.

    ``keep`` : rules that are kept as they are.
    """
    nodes = {node.name: node for node in graph.nodes}

    def change(node: Node) -> Iterator[Node]:
        if isinstance(node.op, ops.Rescale) and node.op.scaling not in keep:
            ends = channel_ranges(graph, nodes.get(node.inputs[0]), graph.operands(node)[0])
            op = reduced(node.op, ends)
            node = node if op is None else replace(node, op=op)
        yield node

    return replace_nodes(graph, change)


def channel_ranges(graph: Graph, source: Node | None, x: Tensor) -> Ends:
    """Smallest and largest input of each channel: those of an exact sum, else the edge's.

    A channel whose weights are all zero is a constant, whatever its scale.
    """
    if source is not None and isinstance(source.op, (ops.Conv2D, ops.Dense)):
        op = source.op
        if op.accumulator is None and op.bias is None:
            return op.channel_ranges(graph.operands(source)[0])
    low, high = (np.full(x.channels, end, object) for end in x.range)
    return low, high


def reduced(op: ops.Rescale, ends: Ends) -> ops.Requantize | None:
    """The equal requantization, rounding down, of inputs between ``ends``; None where there is
    none that is found."""
    raw = op.unclipped(np.array(ends))
    if op.type.overflow not in _SATURATING and magnitude(raw) >= _ANY:
        return None
    for with_pivots in (False, True):
        functions = step_functions(op, ends, with_pivots)
        try:
            bounds = bounds_of(functions)
            found = solve(functions, bounds)
        except UserError:
            continue
        result = _requantize(op, found, functions)
        wrong = first_difference(functions, bounds, result)
        if wrong is not None:
            raise AssertionError(f"reduced rescale differs in channel {wrong[0]} at {wrong[1]}")
        return result
    return None


def step_functions(op: ops.Rescale, ends: Ends, with_pivots: bool) -> StepFunctions:
    """The golden rule of every channel before overflow, as a step function between ``ends``."""
    low, high = (end.astype(np.int64) for end in ends)
    mult, shift, bias = (np.broadcast_to(a, len(low)) for a in (op.mult, op.shift, op.bias))
    full = replace(op, mult=mult, shift=shift, bias=bias)
    bottom, top = op.type.low, op.type.max
    if op.clip:
        bottom, top = (int(np.clip(bound, *op.clip)) for bound in (bottom, top))
    if op.type.overflow not in _SATURATING:
        bottom, top = -_ANY, _ANY
    # The slope of a constant does not matter.
    slopes = np.where(low < high, np.ldexp(mult.astype(np.float64), -shift.astype(np.int64)), 0.0)
    pivots = -bias if with_pivots else None
    return StepFunctions(full.unclipped, slopes, low, high, bottom, top, pivots)


def _requantize(op: ops.Rescale, found: Solution, functions: StepFunctions) -> ops.Requantize:
    floor = replace(op.type, rounding=Rounding.FLOOR)
    out = ops.Requantize.scaled(floor, found.mult, found.bias, found.shift, op.clip)
    if found.bias_below is None or found.bias_below == found.bias:
        return out
    return replace(out, pivot=functions.pivots, below=np.array(found.bias_below))
