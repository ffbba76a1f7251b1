"""Multiply, add and shift that give what another rule makes of each sum."""

from __future__ import annotations

from collections.abc import Callable
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


@dataclass(frozen=True)
class Steps:
    """A function that never falls, by the sums beside which it changes, with a value each.

    reached : sums at which it has reached the value; below : at which it is still below it. All
    others follow from these.
    """

    reached: list[tuple[int, int]]
    below: list[tuple[int, int]]

    @classmethod
    def of(
        cls, function: Callable[[Ints], Ints], span: tuple[int, int], ends: tuple[int, int]
    ) -> Steps:
        """Find those of sums between two, by bisection for all values at once.

        ends : what results are clipped to: beyond them nothing is asked.
        """
        values = np.arange(ends[0] + 1, ends[1] + 1)
        # The first sum that reaches each value; one behind the last where none does.
        least, most = np.full(len(values), span[0]), np.full(len(values), span[1] + 1)
        while (least < most).any():
            middle = (least + most) // 2
            enough = function(np.minimum(middle, span[1])) >= values
            open_ = least < most
            most = np.where(open_ & enough, middle, most)
            least = np.where(open_ & ~enough, middle + 1, least)
        pairs = list(zip(least.tolist(), values.tolist(), strict=True))
        return cls(
            [(at, value) for at, value in pairs if at <= span[1]],
            [(at - 1, value) for at, value in pairs if at > span[0]],
        )

    def beside(self, center: int, offset: int) -> Steps:
        """How far from a sum which distances from the result there are reached, on either side."""
        reached = [(at - center, value - offset) for at, value in self.reached if at > center]
        below = [(at - center, value - offset) for at, value in self.below if at > center]
        # Where it is still below a value on the one side, the next one is reached on the other.
        reached += [(center - at, offset - v + 1) for at, v in self.below if at < center]
        below += [(center - at, offset - v + 1) for at, v in self.reached if at < center]
        return Steps(reached, below)

    def slopes(self) -> tuple[float, float]:
        """Between which that of a line must be."""
        if not self.reached or not self.below:
            return 0.0, inf
        (at, value), (other, limit) = (np.array(a, float).T for a in (self.reached, self.below))
        run, rise = at[:, None] - other, value[:, None] - limit
        slope = np.divide(rise, run, out=np.zeros_like(rise), where=run != 0)
        flattest = np.max(slope, where=run > 0, initial=0.0)
        return float(flattest), float(np.min(slope, where=run < 0, initial=inf))

    def bias(self, mult: int, shift: int) -> int | None:
        """One with which the line of this slope does all that; None where there is none."""
        most = min(((v << shift) - 1 - mult * at for at, v in self.below), default=None)
        least = max(((v << shift) - mult * at for at, v in self.reached), default=most or 0)
        return least if most is None or least <= most else None


def floor_line(steps: Steps, most_shift: int = SHIFTS) -> Line | None:
    """One that rounds down; None where there is none."""
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


def symmetric_line(steps: Steps, center: int, offset: int) -> Line | None:
    """One through the result ``offset`` at the sum ``center``, which rounds by the distance from
    that; None where there is none."""
    beside = steps.beside(center, offset)
    for rounding, added in _SYMMETRIC.items():
        least = max((Fraction(v - added) / at for at, v in beside.reached), default=0)
        most = min((Fraction(v - added) / at for at, v in beside.below), default=None)
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
