"""Sums and products of two stored tensors: functions of two integers of 8 bits.

What the runtime gives is computed for every pair. Integer forms are then searched that give the
same for each of them: for a sum two factors and one rounding, else a table for each operand and a
rounding, else tables and thresholds; for a product one rounding, else thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir import Op, Tensor
from ...ir.ops import Mul, MultiThreshold, Rescale
from ...numeric import QType, Scaling, multiplier_of, to_integers
from ..sums import WIDE, added, shifted, times
from .fusion import HINT, scale_of
from .real import FloatStep, evaluate
from .work import OnnxImport, Value

_SHIFTS = range(22, 9, -1)
"""Fractional bits tried for the factors of a sum, the most exact first."""
_TABLE_SHIFTS = (14, 18, 22)
"""Fractional bits tried for tables, which cost the less the fewer they are."""
_ROUNDS = 512
"""Rounds of making two tables fit: no chain of conditions on 2 * 256 entries is longer."""
_FAR = 1 << 50
_FARTHEST = 1 << 30
"""Sums in units of the result that no table of 32 bits holds."""


class Pairs(NamedTuple):
    """All pairs of integers ``x`` and ``y`` that two values can have, and what they give.

    ``wanted`` rises with the sum of the real ``terms``, which are in units of the result. It is cut
    off at ``bounds``.
    """

    parts: tuple[Value, Value]
    codes: tuple[Array, Array]
    terms: tuple[Array, Array]
    wanted: Array
    qtype: QType
    bounds: tuple[int, int]

    @property
    def clip(self) -> tuple[int, int] | None:
        """The bounds, where the type does not have them."""
        whole = self.bounds == (self.qtype.min, self.qtype.max)
        return None if whole else self.bounds


def make(
    work: OnnxImport, name: str, kind: str, parts: tuple[Value, Value], qtype: QType,
    steps: tuple[FloatStep, ...], reason: str,
) -> Tensor:  # fmt: skip
    """The integers of a sum or a product of two values.

    ``steps`` stand between it and its quantizer; ``reason`` why ONNX Runtime computes it in
    float32, empty where it takes the integers. Raises UserError where no integer form is found.
    """
    _check(parts, steps)
    x, y = (np.arange(v.edge.range[0], v.edge.range[1] + 1) for v in parts)
    bounds = (qtype.min, qtype.max)
    if reason:
        terms, wanted = _in_float32(kind, parts, (x, y), steps, qtype)
        if steps:  # They are bounds, or bend the function: its ends are where it is cut.
            bounds = (int(wanted.min()), int(wanted.max()))
    elif kind == "add":
        terms, wanted = fused_sum(parts, (x[:, np.newaxis], y), qtype)
    else:
        terms, wanted = (x, y), fused_product(parts, (x[:, np.newaxis], y), qtype)
    terms = (terms[0].reshape(-1), terms[1].reshape(-1))
    pairs = Pairs(parts, (x, y), terms, wanted, qtype, bounds)
    return (_sum if kind == "add" else _product)(work, name, pairs)


def _check(parts: tuple[Value, Value], steps: tuple[FloatStep, ...]) -> None:
    if any(part.sums for part in parts):
        raise UserError("a sum or product of numbers that are not quantized is not supported",
                        hint="put a quantizer before it")  # fmt: skip
    operands = [s.operand for s in (*parts[0].steps, *parts[1].steps, *steps)]
    if any(o is not None and o.size > 1 for o in operands) or any(p.scale.size > 1 for p in parts):
        raise UserError("a constant for each channel beside a sum or product is not supported",
                        hint=HINT)  # fmt: skip
    if any(part.edge.type.width > 8 for part in parts):
        raise UserError("a sum or product of integers of more than 8 bits is not supported",
                        hint="quantize its inputs to 8 bits")  # fmt: skip


def _in_float32(
    kind: str, parts: tuple[Value, Value], codes: tuple[Array, Array], steps: tuple[FloatStep, ...],
    qtype: QType,
) -> tuple[tuple[Array, Array], Array]:  # fmt: skip
    """As the file says it: real numbers, an operation on them, a quantizer."""
    a, b = (
        evaluate(column[:, np.newaxis], v.scale, v.zero, v.steps)[:, 0]
        for column, v in zip(codes, parts, strict=True)
    )
    scale = np.float32(scale_of(qtype))
    values = a[:, np.newaxis] + b if kind == "add" else a[:, np.newaxis] * b
    for step in steps:
        values = step(values)
    wanted = np.rint(values / scale).astype(np.float64) + qtype.zero_point
    unit = np.float64(scale)
    terms = (a.astype(np.float64) / unit, b.astype(np.float64) / unit + qtype.zero_point)
    if kind == "add":
        _check_reach(terms, parts, qtype)
    return terms, to_integers(np.clip(wanted, qtype.min, qtype.max))


def _check_reach(terms: tuple[Array, Array], parts: tuple[Value, Value], qtype: QType) -> None:
    """Raises UserError where terms of a sum, in units of the result, are infinite or so large that
    no table of 32 bits holds them."""
    if not sum(float(np.abs(term).max()) for term in terms) < _FARTHEST:
        a, b = (float(v.scale[0]) for v in parts)
        raise UserError(f"a sum of scales {a:g} and {b:g} to {scale_of(qtype):g}: they are too far "
                        "apart")  # fmt: skip


def fused_sum(
    parts: tuple[Value, Value], codes: tuple[Array, Array], qtype: QType
) -> tuple[tuple[Array, Array], Array]:
    """As ONNX Runtime adds stored integers (MLAS, x86-64): two fused multiply-adds in float32, that
    of the second operand first. Gives the last one's terms too."""
    scale = np.float32(scale_of(qtype))
    # A fused multiply-add rounds once: float64 holds its exact result (24 + 8 bits).
    first, second = (np.float64(np.float32(v.scale[0]) / scale) for v in parts)
    zeros = np.float64(np.float32(second * parts[1].zero))
    fixed = np.float32(qtype.zero_point) - np.float32(first * parts[0].zero + zeros)
    x, y = codes
    terms = first * x, (second * y + np.float64(fixed)).astype(np.float32).astype(np.float64)
    _check_reach(terms, parts, qtype)
    total = np.rint((terms[0] + terms[1]).astype(np.float32))
    return terms, to_integers(np.clip(total, qtype.min, qtype.max))


