"""Requantizations in the one form that the tiled engine carries out.

``clip((sum * mult + (sum < split_at ? bias_below : bias)) >> shift)``, rounding down or half to
even. Other roundings are biases; those that go by sign have another one on each side of the sum at
which the product changes its sign.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import frexp, inf

import numpy as np

from ....errors import UserError
from ....ir import Op, Tensor, ops
from ....numeric import Overflow, Rounding

Ints = np.ndarray
SHIFTS = 63
"""Largest shift of the engine."""
LARGEST_RANGE = 1 << 24
"""Integers on which two requantizations are tried."""
MULT_BITS = 30
"""Bits of a multiplier that is found."""


@dataclass(frozen=True, eq=False)
class Requant:
    """One integer of mult, bias, split_at and bias_below for each channel.

    Sums less than ``split_at`` take ``bias_below`` in place of ``bias``.
    """

    mult: Ints
    bias: Ints
    split_at: Ints
    bias_below: Ints
    shift: int
    half_even: bool
    low: int
    high: int

    @classmethod
    def identity(cls, channels: int, low: int, high: int) -> Requant:
        """Keeps every value between ``low`` and ``high``."""
        zero, one = np.zeros(channels, object), np.ones(channels, object)
        return cls(one, zero, np.full(channels, -(1 << 31), object), zero, 0, False, low, high)

    @classmethod
    def of(cls, layer: str, op: Op, x: Tensor) -> Requant:
        """What equals a Requantize which reads ``x``. Raises UserError where nothing does."""
        assert isinstance(op, ops.Requantize)
        mult, bias = (_channels(a, x.channels) for a in (op.mult, op.bias))
        (shift,) = op.shift.tolist()  # legal.ONE_SHIFT
        rounding = op.type.rounding
        low, high = _bounds(layer, op, x)
        if op.pivot is not None and op.below is not None:
            if rounding is not Rounding.FLOOR:
                raise UserError(f"a pivot with {rounding} rounding", layer=layer)
            split_at = _channels(op.pivot, x.channels)
            bias_below = _channels(op.below, x.channels)
        else:
            bias, split_at, bias_below = _rounded(layer, mult, bias, shift, rounding)
        made = cls(
            mult, bias, split_at, bias_below, shift, rounding is Rounding.HALF_EVEN, low, high
        )
        made._check(layer, x)
        return made

    @classmethod
    def of_two(cls, layer: str, first: Op, second: Op, x: Tensor) -> Requant:
        """One that equals two of them, each the same for all channels, on every integer of ``x``.

        Raises UserError where none does, or where there are too many integers to try.
        """
        assert isinstance(first, ops.Requantize) and isinstance(second, ops.Requantize)
        low, high = x.range
        single = all(a.size == 1 for op in (first, second) for a in (op.mult, op.bias, op.shift))
        if high - low >= LARGEST_RANGE or not single:
            raise UserError(
                f"{x.type.width} bits are requantized twice; the tiled engine does it once",
                layer=layer,
            )
        sums = np.arange(low, high + 1)
        one = replace(x, shape=(1,))
        middle = first.infer("middle", [one])
        results = second.golden([first.golden([sums[:, None]], [one])], [middle])[:, 0]
        found = lines_of(sums, results)
        if found is None:
            raise UserError(
                f"the tiled engine has no division that rounds {second.type.rounding} here",
                layer=layer,
            )
        mult, bias, split_at, bias_below = (np.full(x.channels, v, object) for v in found[:4])
        ends = int(results.min()), int(results.max())
        made = cls(mult, bias, split_at, bias_below, found[4], False, *ends)
        made._check(layer, x)
        return made

    def of_sums_less(self, offset: int) -> Requant:
        """The requantization of sums that ``offset`` is missing from."""
        move = self.mult * offset
        lowest = -(1 << 31)
        split_at = np.where(self.split_at == lowest, lowest, self.split_at - offset)
        bias_below = self.bias_below + move
        return replace(self, bias=self.bias + move, bias_below=bias_below, split_at=split_at)

    def _check(self, layer: str, x: Tensor) -> None:
        """Raises UserError where the engine's registers are too narrow."""
        limits = (
            ("mult", self.mult, 32), ("bias", self.bias, 64), ("pivot", self.split_at, 32),
            ("below", self.bias_below, 64),
        )  # fmt: skip
        for name, values, bits in limits:
            if min(values) < -(1 << bits - 1) or max(values) >= 1 << bits - 1:
                raise UserError(f"its {name} needs more than {bits} bits", layer=layer)
        if self.shift > SHIFTS:
            raise UserError(f"a shift by {self.shift}, at most {SHIFTS}", layer=layer)
        if x.range[0] < -(1 << 31) or x.range[1] >= 1 << 31:
            raise UserError(f"sums of {x.type.width} bits, the engine has 32", layer=layer)


