"""Multiply, add and shift that give what was computed for each of consecutive sums."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import frexp, inf

import numpy as np

from ....contract.isa import RECORD, Round

Ints = np.ndarray
SHIFTS = RECORD.most("shift")
"""Largest shift of the engine."""
MULT_BITS = 30
"""Bits of a multiplier that is found."""


@dataclass(frozen=True)
class Line:
    """``round((sum * mult + bias) / 2**shift) + offset``."""

    mult: int
    bias: int
    shift: int
    rounding: Round = Round.FLOOR
    offset: int = 0

    def like(self, other: Line) -> bool:
        """Whether both round alike."""
        return (self.rounding, self.offset) == (other.rounding, other.offset)


def floor_line(
    sums: Ints, results: Ints, ends: tuple[int, int], most_shift: int = SHIFTS
) -> Line | None:
    """One that rounds down; None where there is none.

    Results never fall, and are clipped to ``ends``.
    """
    steps = _Steps.of(sums, results, ends)
    flattest, steepest = steps.slopes()
    if flattest >= steepest:
        return None
    slope = flattest + 1 if steepest == inf else (flattest + steepest) / 2
    shift = min(most_shift, _shift_of(slope))
    mult = round(slope * (1 << shift))
    bias = steps.bias(mult, shift)
    return None if bias is None else Line(mult, bias, shift)


_SYMMETRIC = {
    Round.HALF_AWAY: Fraction(1, 2),
    Round.TO_ZERO: Fraction(0),
    Round.FROM_ZERO: Fraction(1),
}
"""Roundings that go by size, and what they add to a size before they leave its fraction out."""


def symmetric_line(sums: Ints, results: Ints, ends: tuple[int, int], center: int) -> Line | None:
    """One through the result at the sum ``center``, which rounds by the distance from that; None
    where there is none.

    Results never fall, and are clipped to ``ends``.
    """
    if not sums[0] <= center <= sums[-1]:
        return None
    offset = int(results[center - int(sums[0])])
    low, high = (end - offset for end in ends)
    sides = []
    for side, bounds in ((1, (low, high)), (-1, (-high, -low))):
        far = side * (sums - center) > 0
        if far.any():
            away, value = side * (sums[far] - center), side * (results[far] - offset)
            sides.append(_Steps.of(away[::side], value[::side], bounds))
    for rounding, added in _SYMMETRIC.items():
        least = max((Fraction(v - added) / at for s in sides for at, v in s.reached), default=0)
        most = min((Fraction(v - added) / at for s in sides for at, v in s.below), default=None)
        slope = max(least, Fraction(0)) + 1 if most is None else (least + most) / 2
        if slope <= 0:
            continue
        shift = _shift_of(float(slope))
        mult = round(slope * (1 << shift))
        if least < Fraction(mult, 1 << shift) and (most is None or mult < most * (1 << shift)):
            return Line(mult, -center * mult, shift, rounding, offset)
    return None


def _shift_of(slope: float) -> int:
    return min(SHIFTS, max(0, MULT_BITS - frexp(slope)[1]))


@dataclass(frozen=True)
class _Steps:
    """What a line must do, (sum, value) each: reach a value at the first sum that has it, stay
    below one at the last sum before it."""

    reached: list[tuple[int, int]]
    below: list[tuple[int, int]]

    @classmethod
    def of(cls, sums: Ints, results: Ints, ends: tuple[int, int]) -> _Steps:
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
