"""Vectors for what normalizes them."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Shape

from tests.helpers.shapes import limits


def vectors(shape: Shape, channels: int, seed: int, anywhere: int = 4) -> list[list[int]]:
    """All equal, one winner, the winner last, at both ends, close together; so many anywhere."""
    rng = np.random.default_rng(seed)
    low, high = limits(shape)
    rows = [
        np.full(channels, low),
        np.full(channels, high),
        np.where(np.arange(channels) == 0, high, low),
        np.where(np.arange(channels) == channels - 1, high, low),
        low + np.arange(channels) % (high - low + 1),
        rng.integers(max(low, high - 6), high + 1, channels),
    ]
    rows += [rng.integers(low, high + 1, channels) for _ in range(anywhere)]
    return [row.tolist() for row in rows]
