"""Pipeline latencies of the gateware, in cycles, as the event model needs them.

They are stated here a second time on purpose: a test holds each against the gateware.
"""

from __future__ import annotations

from ..numeric import ceil_div

SEEN = 2
"""Cycles from a beat's writing to the ring to asking for it at the earliest."""
RING = 3
"""Cycles from asking for a column to its place in the ring's queue: address, memory, register."""
RING_QUEUE = 5
WINDOW = 2
"""Cycles from the beat that completes a window to the window's queue: beat and shift registers."""
FIRST_WINDOW = SEEN + RING + 1 + WINDOW + 1
"""Cycles from the beat that a window waits for to the window: asked for, read, accepted, queued."""
TAPS = 5
"""Cycles from a fold of taps read straight from the ring to the MAC array."""
MULTIPLY = 3
"""Zero points taken away, product of two streams."""
STREAM_POOL = 3
ARGMAX = 1
SOFTMAX = 10
"""Cycles from asking for a result of a softmax to its queue: memory, difference, exponential (two),
product (three), rounded product, shift, limit."""
SOFTMAX_PAUSE = 46
"""Cycles from asking for the last element of a softmax's sum to asking for the first of its
results: exponential (four), part, sum; four shifts; seven products of five cycles; the
reciprocal."""

SOFTMAX_TABLE = 38
"""Cycles from asking for a result of a softmax in float32 to its queue: memory, difference, table
(two), quotient or product (27), rounding (two); places, shift (two), integer, limits."""
SOFTMAX_TABLE_EVERY = 27
"""Cycles of a quotient or product: operands, a bit in each of 26."""
SOFTMAX_TABLE_SUM = 6
"""Cycles of an addition: order, shift (two), sum, rounding (two)."""
SOFTMAX_TABLE_INVERSE = 29
"""Cycles of the inverse of a sum: quotient, rounding (two)."""


def adder_tree(simd: int) -> int:
    """Registered levels of a tree that sums pairs, then four operands a level."""
    if simd == 1:
        return 0
    sums, levels = ceil_div(simd, 2), 1
    while sums > 1:
        sums, levels = ceil_div(sums, 4), levels + 1
    return levels


def rom(words: int) -> int:
    """Memory read, output register, and a registered multiplexer of banks of 2048 words."""
    banks = ceil_div(words, 2048)
    levels = 0
    while banks > 1:
        banks = ceil_div(banks, 4)
        levels += 1
    return 2 + levels


def mac(simd: int) -> int:
    """Cycles from operands to the finished accumulator: operands, product, tree, sum."""
    return 3 + adder_tree(simd)


def requantizer(multiplies: bool, channels: int) -> int:
    """Cycles from accumulators to results: parameter ROM, product (3), bias, round, saturate."""
    return rom(channels) + 3 + (3 if multiplies else 0)


def rescale(channels: int, precision: int, narrows: bool) -> int:
    """A runtime's own rule: parameter ROM, bias, product (three), and the rounding.

    precision : bits of a float's significand, 0 for fixed point; narrows : whether an input is
    rounded to it first.
    """
    return rom(channels) + 4 + (5 + narrows if precision else 3)


def softmax(channels: int) -> tuple[int, int]:
    """Cycles from taking a vector's last element to asking for its first result: the pass that sums
    exponentials, the reciprocal. And the interval: a vector is taken, summed and given."""
    gap = channels + SOFTMAX_PAUSE
    return gap, 2 * channels - 1 + gap


def softmax_table(channels: int, inverse: bool) -> tuple[int, int]:
    """The same two of a softmax in float32, whose results and next vector come every
    SOFTMAX_TABLE_EVERY cycles; inverse : the sum is inverted first."""
    gap = SOFTMAX_TABLE_SUM * channels + (SOFTMAX_TABLE_INVERSE if inverse else 0) + 1
    return gap, channels - 1 + gap + SOFTMAX_TABLE_EVERY * channels


def window_pool(taps: int) -> int:
    """Operand register and a binary tree."""
    return 1 + (taps - 1).bit_length()


def multi_threshold(width: int, rows: int, steps: int) -> int:
    """A table where few bits index it, else a comparison for each level of a search, and values."""
    if rows == 1 and width <= 11:
        return rom(1 << width)
    levels = steps.bit_length()
    return sum(rom(rows << n) + 1 for n in range(levels)) + rom(1 << levels)


def cast(beats: int, types: int) -> int:
    """The number of an element's type, the type's bounds (and zero's), rounding, overflow."""
    return rom(beats) + rom(types + 1) + 2
