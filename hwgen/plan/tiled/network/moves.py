"""Layers that move values, as convolutions: slices, borders, groups, repeated pixels."""

from __future__ import annotations

import numpy as np

from ....aliases import Array
from ....ir import ops


def with_zeros(weights: Array, groups: int) -> Array:
    """Weights (rows, columns, channels of a group, outputs) of all channels in: those of other
    groups are 0."""
    rows, columns, channels, outputs = weights.shape
    full = np.zeros((rows, columns, groups * channels, outputs), weights.dtype)
    for group in range(groups):
        ins = slice(group * channels, (group + 1) * channels)
        outs = slice(group * outputs // groups, (group + 1) * outputs // groups)
        full[:, :, ins, outs] = weights[..., outs]
    return full


def selection(channels: int, start: int, size: int, step: int) -> Array | None:
    """Weights (1, 1, channels, size) that keep some channels; None where that is all of them."""
    if size == channels:
        return None
    weights = np.zeros((1, 1, channels, size), np.int64)
    weights[0, 0, start + step * np.arange(size), np.arange(size)] = 1
    return weights


def of_image(op: ops.Slice) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Start, size and step of rows, columns and channels."""
    more = 3 - len(op.start)
    return (0,) * more + op.start, (1,) * more + op.size, (1,) * more + op.step