def fused_product(parts: tuple[Value, Value], codes: tuple[Array, Array], qtype: QType) -> Array:
    """As ONNX Runtime multiplies stored integers: the exact product times one float32, the zero
    point added before it is rounded."""
    a, b = parts
    factor = np.float32(a.scale[0]) * np.float32(b.scale[0]) / np.float32(scale_of(qtype))
    products = ((codes[0] - a.zero) * (codes[1] - b.zero)).astype(np.float32)
    real = products * factor + np.float32(qtype.zero_point)
    return to_integers(np.clip(np.rint(real), qtype.min, qtype.max))


def _sum(work: OnnxImport, name: str, pairs: Pairs) -> Tensor:
    edges = [v.edge for v in pairs.parts]
    x, y = pairs.codes
    few = pairs._replace(codes=(x[::16], y), wanted=pairs.wanted[::16])
    for operands, last in _forms(pairs):
        # Most candidates fail for some of the pairs already.
        if all(np.array_equal(_computed(p, operands, last), p.wanted) for p in (few, pairs)):
            return added(work.add, name, list(zip(edges, operands, strict=True)), last)
    a, b = (float(v.scale[0]) for v in pairs.parts)
    raise UserError(f"no integers give this sum of scales {a:g} and {b:g} to "
                    f"{scale_of(pairs.qtype):g} as the runtime rounds it")  # fmt: skip


def _computed(pairs: Pairs, operands: list[Op], last: Op) -> Array:
    """What operands and a last operation give for all pairs."""
    edges = [v.edge for v in pairs.parts]
    a, b = (
        op.golden([codes], [edge])
        for op, codes, edge in zip(operands, pairs.codes, edges, strict=True)
    )
    return last.golden([a[:, np.newaxis] + b], [])


def _forms(pairs: Pairs) -> Iterator[tuple[list[Op], Op]]:
    """Candidates, the cheapest first."""
    qtype, clip = pairs.qtype, pairs.clip
    if not any(v.steps for v in pairs.parts):
        yield from _factors(pairs)
    for shift in _TABLE_SHIFTS:
        for even in (False, True):
            tables = _tables(pairs, shift, *_rounded(pairs, shift, even), 0.0 if even else 0.5)
            if tables is not None:
                yield tables, shifted(qtype, shift, None if even else 0, clip, 0)
    reach = sum(float(np.abs(term).max()) for term in pairs.terms)
    shift = WIDE.width - 2 - int(np.ceil(np.log2(reach + 1)))
    thresholds, levels = _thresholds(pairs, shift)
    index = pairs.wanted - levels[0]
    ends = np.concatenate([[-_FAR], thresholds, [_FAR]])
    tables = _tables(pairs, shift, ends[index], ends[index + 1] - 1, 0.0)
    if tables is not None and len(levels) > 1:
        yield tables, MultiThreshold(thresholds, levels, qtype)


def _factors(pairs: Pairs) -> Iterator[tuple[list[Op], Op]]:
    """Each operand times an integer, and one rounding."""
    parts, scale = pairs.parts, np.float32(scale_of(pairs.qtype))
    ratios = [np.float64(np.float32(v.scale[0]) / scale) for v in parts]
    reach = max(int(np.abs(c - v.zero).max()) for c, v in zip(pairs.codes, parts, strict=True))
    for shift in _SHIFTS:
        factors = [int(np.rint(np.ldexp(r, shift))) for r in ratios]
        if max(factors) * reach >= 1 << 31:
            continue
        operands: list[Op] = [times(f, v.zero) for f, v in zip(factors, parts, strict=True)]
        half = 1 << (shift - 1)
        for added_half in (half, half + 1, half - 1, half + 2, half - 2, None):
            zero_point = pairs.qtype.zero_point
            yield operands, shifted(pairs.qtype, shift, added_half, pairs.clip, zero_point)