def lines_of(sums: Ints, results: Ints) -> tuple[int, int, int, int, int] | None:
    """mult, bias, split_at, bias_below and shift that give a result for each of consecutive sums.

    Results never fall, and are clipped to the smallest and the largest one. One line is tried, and
    one on each side of zero with the same slope. None where there are none.
    """
    ends = int(results.min()), int(results.max())
    for split_at in (-(1 << 31), 0):
        parts = sums >= split_at, sums < split_at
        sides = [_Side.of(sums[s], results[s], ends) for s in parts]
        flattest = max(side.slopes()[0] for side in sides)
        steepest = min(side.slopes()[1] for side in sides)
        if flattest >= steepest:
            continue
        slope = flattest + 1 if steepest == inf else (flattest + steepest) / 2
        shift = min(SHIFTS, max(0, MULT_BITS - frexp(slope)[1]))
        mult = round(slope * (1 << shift))
        bias, bias_below = (side.bias(mult, shift) for side in sides)
        if bias is not None and bias_below is not None:
            return mult, bias, split_at, bias_below, shift
    return None


@dataclass(frozen=True)
class _Side:
    """What a line must do, (sum, value) each: reach a value at the first sum that has it, stay
    below one at the last sum before it."""

    reached: list[tuple[int, int]]
    below: list[tuple[int, int]]

    @classmethod
    def of(cls, sums: Ints, results: Ints, ends: tuple[int, int]) -> _Side:
        if not len(sums):
            return cls([], [])
        rises = np.flatnonzero(np.diff(results))
        pairs = [(int(sums[n]), int(results[n])) for n in (0, *(rises + 1))]
        lasts = [(int(sums[n]), int(results[n])) for n in (*rises, len(sums) - 1)]
        return cls([p for p in pairs if p[1] > ends[0]],
                   [(s, r + 1) for s, r in lasts if r < ends[1]])  # fmt: skip

    def slopes(self) -> tuple[float, float]:
        """Between which the slope must be."""
        flattest, steepest = 0.0, inf
        for at, value in self.reached:
            for other, limit in self.below:
                if at > other:
                    flattest = max(flattest, (value - limit) / (at - other))
                elif at < other:
                    steepest = min(steepest, (limit - value) / (other - at))
        return flattest, steepest

    def bias(self, mult: int, shift: int) -> int | None:
        """One with which the line of this slope does all that; None where there is none."""
        most = min(((v << shift) - 1 - mult * at for at, v in self.below), default=None)
        least = max(((v << shift) - mult * at for at, v in self.reached), default=most or 0)
        return least if most is None or least <= most else None


def _channels(values: Ints, channels: int) -> Ints:
    return np.broadcast_to(np.array([int(v) for v in values], object), channels)


def _bounds(layer: str, op: ops.Requantize, x: Tensor) -> tuple[int, int]:
    """What results are clipped to. Raises UserError where they wrap or become zero."""
    low, high = op.type.low, op.type.max
    if op.type.overflow not in (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC):
        wide = ops.Requantize(op.mult, op.bias, op.shift, type=_saturating(op, 64))
        raw = wide.infer("raw", [x]).range
        if raw[0] < low or raw[1] > high:
            raise UserError(
                f"results outside {op.type} {op.type.overflow}; the tiled engine saturates",
                layer=layer,
            )
    if op.clip is not None:
        low, high = (int(np.clip(end, *op.clip)) for end in (low, high))
    return low, high


def _saturating(op: ops.Requantize, width: int):
    return replace(
        op.type, signed=True, width=width, overflow=Overflow.SATURATE, scale=None, zero_point=0
    )


def _rounded(
    layer: str, mult: Ints, bias: Ints, shift: int, rounding: Rounding
) -> tuple[Ints, Ints, Ints]:
    """bias, split_at and bias_below with which rounding down gives another rounding."""
    half, whole = (1 << shift) >> 1, (1 << shift) - 1
    none = np.full(len(mult), -(1 << 31), object)
    always = {
        Rounding.FLOOR: 0,
        Rounding.HALF_EVEN: 0,
        Rounding.HALF_UP: half,
        Rounding.HALF_DOWN: half - 1,
        Rounding.CEIL: whole,
    }
    if rounding in always:
        return bias + always[rounding], none, bias + always[rounding]
    by_sign = {
        Rounding.HALF_AWAY: (half, half - 1),
        Rounding.HALF_TO_ZERO: (half - 1, half),
        Rounding.TO_ZERO: (0, whole),
        Rounding.FROM_ZERO: (whole, 0),
    }
    if rounding not in by_sign:
        raise UserError(f"the tiled engine does not round {rounding}", layer=layer)
    positive, negative = by_sign[rounding]
    above, splits, below = [], [], []
    for m, b in zip(mult, bias, strict=True):
        at, under = (b + positive, b + negative)
        if m == 0:
            split_at, at, under = -(1 << 31), (at if b >= 0 else under), under
        elif m > 0:
            split_at = -(b // m)  # the first sum whose product is not negative
        else:
            split_at, at, under = b // -m + 1, under, at
        above.append(at)
        # Beyond all sums: the engine's registers end there.
        splits.append(min(max(split_at, -(1 << 31)), (1 << 31) - 1))
        below.append(under)
    return np.array(above, object), np.array(splits, object), np.array(below, object)
