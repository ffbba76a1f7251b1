"""Roundings of the tiled engine, over Python integers of any size."""

from __future__ import annotations

import numpy as np

from ..aliases import Array
from .isa import DOUBLE_BITS, SINGLE_BITS, Round


def rounded(value: Array, shift: Array, how: Round) -> Array:
    """Python integers divided by ``2**shift`` and rounded; see ``Round``."""
    if how is Round.FLOAT:
        value, how = _nearest(value, _excess(value)) << _excess(value), Round.HALF_EVEN
    if how is Round.HALF_EVEN:
        return _nearest(value, shift)
    floor = value >> shift
    if how is Round.FLOOR:
        return floor
    negative, rest = value < 0, value - (floor << shift)
    if how is Round.DOUBLE:
        rest = np.where(shift > DOUBLE_BITS, rest >> DOUBLE_BITS << DOUBLE_BITS, 0)
    twice, whole = 2 * rest, np.left_shift(np.ones_like(value), shift)
    up = {
        Round.HALF_AWAY: (twice > whole) | (twice == whole) & ~negative,
        Round.DOUBLE: (twice > whole) | (twice == whole) & ~negative,
        Round.HALF_TO_ZERO: (twice > whole) | (twice == whole) & negative,
        Round.TO_ZERO: (rest > 0) & negative,
        Round.FROM_ZERO: (rest > 0) & ~negative,
    }[how]
    return floor + up.astype(bool).astype(int)


def _nearest(value: Array, shift: Array) -> Array:
    """The nearest integer, at a tie the even one."""
    half = np.where(shift > 0, np.left_shift(np.ones_like(value), shift) >> 1, 1)
    return (value + half - 1 + (value >> shift & 1)) >> shift


def _excess(value: Array) -> Array:
    """The bits of values beyond a float32's significand."""
    bits = np.vectorize(lambda v: max(0, int(v).bit_length() - SINGLE_BITS), otypes=[object])
    return bits(value)
