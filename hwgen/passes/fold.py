"""Real-valued layers become integer requantizations: batch norm and average pooling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..ir import Graph, Node, Tensor, ops
from ..numeric import Overflow, QType, Rounding, dequantize, quantize, type_for_range
from .rewrite import fresh_name, replace_nodes
from .staircase import IntArray, Staircase, solve


def fold_batch_norm(graph: Graph) -> Graph:
    """BatchNorm with its quantizer becomes a Requantize equal on every possible input.

    Raises UserError naming the layer and channel where no multiplier will do.
    """

    def change(node: Node) -> Iterator[Node]:
        if not isinstance(node.op, ops.BatchNorm):
            yield node
            return
        x = graph.operands(node)[0]
        op = node.op
        channels = [_channel(op, x, index) for index in range(x.channels)]
        yield Node(node.name, _solved(node.name, channels, op.type, op.clip), node.inputs)

    return replace_nodes(graph, change)


def _channel(op: ops.BatchNorm, x: Tensor, index: int) -> Staircase:
    wide, bottom, top = _range_that_matters(op.type)

    def function(values: IntArray) -> IntArray:
        column = np.zeros((len(values), x.channels), np.int64)
        column[:, index] = values
        real = dequantize(column, x.type)[:, index] * op.scale[index] + op.offset[index]
        return quantize(real, wide)

    at_one, at_zero = (dequantize(np.full(x.channels, value), x.type)[index] for value in (1, 0))
    step = _step_of(op.type)
    slope = float((at_one - at_zero) * op.scale[index]) / step
    return Staircase(function, slope, *x.range, bottom, top)


def _step_of(qtype: QType) -> float:
    """Weight of a type's least significant bit. Raises UserError for several."""
    if isinstance(qtype.scale, tuple):
        raise UserError("a quantizer with one scale a channel is not supported here")
    return 2.0**-qtype.frac if qtype.scale is None else qtype.scale


def _range_that_matters(qtype: QType) -> tuple[QType, int, int]:
    """A type without overflow, and the results beyond which only saturation follows.

    Where overflow wraps or zeroes, every result matters.
    """
    wide = QType(
        True, 64, qtype.frac, qtype.rounding, Overflow.SATURATE, qtype.scale, qtype.zero_point
    )
    if qtype.overflow in (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC):
        return wide, qtype.low, qtype.max
    return wide, -(1 << 62), 1 << 62


def _solved(
    name: str, channels: list[Staircase], qtype: QType, clip: tuple[int, int] | None
) -> ops.Requantize:
    # Without rounding the hardware is smallest; some functions need their own.
    rounding = Rounding.FLOOR
    try:
        solution = solve(channels)
    except UserError:
        rounding = qtype.rounding
        try:
            solution = solve(channels, rounding)
        except UserError as error:
            raise UserError(error.reason, layer=name, hint=error.hint) from None
    mult, bias, shift = solution
    return ops.Requantize.scaled(
        replace(qtype, rounding=rounding),
        mult=np.array(mult, dtype=object),
        bias=np.array(bias, dtype=object),
        shift=shift,
        clip=clip,
    )


def lower_avg_pool(graph: Graph) -> Graph:
    """AvgPool becomes the exact sum and a Requantize equal on every possible sum.

    Raises UserError where windows have different divisors (padding that does not count).
    """

    def change(node: Node) -> Iterator[Node]:
        if not isinstance(node.op, ops.AvgPool):
            yield node
            return
        op, x = node.op, graph.operands(node)[0]
        divisors = np.unique(op.divisors(x))
        if len(divisors) != 1:
            raise UserError(
                "windows of this average have different numbers of real elements",
                layer=node.name,
                hint="use valid padding, or count_padding",
            )
        name = fresh_name(graph, f"{node.name}_sum")
        total = ops.SumPool(op.kernel, op.stride, op.padding)
        sums = total.infer(name, [x])
        channel = _average(op, int(divisors[0]), x, sums)
        yield Node(name, total, node.inputs)
        try:
            yield Node(node.name, _solved(node.name, [channel], op.type, None), (name,))
        except UserError:
            finer = fresh_name(graph, f"{node.name}_quotient")
            quotient, rounding = _in_two_steps(op, int(divisors[0]), x, sums)
            yield Node(finer, quotient, (name,))
            yield Node(node.name, rounding, (finer,))

    return replace_nodes(graph, change)


def _in_two_steps(
    op: ops.AvgPool, divisor: int, x: Tensor, sums: Tensor
) -> tuple[ops.Requantize, ops.Requantize]:
    """Quotient by the odd part of the divisor with some bits more, then the rounding shift.

    The ties of an even divisor fall on sums, where a rounding such as half to even has no
    staircase that a line could follow. The quotient by the odd part, rounded down, is one; with
    so many fractional bits that they are zero for whole quotients only, they tell a tie from
    what lies just above it. What is left to divide by is a power of two, which every rounding
    can do.
    """
    up = op.type.frac - x.type.frac
    twos = (divisor & -divisor).bit_length() - 1
    odd = divisor >> twos
    more = odd.bit_length()
    scaled_up, shift = max(0, up - twos) + more, max(0, twos - up) + more

    def function(values: IntArray) -> IntArray:
        return (values << scaled_up) // odd

    low, high = (int(function(np.array([bound]))[0]) for bound in sums.range)
    wide = type_for_range(low, high)
    channel = Staircase(function, 2.0**scaled_up / odd, *sums.range, low, high)
    mult, bias, right = solve([channel])
    quotient = ops.Requantize.scaled(wide, np.array(mult), np.array(bias), right)
    return quotient, ops.Requantize.scaled(op.type, shift=shift)


def _average(op: ops.AvgPool, divisor: int, x: Tensor, sums: Tensor) -> Staircase:
    wide, bottom, top = _range_that_matters(op.type)
    exact = ops.AvgPool((1, 1), (1, 1), type=wide)
    up = op.type.frac - x.type.frac

    def function(values: IntArray) -> IntArray:
        return exact.divided(values, up, divisor)

    slope = 2.0**up / divisor
    return Staircase(function, slope, *sums.range, bottom, top)