def _rounded(pairs: Pairs, shift: int, even: bool) -> tuple[Array, Array]:
    """The least and the greatest sum that is cut off (``even``: rounded, ties to even) to what is
    wanted, where it is divided by ``2**shift``."""
    unit, wanted = 1 << shift, pairs.wanted
    if even:
        odd = wanted & 1
        least, most = (wanted << shift) - unit // 2 + odd, (wanted << shift) + unit // 2 - odd
    else:
        least, most = wanted << shift, (wanted << shift) + unit - 1
    low, high = pairs.bounds
    return np.where(wanted <= low, -_FAR, least), np.where(wanted >= high, _FAR, most)


def _thresholds(pairs: Pairs, shift: int) -> tuple[Array, Array]:
    """Sums in units of ``2**-shift`` from which each level is wanted; and the levels."""
    sums = (pairs.terms[0][:, np.newaxis] + pairs.terms[1]).reshape(-1)
    order = np.argsort(pairs.wanted, axis=None, kind="stable")
    sums, wanted = sums[order], pairs.wanted.reshape(-1)[order]
    below, above = np.maximum.accumulate(sums), np.minimum.accumulate(sums[::-1])[::-1]
    levels = np.arange(wanted[0], wanted[-1] + 1)
    first = np.searchsorted(wanted, levels[1:])
    middle = (below[first - 1] + above[first]) / 2
    return to_integers(np.rint(np.ldexp(middle, shift))), levels


def _tables(pairs: Pairs, shift: int, least: Array, most: Array, offset: float) -> list[Op] | None:
    """Tables of 32 bits whose sum is between ``least`` and ``most`` for every pair; None where
    there are none.

    Every pair bounds the sum of one entry of each table, on both sides: a system of differences
    (of one table and the negative of the other), which is solved by letting entries fall until
    all bounds hold (Bellman and Ford). It begins at the real terms.
    """
    unit = 1 << shift
    a, b = (
        to_integers(np.rint(np.ldexp(term + extra, shift)))
        for term, extra in zip(pairs.terms, (0.0, offset), strict=True)
    )
    if max(np.abs(a).max(), np.abs(b).max()) >= (1 << (WIDE.width - 1)) - unit:
        return None
    start, negative = a, -b
    for _ in range(_ROUNDS):
        negative = np.minimum(negative, (a[:, np.newaxis] - least).min(axis=0))
        lower = np.minimum(a, (negative + most).min(axis=1))
        if np.array_equal(lower, a):
            return [_table(c, v) for c, v in zip(pairs.codes, (a, -negative), strict=True)]
        a = lower
        # Entries that fall by a whole unit will not come to rest.
        if np.any(start - a > unit):
            return None
    return None


def _table(codes: Array, values: Array) -> Op:
    if len(codes) == 1:
        return MultiThreshold(codes + 1, np.repeat(values, 2), WIDE)
    return MultiThreshold(codes[1:], values, WIDE)


def _product(work: OnnxImport, name: str, pairs: Pairs) -> Tensor:
    (x, y), (a, b), qtype = pairs.codes, pairs.parts, pairs.qtype
    products = ((x - a.zero)[:, np.newaxis] * (y - b.zero)).reshape(-1)
    wanted = pairs.wanted.reshape(-1)
    real = np.float32(a.scale[0]) * np.float32(b.scale[0]) / np.float32(scale_of(qtype))
    mult, shift = multiplier_of(float(real), Scaling.FP32_HALF_EVEN)
    op: Op = Rescale(Scaling.FP32_HALF_EVEN, np.array([mult]), np.array([shift]), qtype,
                     offset=qtype.zero_point, clip=pairs.clip)  # fmt: skip
    if not np.array_equal(op.golden([products], []), wanted):
        op = _multi_threshold_of(products, wanted, qtype)
    return work.add(name, op, work.add(f"{name}_product", Mul(), a.edge, b.edge))


def _multi_threshold_of(products: Array, wanted: Array, qtype: QType) -> Op:
    """Raises UserError where equal products are wanted to give different results."""
    order = np.lexsort((wanted, products))
    products, wanted = products[order], wanted[order]
    rises = np.flatnonzero(np.diff(wanted)) + 1
    if np.any(np.diff(wanted) < 0) or np.any(products[rises] == products[rises - 1]):
        raise UserError("ONNX Runtime computes this product in float32, which the product of "
                        "integers does not give for all pairs", hint=HINT)  # fmt: skip
    if not len(rises):
        return MultiThreshold(products[-1:] + 1, wanted[[0, 0]], qtype)
    return MultiThreshold(products[rises], np.concatenate([wanted[:1], wanted[rises]]), qtype)
