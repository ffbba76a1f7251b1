"""Staircases: monotone integer functions as multiply, add, shift, proven equal.

A quantizer behind any monotone map is a staircase: for each level v there is a first input that
reaches it. floor((x * m + b) / 2**s) is the same staircase exactly when, for each level, it has
reached v at that input and has not at the one before. For given m and s these are bounds on b;
any b between them is a proof of equality over the whole input range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import UserError
from ..ir import ops
from ..numeric import Overflow, QType, Rounding, int_array, requantize, round_shift

IntArray = np.ndarray[Any, Any]

MAX_MULT_BITS = 32
"""Widest multiplier, its sign included."""
MAX_LEVELS = 1 << 17
"""Most levels of a staircase that are checked."""
_MAX_EXACT_SHIFT = 64
_MAX_INPUT = 1 << 60
_BLOCK = 1 << 20
"""Thresholds searched at a time; bounds the memory that bisection takes."""


@dataclass(frozen=True)
class Staircases:
    """The functions of all channels of a layer.

    Parameters
    ----------
    function : (values of shape (n, k), indices of k channels) to integers of shape (n, k);
        monotone in each channel, before overflow.
    slopes, offsets : of the real line that each channel rounds, about; the sign of a slope says
        whether the channel rises or falls.
    low, high : smallest and largest input.
    bottom, top : where results saturate: beyond them nothing needs to be equal.
    """

    function: Callable[[IntArray, IntArray], IntArray]
    slopes: np.ndarray[Any, Any]
    offsets: np.ndarray[Any, Any]
    low: int
    high: int
    bottom: int
    top: int


@dataclass(frozen=True)
class Bounds:
    """What one channel must do: each input of ``reached`` gives at least its level, each of
    ``missed`` less than its level."""

    levels: IntArray
    reached: IntArray
    missed_levels: IntArray
    missed: IntArray


@dataclass(frozen=True)
class Solution:
    """Multipliers and biases of all channels, their common shift, and the rounding of the shift."""

    mult: list[int]
    bias: list[int]
    shift: int
    rounding: Rounding

    @property
    def cost(self) -> tuple[int, int]:
        """Bits of the multiplier (none for a common power of two), then of the bias."""
        first = self.mult[0]
        only_shifts = len(set(self.mult)) == 1 and first > 0 and first & (first - 1) == 0
        widest = 0 if only_shifts else max(abs(m).bit_length() for m in self.mult)
        return widest, max(abs(b).bit_length() for b in self.bias)


def bounds_of(stairs: Staircases) -> list[Bounds]:
    """The bounds of every channel, found by bisection with the function itself.

    Raises UserError where there are more levels, or wider inputs, than can be searched.
    """
    if max(-stairs.low, stairs.high) >= _MAX_INPUT:
        raise UserError(f"inputs {stairs.low}..{stairs.high} are too wide to prove anything about")
    channels = np.arange(len(stairs.slopes))
    rising = stairs.slopes >= 0
    first = np.where(rising, stairs.low, stairs.high)
    last = np.where(rising, stairs.high, stairs.low)
    ends = np.clip(stairs.function(np.stack([first, last]), channels), stairs.bottom, stairs.top)
    most_levels = max(int(most) - int(least) for least, most in ends.T)
    if most_levels > MAX_LEVELS:
        raise UserError(f"{most_levels} levels are too many to prove", hint="quantize to fewer")
    out: list[Bounds] = []
    block = max(1, _BLOCK // max(1, most_levels))
    for start in range(0, len(channels), block):
        out += _bisected(stairs, channels[start : start + block], ends.astype(np.int64))
    return out


def _bisected(stairs: Staircases, channels: IntArray, ends: IntArray) -> list[Bounds]:
    rising = stairs.slopes[channels] >= 0
    first, sign = np.where(rising, stairs.low, stairs.high), np.where(rising, 1, -1)
    least, most = ends[0][channels], ends[1][channels]
    # Channels with fewer levels repeat their last one: bisecting it again is harmless.
    steps = np.arange(1, int(max(most - least)) + 1)[:, np.newaxis]
    levels = np.minimum(least + steps, most)
    # Steps from ``first``: after ``below`` the level is not reached, after ``above`` it is.
    below = np.zeros(levels.shape, np.int64)
    above = np.full(levels.shape, stairs.high - stairs.low, np.int64)
    while np.any(above - below > 1):
        middle = (below + above) // 2
        reached = stairs.function(first + sign * middle, channels) >= levels
        above = np.where(reached, middle, above)
        below = np.where(reached, below, middle)
    out = []
    for column, channel in enumerate(channels):
        count = int(most[column] - least[column])
        own = levels[:count, column]
        reached = first[column] + sign[column] * above[:count, column]
        missed = first[column] + sign[column] * below[:count, column]
        reached_levels = missed_levels = own
        # Ends that do not saturate are held from the other side as well.
        if least[column] > stairs.bottom:
            reached_levels = np.append(own, least[column])
            reached = np.append(reached, first[column])
        if most[column] < stairs.top:
            missed_levels = np.append(own, most[column] + 1)
            end = stairs.high if stairs.slopes[channel] >= 0 else stairs.low
            missed = np.append(missed, end)
        out.append(Bounds(reached_levels, reached, missed_levels, missed))
    return out


def solve(stairs: Staircases, bounds: list[Bounds]) -> Solution:
    """Multiply, add and shift, rounding down, equal to each channel; the smallest common shift.

    Raises UserError naming the channel when there is none with MAX_MULT_BITS.
    """
    steepest = float(np.max(np.abs(stairs.slopes)))
    shift = 0 if steepest == 0 else max(0, -int(np.floor(np.log2(steepest))) - 2)
    order, failed = list(range(len(bounds))), 0
    while steepest * 2.0**shift < 2.0 ** (MAX_MULT_BITS - 1):
        found: dict[int, tuple[int, int]] = {}
        for channel in order:
            pair = _fit(float(stairs.slopes[channel]), bounds[channel], shift)
            if pair is None:
                failed = channel
                break
            found[channel] = pair
        else:
            pairs = [found[channel] for channel in range(len(bounds))]
            return Solution([m for m, _ in pairs], [b for _, b in pairs], shift, Rounding.FLOOR)
        if steepest == 0:
            break
        # The hardest channel is tried first at the next shift.
        order.remove(failed)
        order.insert(0, failed)
        shift += 1
    raise UserError(
        f"channel {failed} has no exact requantization with a multiplier of {MAX_MULT_BITS} bits",
        hint="quantize to fewer bits, or round the batch norm's parameters to fewer",
    )


def solve_line(stairs: Staircases, bounds: list[Bounds], rounding: Rounding) -> Solution | None:
    """The lines themselves, where they have few bits, with the rounding of the model.

    Needed where the rounding resolves ties in a way that no staircase of floor has. None where a
    line has too many bits, or the function is not that line after all.
    """
    lines = [
        (Fraction(float(slope)), Fraction(float(offset)))
        for slope, offset in zip(stairs.slopes, stairs.offsets, strict=True)
    ]
    shift = max(n.denominator.bit_length() - 1 for line in lines for n in line)
    steepest = max(abs(slope) * 2**shift for slope, _ in lines)
    if shift > _MAX_EXACT_SHIFT or steepest >= 1 << (MAX_MULT_BITS - 1):
        return None
    mults = [int(slope * 2**shift) for slope, _ in lines]
    biases = [int(offset * 2**shift) for _, offset in lines]
    for mult, bias, bound in zip(mults, biases, bounds, strict=True):
        at_reached = round_shift(bound.reached.astype(object) * mult + bias, shift, rounding)
        at_missed = round_shift(bound.missed.astype(object) * mult + bias, shift, rounding)
        if np.any(at_reached < bound.levels) or np.any(at_missed >= bound.missed_levels):
            return None
    return Solution(mults, biases, shift, rounding)


def _fit(slope: float, bounds: Bounds, shift: int) -> tuple[int, int] | None:
    """A multiplier near the slope and a bias, or None."""
    mult = round(slope * 2.0**shift)
    low, high = _bias_bounds(bounds, mult, shift)
    # The room for a bias is concave in the multiplier: climb while it grows.
    for step in (1, -1):
        while low > high:
            new_low, new_high = _bias_bounds(bounds, mult + step, shift)
            if new_high - new_low <= high - low:
                break
            mult, low, high = mult + step, new_low, new_high
    return (mult, roundest(low, high)) if low <= high else None


def _bias_bounds(bounds: Bounds, mult: int, shift: int) -> tuple[int, int]:
    """Smallest and largest bias that keep every bound."""
    largest = (1 << shift) * (MAX_LEVELS + 1) + (abs(mult) + 1) * _magnitude(bounds)
    levels, reached, missed_levels, missed = (
        int_array(a, largest)
        for a in (bounds.levels, bounds.reached, bounds.missed_levels, bounds.missed)
    )
    lows, highs = (levels << shift) - mult * reached, (missed_levels << shift) - mult * missed - 1
    low = int(lows.max()) if len(lows) else None
    high = int(highs.min()) if len(highs) else None
    if low is None and high is None:
        return 0, 0
    if low is None:
        assert high is not None
        return min(0, high), high
    return low, max(0, low) if high is None else high


def _magnitude(bounds: Bounds) -> int:
    return max(
        int(np.abs(a).max(initial=0))
        for a in (bounds.levels, bounds.reached, bounds.missed_levels, bounds.missed)
    )


def roundest(low: int, high: int) -> int:
    """The integer of ``low..high`` with the most trailing zeros: its low bits cost nothing."""
    if low <= 0 <= high:
        return 0
    bits = max(abs(low), abs(high)).bit_length()
    for zeros in range(bits, 0, -1):
        candidate = -(-low >> zeros) << zeros
        if candidate <= high:
            return candidate
    return low


def first_difference(
    stairs: Staircases, bounds: list[Bounds], op: ops.Requantize
) -> tuple[int, int] | None:
    """(channel, input) where a requantization is not its staircase; None proves them equal.

    Both sides are evaluated at each threshold, its neighbour and the ends of the input range.
    Between these the staircase is constant, and so is any monotone function that equals it there.
    """
    qtype = op.type
    # Before overflow, as the staircase is: what saturates is cut to bottom..top on both sides.
    wide = QType(True, 128, 0, qtype.rounding, Overflow.WRAP)
    for channel, bound in enumerate(bounds):
        inputs = np.unique(
            np.concatenate([bound.reached, bound.missed, [stairs.low, stairs.high]])
        ).astype(np.int64)
        mult, bias, shift = (
            a[channel : channel + 1] if a.size > 1 else a for a in (op.mult, op.bias, op.shift)
        )
        got = requantize(inputs[:, np.newaxis], mult, bias, shift, wide)[:, 0]
        wanted = stairs.function(inputs[:, np.newaxis], np.array([channel]))[:, 0]
        differs = np.clip(got, stairs.bottom, stairs.top) != np.clip(
            wanted, stairs.bottom, stairs.top
        )
        if np.any(differs):
            return channel, int(inputs[np.argmax(differs)])
    return None
