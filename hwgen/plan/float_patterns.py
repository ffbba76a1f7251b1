"""What a softmax unit in float32 finds in its table: patterns of IEEE 754, made of exact integers.

Golden multiplies in float32; here products are rounded anew, so that a fault in one of them shows.
"""

from __future__ import annotations

import numpy as np

from ..ir import ops

FRACTION = 23
"""Stored bits of a significand."""
INFINITE = 255 << FRACTION


def powers_of(op: ops.SoftmaxTable) -> tuple[int, ...]:
    """The exponential of each difference to the largest element, 0, 1, ... ."""
    # A zero may have a sign.
    return tuple((op.powers.view(np.uint32) & 0x7FFFFFFF).tolist())


def dividends_of(op: ops.SoftmaxTable) -> tuple[int, ...] | None:
    """Each exponential times the steps of the output; None where there are none."""
    return None if op.steps is None else tuple(times(p, op.steps) for p in powers_of(op))


def times(pattern: int, factor: int) -> int:
    """The pattern of a float times an integer of up to 24 bits, ties to even.

    Raises ValueError where the product is more than a float holds.
    """
    exponent, fraction = pattern >> FRACTION, pattern & ((1 << FRACTION) - 1)
    product = (fraction | (exponent > 0) << FRACTION) * factor << max(0, exponent - 1)
    drop = max(0, product.bit_length() - FRACTION - 1)
    kept, rest = product >> drop, product & ((1 << drop) - 1)
    kept += 2 * rest + kept % 2 > 1 << drop
    # With its first bit the significand adds one to the exponent, and so does a carry.
    result = (drop << FRACTION) + kept
    if result >= INFINITE:
        raise ValueError(f"{factor} times {pattern:#x} is more than a float32 holds")
    return result
