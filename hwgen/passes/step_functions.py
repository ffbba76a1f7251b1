"""Step functions: monotone integer functions as multiply, add, shift, proven equal.

A quantizer behind any monotone map is a step function: for each level v there is a first input that
reaches it. round((x * m + b) / 2**s), with any rounding, is the same function exactly when, for
each level, it has reached v at that input and has not at the one before. For given m and s these
are bounds on b; any b between them is a proof of equality over the whole input range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from ..ir import ops
from ..ir.ops.requantize import MAX_SHIFT
from ..numeric import Overflow, QType, Rounding, int_array, requantize, round_shift

IntArray = np.ndarray[Any, Any]

MAX_MULT_BITS = 32
"""Widest multiplier, its sign included."""
MAX_LEVELS = 1 << 17
"""Most levels of a step function that are checked."""
_MAX_INPUT = 1 << 60
_BLOCK = 1 << 20
"""Thresholds searched at a time; bounds the memory that bisection takes."""


@dataclass(frozen=True)
class StepFunctions:
    """The functions of all channels of a layer.

    Parameters
    ----------
    function : (values of shape (n, k), indices of k channels) to integers of shape (n, k);
        monotone in each channel, before overflow.
    slopes : of the real line that each channel rounds, about; the sign says whether the channel
        rises or falls.
    low, high : smallest and largest input, of all channels or of each.
    bottom, top : where results saturate: beyond them nothing needs to be equal.
    pivots : where inputs below one a channel may have a bias of their own, as functions that round
        by magnitude need.
    """

    function: Callable[[IntArray, IntArray], IntArray]
    slopes: np.ndarray[Any, Any]
    low: int | IntArray
    high: int | IntArray
    bottom: int
    top: int
    pivots: IntArray | None = None

    @property
    def ends(self) -> tuple[IntArray, IntArray]:
        """Smallest and largest input of each channel."""
        low, high = (np.broadcast_to(end, len(self.slopes)) for end in (self.low, self.high))
        return low, high


@dataclass(frozen=True)
class Bounds:
    """What one channel must do: each input of ``reached`` gives at least its level, each of
    ``missed`` less than its level."""

    levels: IntArray
    reached: IntArray
    missed_levels: IntArray
    missed: IntArray

    def sides(self, pivot: int, first: int, last: int) -> tuple[Bounds, Bounds]:
        """Find those whose input is below the pivot, and the others, of a function that rises from
        ``first`` to ``last``.

        What is reached below the pivot is so at the pivot, and what is missed from the pivot on is
        so before it: where a side has no step of its own, that alone says what it is.
        """
        reached, missed = self.reached < pivot, self.missed < pivot
        below = [
            self.levels[reached], self.reached[reached],
            self.missed_levels[missed], self.missed[missed],
        ]  # fmt: skip
        above = [
            self.levels[~reached], self.reached[~reached],
            self.missed_levels[~missed], self.missed[~missed],
        ]  # fmt: skip
        lowest_missed, highest_reached = above[2], below[0]
        if lowest_missed.size and pivot > first:
            below[2] = np.append(below[2], lowest_missed.min())
            below[3] = np.append(below[3], pivot - 1)
        if highest_reached.size and pivot <= last:
            above[0] = np.append(above[0], highest_reached.max())
            above[1] = np.append(above[1], pivot)
        return Bounds(*below), Bounds(*above)


@dataclass(frozen=True)
class Solution:
    """Multipliers and biases of all channels, their common shift, and the rounding of the shift.

    ``bias_below`` : biases of inputs below the pivots, where there are any.
    """

    mult: list[int]
    bias: list[int]
    shift: int
    rounding: Rounding
    bias_below: list[int] | None = None

    @property
    def multiplier_bits(self) -> int:
        """Width of the multipliers; none for a power of two common to all channels."""
        first = self.mult[0]
        if len(set(self.mult)) == 1 and first > 0 and first & (first - 1) == 0:
            return 0
        return max(abs(m).bit_length() for m in self.mult)


def bounds_of(functions: StepFunctions) -> list[Bounds]:
    """The bounds of every channel, found by bisection with the function itself.

    Raises UserError where there are more levels, or wider inputs, than can be searched.
    """
    low, high = functions.ends
    if max(-int(low.min()), int(high.max())) >= _MAX_INPUT:
        raise UserError(f"inputs {low.min()}..{high.max()} are too wide to prove anything about")
    channels = np.arange(len(functions.slopes))
    rising = functions.slopes >= 0
    first, last = np.where(rising, low, high), np.where(rising, high, low)
    ends = np.clip(
        functions.function(np.stack([first, last]), channels), functions.bottom, functions.top
    )
    most_levels = max(int(most) - int(least) for least, most in ends.T)
    if most_levels > MAX_LEVELS:
        raise UserError(f"{most_levels} levels are too many to prove", hint="quantize to fewer")
    out: list[Bounds] = []
    block = max(1, _BLOCK // max(1, most_levels))
    for start in range(0, len(channels), block):
        out += _bisected(functions, channels[start : start + block], ends.astype(np.int64))
    return out


def _bisected(functions: StepFunctions, channels: IntArray, ends: IntArray) -> list[Bounds]:
    rising = functions.slopes[channels] >= 0
    lows, highs = (end[channels] for end in functions.ends)
    first, sign = np.where(rising, lows, highs), np.where(rising, 1, -1)
    least, most = ends[0][channels], ends[1][channels]
    # Channels with fewer levels repeat their last one: bisecting it again is harmless.
    steps = np.arange(1, int(max(most - least)) + 1)[:, np.newaxis]
    levels = np.minimum(least + steps, most)
    # Steps from ``first``: after ``below`` the level is not reached, after ``above`` it is.
    below = np.zeros(levels.shape, np.int64)
    above = np.broadcast_to(highs - lows, levels.shape).astype(np.int64)
    while np.any(above - below > 1):
        middle = (below + above) // 2
        reached = functions.function(first + sign * middle, channels) >= levels
        above = np.where(reached, middle, above)
        below = np.where(reached, below, middle)
    out = []
    for column in range(len(channels)):
        count = int(most[column] - least[column])
        own = levels[:count, column]
        reached = first[column] + sign[column] * above[:count, column]
        missed = first[column] + sign[column] * below[:count, column]
        reached_levels = missed_levels = own
        # Ends that do not saturate are held from the other side as well.
        if least[column] > functions.bottom:
            reached_levels = np.append(own, least[column])
            reached = np.append(reached, first[column])
        if most[column] < functions.top:
            missed_levels = np.append(own, most[column] + 1)
            end = highs[column] if rising[column] else lows[column]
            missed = np.append(missed, end)
        out.append(Bounds(reached_levels, reached, missed_levels, missed))
    return out


def solve(
    functions: StepFunctions,
    bounds: list[Bounds],
    rounding: Rounding = Rounding.FLOOR,
    bits: int = MAX_MULT_BITS,
) -> Solution:
    """Multiply, add and shift with this rounding, equal to each channel; the smallest shift.

    Rounding down needs the least hardware, but what rounds toward or away from zero, or resolves
    ties by parity, may have no such form.

    Raises UserError naming the channel when there is none with multipliers of so many bits.
    """
    steepest = float(np.max(np.abs(functions.slopes)))
    shift = 0
    if 0 < steepest < 2.0 ** (bits - 1):
        # A flatter slope than the largest shift has a bit for changes nothing but at one step.
        shift = min(max(0, -int(np.floor(np.log2(steepest))) - 2), MAX_SHIFT)
    order, failed = list(range(len(bounds))), 0
    sides = _sides(functions, bounds)
    while shift <= MAX_SHIFT and steepest * 2.0**shift < 2.0 ** (bits - 1):
        found: dict[int, tuple[int, list[int]]] = {}
        for channel in order:
            fit = _fit(float(functions.slopes[channel]), sides[channel], shift, rounding)
            if fit is None:
                failed = channel
                break
            found[channel] = fit
        else:
            fits = [found[channel] for channel in range(len(bounds))]
            mults, biases = [m for m, _ in fits], [b[-1] for _, b in fits]
            bias_below = None if functions.pivots is None else [b[0] for _, b in fits]
            return Solution(mults, biases, shift, rounding, bias_below)
        if steepest == 0:
            break
        # The hardest channel is tried first at the next shift.
        order.remove(failed)
        order.insert(0, failed)
        shift += 1
    raise UserError(
        f"channel {failed} can not be requantized exactly with a multiplier of {bits} bits",
        hint="quantize to fewer bits, or round the batch norm's parameters to fewer",
    )


def _sides(functions: StepFunctions, bounds: list[Bounds]) -> list[tuple[Bounds, ...]]:
    """Find for each channel the bounds that share a bias."""
    if functions.pivots is None:
        return [(bound,) for bound in bounds]
    ends = zip(bounds, functions.pivots, *functions.ends, strict=True)
    return [bound.sides(int(pivot), int(low), int(high)) for bound, pivot, low, high in ends]


def _fit(
    slope: float, sides: tuple[Bounds, ...], shift: int, rounding: Rounding
) -> tuple[int, list[int]] | None:
    """A multiplier near the slope and a bias for each side, or None."""
    firsts = [
        [_first_numerators(levels, shift, rounding) for levels in (b.levels, b.missed_levels)]
        for b in sides
    ]

    def intervals(mult: int) -> list[tuple[int, int]]:
        pairs = zip(sides, firsts, strict=True)
        return [_bias_bounds(bounds, mult, *first) for bounds, first in pairs]

    def room(found: list[tuple[int, int]]) -> int:
        return min(high - low for low, high in found)

    mult = round(slope * 2.0**shift)
    found = intervals(mult)
    # The room for a bias is concave in the multiplier: climb while it grows, in strides that
    # double while they help, because few levels leave multipliers far from the slope.
    for direction in (1, -1):
        stride = 1
        while room(found) < 0 and stride:
            other = intervals(mult + direction * stride)
            if room(other) > room(found):
                mult, found, stride = mult + direction * stride, other, 2 * stride
            else:
                stride //= 2
    return (mult, [roundest(*pair) for pair in found]) if room(found) >= 0 else None


def _first_numerators(levels: IntArray, shift: int, rounding: Rounding) -> IntArray:
    """Find for each level the smallest n for which n / 2**shift is rounded to it or higher."""
    # Rounding doubles the rest, and adding products must be safe too.
    levels = int_array(levels, (_magnitude(levels) + 1) << (shift + 2))
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


def _bias_bounds(
    bounds: Bounds, mult: int, reached_from: IntArray, missed_from: IntArray
) -> tuple[int, int]:
    """Smallest and largest bias that keep every bound."""
    lows = _less_products(reached_from, bounds.reached, mult)
    highs = _less_products(missed_from, bounds.missed, mult) - 1
    low = int(lows.max()) if len(lows) else None
    high = int(highs.min()) if len(highs) else None
    if low is None and high is None:
        return 0, 0
    if low is None:
        assert high is not None
        return min(0, high), high
    return low, max(0, low) if high is None else high


def _less_products(numerators: IntArray, inputs: IntArray, mult: int) -> IntArray:
    largest = _magnitude(numerators) + abs(mult) * _magnitude(inputs) + 1
    numerators, inputs = int_array(numerators, largest), int_array(inputs, largest)
    return numerators - mult * inputs


def _magnitude(values: IntArray) -> int:
    return max(abs(int(values.max())), abs(int(values.min()))) if len(values) else 0


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
    functions: StepFunctions, bounds: list[Bounds], op: ops.Requantize
) -> tuple[int, int] | None:
    """(channel, input) where a requantization is not its step function; None proves them equal.

    Both sides are evaluated at each threshold, its neighbour and the ends of the input range.
    Between these the function is constant, and so is any monotone function that equals it there.
    """
    qtype = op.type
    # Before overflow, as the function is: what saturates is cut to bottom..top on both sides.
    wide = QType(True, 128, 0, qtype.rounding, Overflow.WRAP)
    lows, highs = functions.ends
    for channel, bound in enumerate(bounds):
        low, high = lows[channel], highs[channel]
        beside = [] if functions.pivots is None else [functions.pivots[channel] - n for n in (1, 0)]
        ends = np.clip([low, high, *beside], low, high)
        inputs = np.unique(np.concatenate([bound.reached, bound.missed, ends])).astype(np.int64)
        column, one = inputs[:, np.newaxis], np.array([channel])
        mult, shift = (a[one] if a.size > 1 else a for a in (op.mult, op.shift))
        got = requantize(column, mult, op.biases(column, one), shift, wide)[:, 0]
        wanted = functions.function(column, one)[:, 0]
        differs = np.clip(got, functions.bottom, functions.top) != np.clip(
            wanted, functions.bottom, functions.top
        )
        if np.any(differs):
            return channel, int(inputs[np.argmax(differs)])
    return None
