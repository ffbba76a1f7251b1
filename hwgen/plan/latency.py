"""Pipeline latencies of the gateware, in cycles, as the event model needs them.

They are stated here a second time on purpose: a test holds each against the gateware.
"""

from __future__ import annotations

ROM = 2
"""Memory read and output register."""
STREAM_POOL = 2
ARGMAX = 1


def adder_tree(simd: int) -> int:
    """Registered levels of a tree that sums four operands a level."""
    levels = 0
    while simd > 1:
        simd = -(-simd // 4)
        levels += 1
    return levels


def mac(simd: int) -> int:
    """From the issue of operands to the finished accumulator: ROM, product, tree, sum."""
    return ROM + 2 + adder_tree(simd)


def requantizer(multiplies: bool) -> int:
    """From accumulators to results: parameter ROM, product (two), bias, round, saturate."""
    return ROM + 3 + (2 if multiplies else 0)


def window_pool(taps: int) -> int:
    """Operand register and a binary tree."""
    return 1 + (taps - 1).bit_length()
