"""Staircases: monotone integer functions as multiply, add, shift, proven equal.

A quantizer behind any monotone map is a staircase: for each level v there is a first input that
reaches it. floor((x * m + b) / 2**s) is the same staircase exactly when, for each level, it has
reached v at that input and has not at the one before. For given m and s these are bounds on b;
any b between them is a proof of equality over the whole input range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from ..numeric import Rounding, round_shift

IntArray = np.ndarray[Any, Any]

MAX_MULT_BITS = 40
"""Widest multiplier that is tried."""
MAX_LEVELS = 1 << 17
"""Most levels of a staircase that are checked."""


@dataclass(frozen=True)
class Staircase:
    """The function of one channel.

    function : integers to integers, monotone, vectorized. slope : about its mean rise
    (the sign says whether it rises or falls). low, high : inputs. bottom, top : where results
    saturate; beyond them nothing needs to be equal.
    """

    function: Callable[[IntArray], IntArray]
    slope: float
    low: int
    high: int
    bottom: int
    top: int


@dataclass(frozen=True)
class _Bounds:
    """For each level: an input that has reached it, and one that has not; object arrays."""

    levels: IntArray
    reached: IntArray
    missed_levels: IntArray
    missed: IntArray


def solve(
    channels: list[Staircase], rounding: Rounding = Rounding.FLOOR
) -> tuple[list[int], list[int], int]:
    """(mult, bias, shift) with round((x * mult + bias) / 2**shift) equal to each channel.

    The shift is common and the smallest that will do. Raises UserError naming the channel when
    there is none.
    """
    bounds = [_bounds(channel) for channel in channels]
    steepest = max((abs(channel.slope) for channel in channels), default=0.0)
    start = 0 if steepest == 0 else max(0, -int(np.floor(np.log2(steepest))) - 2)
    widest = start + MAX_MULT_BITS
    failed = 0
    for shift in range(start, widest + 1):
        found = []
        for index, (channel, bound) in enumerate(zip(channels, bounds, strict=True)):
            pair = _fit(channel, bound, shift, rounding)
            if pair is None:
                failed = index
                break
            found.append(pair)
        else:
            return [m for m, _ in found], [b for _, b in found], shift
    raise UserError(
        f"channel {failed} can not be requantized exactly with a multiplier of {MAX_MULT_BITS} bits"
    )


def _fit(
    channel: Staircase, bounds: _Bounds, shift: int, rounding: Rounding
) -> tuple[int, int] | None:
    mult = round(channel.slope * 2.0**shift)
    reached = _first_numerators(bounds.levels, shift, rounding) - mult * bounds.reached
    missed = _first_numerators(bounds.missed_levels, shift, rounding) - 1 - mult * bounds.missed
    low, high = max(reached, default=None), min(missed, default=None)
    if low is None or high is None:
        return (mult, int(low if low is not None else high if high is not None else 0))
    if low > high:
        return None
    # Zero where possible, else the middle: it has the fewest set bits on average.
    return mult, 0 if low <= 0 <= high else int((low + high) // 2)


def _first_numerators(levels: IntArray, shift: int, rounding: Rounding) -> IntArray:
    """For each level, the smallest n for which n / 2**shift is rounded to it or higher."""
    if not len(levels) or shift == 0:
        return levels
    unit = 1 << shift
    tie = (levels << shift) - (unit >> 1)
    if rounding.value.startswith("half"):
        # Everything above the tie is rounded up; the tie itself as the mode says.
        return tie + (round_shift(tie, shift, rounding) < levels)
    # The half-way point stands for all that lies strictly between two levels.
    up = round_shift(tie, shift, rounding) >= levels
    return np.where(up, ((levels - 1) << shift) + 1, levels << shift)


def _bounds(channel: Staircase) -> _Bounds:
    """Thresholds of every level, by bisection with the function itself."""
    rising = channel.slope >= 0
    first, last = (channel.low, channel.high) if rising else (channel.high, channel.low)
    ends = np.clip(channel.function(np.array([first, last])), channel.bottom, channel.top)
    least, most = int(ends[0]), int(ends[1])
    if most - least > MAX_LEVELS:
        raise UserError(f"{most - least} levels are too many to prove", hint="quantize to fewer")
    levels = np.arange(least + 1, most + 1)
    # Steps from ``first``: after ``below`` the level is not reached, after ``above`` it is.
    below = np.zeros(len(levels), np.int64)
    above = np.full(len(levels), abs(last - first), np.int64)
    sign = 1 if rising else -1
    while len(levels) and np.any(above - below > 1):
        middle = (below + above) // 2
        reached = channel.function(first + sign * middle) >= levels
        above = np.where(reached, middle, above)
        below = np.where(reached, below, middle)
    reached = list(first + sign * above.astype(object))
    missed = list(first + sign * below.astype(object))
    reached_levels, missed_levels = list(levels.astype(object)), list(levels.astype(object))
    if least > channel.bottom:
        reached_levels.append(least)
        reached.append(first)
    if most < channel.top:
        missed_levels.append(most + 1)
        missed.append(last)
    return _Bounds(*(np.array(a, dtype=object) for a in (
        reached_levels, reached, missed_levels, missed
    )))  # fmt: skip
