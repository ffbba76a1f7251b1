"""Inputs on which importers are held against runtimes: exact integers, the same everywhere.

White noise alone saturates the last layers of a network, so every second frame is a smooth field
of one of several contrasts. Only integer arithmetic is used: a digest of a runtime's outputs is
of use on another machine too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import isqrt
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

CONTRASTS = (12, 30, 60, 90)
FRAMES = 100
SEED = 7


def smooth(rng: np.random.Generator, shape: Sequence[int], contrast: int) -> Array:
    """A field around zero whose root mean square is about ``contrast``."""
    values = rng.integers(-1000, 1001, size=tuple(shape))
    for axis, length in enumerate(shape):
        reach = length // 6
        if reach:
            moved = [np.roll(values, step, axis) for step in range(-reach, reach + 1)]
            values = np.sum(moved, axis=0)
    size = isqrt(int((values * values).sum()) // values.size) or 1
    return values * contrast // size


def frames(shape: Sequence[int], low: int, high: int, count: int, seed: int) -> Array:
    """(count, *shape) integers of ``low..high``."""
    rng = np.random.default_rng(seed)
    out = []
    for n in range(count):
        if n % 2:
            field = smooth(rng, shape, CONTRASTS[n // 2 % len(CONTRASTS)])
            out.append(np.clip(field + (low + high + 1) // 2, low, high))
        else:
            out.append(rng.integers(low, high + 1, size=tuple(shape)))
    return np.stack(out)


def digest(outputs: Sequence[Array]) -> str:
    """SHA-256 of integer outputs, whatever their shapes and widths."""
    hashed = hashlib.sha256()
    for output in outputs:
        hashed.update(np.ascontiguousarray(output.reshape(-1), "<i4").tobytes())
    return hashed.hexdigest()
