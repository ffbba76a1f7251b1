"""Averages become exact sums and integer requantizations that divide them.

The division needs no search over sums. floor((A x + B) / D) equals floor((m x + b) / 2**s) where
the second line is above the first by less than 1 / D: the first is a multiple of 1 / D, so no
integer lies between them. The distance is linear in x, so the two ends of its range prove it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import gcd

import numpy as np

from ..errors import UserError
from ..ir import Graph, Node, Op, Tensor, ops
from ..numeric import QType, Rounding, type_for_range
from .rewrite import fresh_name, replace_nodes
from .shift import with_common_shift
from .step_functions import MAX_MULT_BITS, IntArray, roundest


def lower_avg_pool(graph: Graph) -> Graph:
    """AvgPool becomes the exact sum and a Requantize equal on every possible sum.

    Two of them where an even window is rounded so that ties count, or where windows have different
    divisors (padding that is not counted). Raises UserError naming the layer where dividing takes
    too wide a multiplier.
    """

    def change(node: Node) -> Iterator[Node]:
        op = node.op
        if not isinstance(op, ops.AvgPool):
            yield node
            return
        x = graph.operands(node)[0]
        divisors = op.divisors(x)
        name = fresh_name(graph, f"{node.name}_sum")
        total = ops.SumPool(op.kernel, op.stride, op.padding)
        sums = total.infer(name, [x])
        try:
            if divisors.min() == divisors.max():
                division: tuple[Op, ...] = divide(sums, int(divisors[0, 0]), op.type)
            else:
                division = divide_each(sums, divisors, op.type)
        except UserError as error:
            raise UserError(error.reason, layer=node.name, hint=error.hint) from None
        new = [replace(node, name=name, op=total)]
        for number, step in enumerate(division[:-1]):
            inner = fresh_name(graph, f"{node.name}_quotient" + str(number or ""))
            new.append(replace(node, name=inner, op=step, inputs=(new[-1].name,)))
        new.append(replace(node, op=division[-1], inputs=(new[-1].name,)))
        yield from new

    return replace_nodes(graph, change)


def divide(sums: Tensor, divisor: int, qtype: QType) -> tuple[ops.Requantize, ...]:
    """One or two requantizations that divide every integer of ``sums.range``, as ``qtype`` rounds.

    Raises UserError where the multiplier would be too wide.
    """
    numerator, denominator = _fraction(qtype.frac - sums.type.frac, divisor)
    if denominator & (denominator - 1) == 0:
        shift = denominator.bit_length() - 1
        return (ops.Requantize.scaled(qtype, numerator, 0, shift),)
    added = _added(qtype.rounding, denominator, sums.range[0] >= 0)
    if added is not None:
        mult, bias, shift = _reciprocal(sums.range, numerator, added, denominator)
        floor = replace(qtype, rounding=Rounding.FLOOR)
        return (ops.Requantize.scaled(floor, mult, bias, shift),)
    return _in_two_steps(sums, numerator, denominator, qtype)


def divide_each(sums: Tensor, divisors: IntArray, qtype: QType) -> tuple[Op, ...]:
    """Layers that divide the sums of each place, as ``qtype`` rounds.

    divisors : (rows, columns). In two steps, see _in_two_steps: every element is a channel of its
    own for the quotients by the odd parts; all quotients have the same bits more, so that one
    rounding shift ends it.

    Raises UserError where a multiplier would be too wide.
    """
    up = qtype.frac - sums.type.frac
    parts: dict[int, tuple[int, int, int]] = {}
    for divisor in np.unique(divisors).tolist():
        numerator, denominator = _fraction(up, divisor)
        twos = (denominator & -denominator).bit_length() - 1
        parts[divisor] = numerator, twos, denominator >> twos
    most = max(twos for _, twos, _ in parts.values())
    more = max(odd for *_, odd in parts.values()).bit_length() + 1
    found, ends = {}, []
    for divisor, (numerator, twos, odd) in parts.items():
        scale = numerator << (more + most - twos)
        found[divisor] = _reciprocal(sums.range, scale, 0, odd)
        ends += [bound * scale // odd for bound in sums.range]
    each = np.repeat(divisors.reshape(-1), sums.shape[-1]).tolist()
    mult, bias, shift = (np.array(row, object) for row in zip(*map(found.get, each), strict=True))
    frac = qtype.frac + most + more
    quotient = ops.Requantize.scaled(type_for_range(min(ends), max(ends), frac), mult, bias, shift)
    final = ops.Requantize.scaled(qtype, shift=most + more)
    return ops.Flatten(), with_common_shift(quotient), ops.Reshape(sums.shape), final


def _fraction(up: int, divisor: int) -> tuple[int, int]:
    """2**up / divisor in lowest terms."""
    numerator, denominator = 1 << max(0, up), divisor << max(0, -up)
    common = gcd(numerator, denominator)
    return numerator // common, denominator // common


def _added(rounding: Rounding, denominator: int, positive: bool) -> int | None:
    """B with floor((A x + B) / D) the rounded A x / D; None where no B does it for all x."""
    if positive:
        rounding = {
            Rounding.TO_ZERO: Rounding.FLOOR,
            Rounding.FROM_ZERO: Rounding.CEIL,
            Rounding.HALF_AWAY: Rounding.HALF_UP,
            Rounding.HALF_TO_ZERO: Rounding.HALF_DOWN,
        }.get(rounding, rounding)
    directed = {Rounding.FLOOR: 0, Rounding.CEIL: denominator - 1}
    nearest = {Rounding.HALF_UP: denominator // 2, Rounding.HALF_DOWN: (denominator - 1) // 2}
    if rounding in directed:
        return directed[rounding]
    if denominator % 2 and rounding not in (Rounding.TO_ZERO, Rounding.FROM_ZERO):
        return denominator // 2  # an odd divisor knows no ties
    return nearest.get(rounding)


def _reciprocal(
    ends: tuple[int, int], numerator: int, added: int, denominator: int
) -> tuple[int, int, int]:
    """(m, b, s), s the smallest: floor((m x + b) / 2**s) = floor((A x + B) / D) from end to end.

    Raises UserError when m has too many bits.
    """
    for shift in range(denominator.bit_length() + MAX_MULT_BITS):
        unit = 1 << shift
        down = numerator * unit // denominator
        for mult in (down, down + 1):
            error = mult * denominator - numerator * unit
            least, most = sorted(error * end for end in ends)
            # 0 <= least + b D - B unit, and most + b D - B unit < unit.
            low = -((least - added * unit) // denominator)
            high = (unit - 1 - most + added * unit) // denominator
            if low <= high and mult.bit_length() < MAX_MULT_BITS:
                return mult, roundest(low, high), shift
    raise UserError(
        f"dividing sums of {ends[0]}..{ends[1]} by {denominator} takes a multiplier of more than "
        f"{MAX_MULT_BITS} bits",
        hint="quantize the average's input to fewer bits",
    )


def _in_two_steps(
    sums: Tensor, numerator: int, denominator: int, qtype: QType
) -> tuple[ops.Requantize, ops.Requantize]:
    """Quotient by the odd part of the divisor with some bits more, then the rounding shift.

    The ties of an even divisor fall on sums, where a rounding such as half to even resolves them
    by the quotient's parity, and no line does that. The quotient by the odd part, rounded down,
    can be had from a line; the bits more are zero for whole quotients only, so they tell a tie or
    a whole from what lies just above it. What is left to divide by is a power of two, which every
    rounding can do.
    """
    twos = (denominator & -denominator).bit_length() - 1
    odd = denominator >> twos
    # 2**more is above 2 * odd: a quotient just above a whole or a half has a bit of its own.
    more = odd.bit_length() + 1
    scale = numerator << more
    low, high = (bound * scale // odd for bound in sums.range)
    frac = qtype.frac + twos + more
    quotient = ops.Requantize.scaled(
        type_for_range(low, high, frac), *_reciprocal(sums.range, scale, 0, odd)
    )
    return quotient, ops.Requantize.scaled(qtype, shift=twos + more)
