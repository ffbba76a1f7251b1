"""Batch norms with real parameters become integer requantizations, proven equal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import UserError
from ..ir import Graph, Node, Tensor, ops
from ..numeric import Overflow, QType, Rounding, dequantize, magnitude, quantize
from .rewrite import replace_nodes
from .step_functions import (
    MAX_MULT_BITS,
    Bounds,
    IntArray,
    Solution,
    StepFunctions,
    bounds_of,
    first_difference,
    solve,
)

_WIDE_MULT_BITS = 64
"""Widest multiplier of a batch norm."""

_ANY = 1 << 62
"""Beyond every result: where overflow wraps or zeroes, none saturates."""


def fold_batch_norm(graph: Graph) -> Graph:
    """BatchNorm with its quantizer becomes a Requantize equal on every possible input.

    The type of the edge stays, but that it rounds down where the bias holds the rounding.
    Raises UserError naming the layer and channel where no multiplier will do.
    """

    def change(node: Node) -> Iterator[Node]:
        if isinstance(node.op, ops.BatchNorm):
            try:
                op = folded(node.op, graph.operands(node)[0])
            except UserError as error:
                raise UserError(error.reason, layer=node.name, hint=error.hint) from None
            node = replace(node, op=op)
        yield node

    return replace_nodes(graph, change)


def folded(op: ops.BatchNorm, x: Tensor) -> ops.Requantize:
    """The requantization that equals ``op`` on every integer of ``x.range``.

    Raises UserError naming the channel where there is none.
    """
    functions = step_functions(op, x)
    bounds = bounds_of(functions)
    solution = _solution(functions, bounds, op.type.rounding)
    mult, bias = (np.array(v, dtype=object) for v in (solution.mult, solution.bias))
    qtype = replace(op.type, rounding=solution.rounding)
    result = ops.Requantize.scaled(qtype, mult, bias, solution.shift, _clip(op))
    wrong = first_difference(functions, bounds, result)
    if wrong is not None:
        raise AssertionError(f"folded batch norm differs in channel {wrong[0]} at {wrong[1]}")
    return result


def _solution(functions: StepFunctions, bounds: list[Bounds], rounding: Rounding) -> Solution:
    """Rounding down, but for a narrower multiplier with the rounding of the model.

    Many levels over wide sums leave little room for a slope, and channels whose slopes lie far
    apart share a shift: where the usual multipliers are too narrow, wide ones are taken.
    """
    refused: UserError | None = None
    for bits in (MAX_MULT_BITS, _WIDE_MULT_BITS):
        found: list[Solution] = []
        for mode in dict.fromkeys((Rounding.FLOOR, rounding)):
            try:
                found.append(solve(functions, bounds, mode, bits))
            except UserError as error:
                refused = error
        if found:
            return min(found, key=lambda solution: solution.multiplier_bits)
    assert refused is not None
    raise refused


def step_functions(op: ops.BatchNorm, x: Tensor) -> StepFunctions:
    """The golden formula of every channel before overflow, as a step function over ``x.range``."""
    wide = QType(
        True, 64, op.type.frac, op.type.rounding, Overflow.SATURATE, op.type.scale,
        op.type.zero_point,
    )  # fmt: skip
    bottom, top = -_ANY, _ANY
    if op.type.overflow in (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC):
        bottom, top = op.type.low, op.type.max
        if op.clip:
            bottom, top = (int(np.clip(bound, *op.clip)) for bound in (bottom, top))

    def function(values: IntArray, channels: IntArray) -> IntArray:
        real = dequantize(values, _of_channels(x.type, channels))
        real = real * op.scale[channels] + op.offset[channels]
        return quantize(real, _of_channels(wide, channels))

    ends = function(np.array([[end] * x.channels for end in x.range]), np.arange(x.channels))
    if top == _ANY and magnitude(ends) >= _ANY:
        raise UserError(
            f"results beyond 62 bits whose overflow is {op.type.overflow} are not supported",
            hint="let it saturate",
        )
    with np.errstate(over="ignore", under="ignore"):
        slopes = np.broadcast_to(_steps(x.type) * op.scale / _steps(op.type), op.scale.shape)
    return StepFunctions(function, slopes, *x.range, bottom, top)


def _steps(qtype: QType) -> np.ndarray[Any, Any]:
    """Weight of the least significant bit: one number, or one a channel."""
    return np.asarray(2.0**-qtype.frac if qtype.scale is None else qtype.scale, np.float64)


def _of_channels(qtype: QType, channels: IntArray) -> QType:
    """The type of some of an edge's channels."""
    if not isinstance(qtype.scale, tuple):
        return qtype
    return replace(qtype, scale=tuple(qtype.scale[i] for i in channels))


def _clip(op: ops.BatchNorm) -> tuple[int, int] | None:
    """The clip within the type, as Requantize wants it."""
    if op.clip is None:
        return None
    low, high = (int(np.clip(bound, op.type.min, op.type.max)) for bound in op.clip)
    return low, high
