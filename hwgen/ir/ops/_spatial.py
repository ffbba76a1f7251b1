"""What ops with a sliding window share: padding rules, output sizes, window views."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import UserError
from ...numeric import ceil_div

Pads = tuple[tuple[int, int], tuple[int, int]]
Pair = tuple[int, int]


def resolve_padding(padding: Any, kernel: Pair, stride: Pair, size: Pair) -> Pads:
    """((top, bottom), (left, right)) of a padding attribute.

    "same" is TensorFlow's rule: ceil(size / stride) outputs, the odd element of padding at the
    bottom and right.
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        pads = []
        for k, s, n in zip(kernel, stride, size, strict=True):
            total = max(0, (ceil_div(n, s) - 1) * s + k - n)
            pads.append((total // 2, total - total // 2))
        return pads[0], pads[1]
    return padding


def output_size(size: Pair, kernel: Pair, stride: Pair, pads: Pads) -> Pair:
    """Rows and columns of the output. Raises UserError when the window does not fit."""
    out = tuple(
        (n + sum(p) - k) // s + 1 if n + sum(p) >= k else 0
        for n, k, s, p in zip(size, kernel, stride, pads, strict=True)
    )
    if min(out) < 1:
        raise UserError(f"kernel {kernel} does not fit into the input of {size} rows and columns")
    for pad, k in zip(pads, kernel, strict=True):
        if max(pad) >= k:
            raise UserError(f"padding {pads} is not smaller than the kernel {kernel}")
    return out  # type: ignore[return-value]


def windows(
    x: np.ndarray[Any, Any], kernel: Pair, stride: Pair, pads: Pads, fill: int
) -> np.ndarray[Any, Any]:
    """View of shape (frames, rows, columns, kernel rows, kernel columns, channels)."""
    if any(max(p) for p in pads):
        x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(1, 2))
    view = view[:, :: stride[0], :: stride[1]]
    return view.transpose(0, 1, 2, 4, 5, 3)


def window_counts(size: Pair, kernel: Pair, stride: Pair, pads: Pads) -> np.ndarray[Any, Any]:
    """How many real (not padded) elements each window holds, shape (rows, columns)."""
    ones = np.ones((1, *size, 1), np.int64)
    return windows(ones, kernel, stride, pads, 0).sum(axis=(0, 3, 4, 5))
