"""Functions of one or two stored bytes, as tables whose entries are added and rounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....contract.isa import TABLE_FRACTION, TABLE_WORDS
from ....ir import Tensor

Ints = np.ndarray
_ONE = 1 << TABLE_FRACTION
_LIMIT = 1 << 31
_FAR = 1 << 40
"""Beyond every sum of two entries."""
_ROUNDS = 4 * TABLE_WORDS
"""Rounds after which bounds that still move can not be kept: no chain of them has more steps."""


@dataclass(frozen=True, eq=False)
class Tables:
    """What comes behind the requantizers: ``clip(round((first[y] + other[x]) / 2**20) + offset)``.

    half_even : ties go to the even integer; else it rounds down.
    second : the stored tensor that goes through the second table; None: there is none.
    """

    first: Ints
    half_even: bool
    offset: int
    low: int
    high: int
    second: str | None = None
    other: Ints | None = None


def codes(edge: Tensor, signed: bool, bits: int) -> Ints:
    """The integer of every byte, of which so many bits count, signed or not; those that do not
    occur mean nothing."""
    bits = min(bits, (TABLE_WORDS - 1).bit_length())
    values = np.arange(TABLE_WORDS) & (1 << bits) - 1
    values = values - (values >> bits - 1 << bits) if signed else values
    return np.clip(values, edge.type.min, edge.type.max)


def of_one(results: Ints) -> Tables:
    """A function of a byte, given by its 256 results."""
    ends = int(results.min()), int(results.max())
    return Tables(results.astype(np.int64) << TABLE_FRACTION, False, 0, *ends)


def of_window(results: Ints, low: int) -> tuple[Tables, int] | None:
    """A function of integers from ``low`` on, and the first of the 256 integers among which it
    changes; None where it changes among more. The others are to be clipped to these."""
    changes = np.flatnonzero(np.diff(results))
    first = int(changes[0]) if len(changes) else 0
    if len(changes) and changes[-1] + 1 - first >= TABLE_WORDS:
        return None
    # A byte is the integer modulo 256.
    places = (np.arange(TABLE_WORDS) - (low + first)) % TABLE_WORDS
    return of_one(results[np.minimum(first + places, len(results) - 1)]), low + first


def of_two(results: Ints, middle: int, second: str) -> Tables | None:
    """A function of two bytes, given by its results (256, 256), those of the first one in rows;
    None where it is no rounded sum of two functions.

    Results are clipped to the smallest and the largest one. ``middle`` : the result about which
    ties may go to the even integer. Those that go away from it need no rounding of their own: a
    slope that is a little too large does the same.
    """
    ends = int(results.min()), int(results.max())
    for half_even in (False, True):
        offset = middle if half_even else 0
        least, most = _bounds(results.astype(np.int64) - offset, half_even)
        least = np.where(results == ends[0], -_FAR, least)
        most = np.where(results == ends[1], _FAR, most)
        found = _sums_between(least, most)
        if found is not None:
            return Tables(found[0], half_even, offset, *ends, second, found[1])
    return None


def _bounds(value: Ints, half_even: bool) -> tuple[Ints, Ints]:
    """Smallest and largest sum of entries that is rounded to each value."""
    if not half_even:
        return value * _ONE, (value + 1) * _ONE - 1
    half, outside = _ONE // 2, value & 1
    return value * _ONE - half + outside, value * _ONE + half - outside


def _sums_between(least: Ints, most: Ints) -> tuple[Ints, Ints] | None:
    """a and b of 32 bits with least[n, m] <= a[n] + b[m] <= most[n, m]; None where there are none.

    Differences of a and -b are bounded from above, which Bellman and Ford's relaxation solves
    (Cormen et al., Introduction to Algorithms, difference constraints).
    """
    a = minus_b = np.zeros(TABLE_WORDS, np.int64)
    for _ in range(_ROUNDS):
        new_a = np.minimum(a, (minus_b + most).min(axis=1))
        new_b = np.minimum(minus_b, (new_a[:, None] - least).min(axis=0))
        if (new_a == a).all() and (new_b == minus_b).all():
            break
        a, minus_b = new_a, new_b
    else:
        return None
    b = -minus_b
    # What is added to one may be taken from the other: both then need few bits.
    move = (int(a.max()) + int(a.min()) - int(b.max()) - int(b.min())) // 4
    a, b = a - move, b + move
    fits = all(t.min() >= -_LIMIT and t.max() < _LIMIT for t in (a, b))
    return (a, b) if fits else None
