"""Requantizations in the one form that the tiled engine carries out.

``clip((sum * mult + (sum < pivot ? below : bias)) >> shift)``, rounding down or half to even. Other
roundings are biases; those that go by sign have another one on each side of the sum at which the
product changes its sign.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...errors import UserError
from ...ir import Op, Tensor, ops
from ...numeric import Overflow, Rounding

Ints = np.ndarray
SHIFTS = 63
"""Largest shift of the engine."""
LARGEST_RANGE = 1 << 24
"""Integers on which two requantizations are tried."""


@dataclass(frozen=True, eq=False)
class Requant:
    """One integer of mult, bias, pivot and below for each channel."""

    mult: Ints
    bias: Ints
    pivot: Ints
    below: Ints
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
        """That of a Requantize which reads ``x``. Raises UserError where there is none."""
        assert isinstance(op, ops.Requantize)
        mult, bias = (_channels(a, x.channels) for a in (op.mult, op.bias))
        shifts = set(op.shift.tolist())
        if len(shifts) != 1:
            raise AssertionError("a requantization without a common shift reached the plan")
        shift = int(shifts.pop())
        rounding = op.type.rounding if shift else Rounding.FLOOR
        low, high = _bounds(layer, op, x)
        if op.pivot is not None and op.below is not None:
            if rounding is not Rounding.FLOOR:
                raise UserError(f"a pivot with {rounding} rounding", layer=layer)
            pivot, below = _channels(op.pivot, x.channels), _channels(op.below, x.channels)
        else:
            bias, pivot, below = _rounded(layer, mult, bias, shift, rounding)
        made = cls(mult, bias, pivot, below, shift, rounding is Rounding.HALF_EVEN, low, high)
        made._check(layer, x)
        return made

    @classmethod
    def of_two(cls, layer: str, first: Op, second: Op, x: Tensor) -> Requant:
        """One that equals two of them, each the same for all channels, on every integer of ``x``.

        Raises UserError where none does, or where there are too many integers to try.
        """
        assert isinstance(first, ops.Requantize) and isinstance(second, ops.Requantize)
        low, high = x.range
        if high - low >= LARGEST_RANGE:
            raise UserError(f"two requantizations of {x.type.width} bits", layer=layer)
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
        values = (np.full(x.channels, v, object) for v in found[:4])
        made = cls(*values, found[4], False, int(results.min()), int(results.max()))
        made._check(layer, x)
        return made

    def of_sums_less(self, offset: int) -> Requant:
        """The same for sums that ``offset`` is missing from."""
        move = self.mult * offset
        lowest = -(1 << 31)
        pivot = np.where(self.pivot == lowest, lowest, self.pivot - offset)
        return replace(self, bias=self.bias + move, below=self.below + move, pivot=pivot)

    def _check(self, layer: str, x: Tensor) -> None:
        """Raises UserError where the engine's registers are too narrow."""
        limits = (("mult", 32), ("bias", 64), ("pivot", 32), ("below", 64))
        for name, bits in limits:
            values = getattr(self, name)
            if min(values) < -(1 << bits - 1) or max(values) >= 1 << bits - 1:
                raise UserError(f"its {name} needs more than {bits} bits", layer=layer)
        if self.shift > SHIFTS:
            raise UserError(f"a shift by {self.shift}, at most {SHIFTS}", layer=layer)
        if x.range[0] < -(1 << 31) or x.range[1] >= 1 << 31:
            raise UserError(f"sums of {x.type.width} bits, the engine has 32", layer=layer)


def lines_of(sums: Ints, results: Ints) -> tuple[int, int, int, int, int] | None:
    """mult, bias, pivot, below and shift that give a result for each of consecutive sums.

    Results never fall, and are clipped to the smallest and the largest one. One line is tried, and
    one on each side of zero with the same slope. None where there are none.
    """
    rises = np.flatnonzero(np.diff(results))
    first, last = (int(rises[0]), int(rises[-1])) if len(rises) else (0, 0)
    distance = max(1, last - first)
    height = max(1, int(results[last]) - int(results[first]))
    shift = min(SHIFTS, 30 + max(0, (distance // height).bit_length() - 1))
    for mult in (height << shift) // distance, (height << shift) // distance + 1:
        for pivot in (-(1 << 31), 0):
            upper = sums >= pivot
            bias = _bias_of(sums[upper], results[upper], results, mult, shift)
            below = _bias_of(sums[~upper], results[~upper], results, mult, shift)
            if bias is not None and below is not None and mult < 1 << 31:
                return mult, bias, pivot, below, shift
    return None


def _bias_of(sums: Ints, results: Ints, every: Ints, mult: int, shift: int) -> int | None:
    """One with which the line gives all of the results."""
    if not len(sums):
        return 0
    rises = np.flatnonzero(np.diff(results))
    starts, ends = [0, *(rises + 1)], [*rises, len(sums) - 1]
    low, high = int(every.min()), int(every.max())
    at_least = [
        (int(results[n]) << shift) - mult * int(sums[n]) for n in starts if results[n] > low
    ]
    at_most = [
        (int(results[n]) + 1 << shift) - 1 - mult * int(sums[n]) for n in ends if results[n] < high
    ]
    least = max(at_least, default=min(at_most, default=0))
    return least if least <= min(at_most, default=least) else None


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
    """bias, pivot and below with which rounding down gives another rounding."""
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
    above, pivots, below = [], [], []
    for m, b in zip(mult, bias, strict=True):
        at, under = (b + positive, b + negative)
        if m == 0:
            pivot, at, under = -(1 << 31), (at if b >= 0 else under), under
        elif m > 0:
            pivot = -(b // m)  # the first sum whose product is not negative
        else:
            pivot, at, under = b // -m + 1, under, at
        above.append(at)
        # A pivot beyond all sums: the engine's registers end there.
        pivots.append(min(max(pivot, -(1 << 31)), (1 << 31) - 1))
        below.append(under)
    return np.array(above, object), np.array(pivots, object), np.array(below, object)
