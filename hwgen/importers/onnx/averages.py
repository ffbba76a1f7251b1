"""Averages of windows, as ONNX Runtime's QLinearAveragePool computes them.

It makes real numbers of the integers, adds them one after the other in float32, divides, and adds
the zero point before it rounds. What such a sum rounds to depends on its parts, not on the sum of
the integers alone. A bound of that error says whether it can ever change a result.
"""

from __future__ import annotations

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...numeric import to_integers
from .fusion import is_power_of_two, scale_of
from .real import Quantizer
from .work import Value

_UNIT = 2.0**-24
"""The largest relative error of one operation in float32."""


def window_quantizer(found: Value, by: Quantizer) -> Quantizer:
    """What makes integers of the averages of windows.

    Raises UserError where equal sums of integers may give different results.
    """
    scale, zero = np.float32(scale_of(by.type)), np.float32(by.type.zero_point)

    def codes(values: Array) -> Array:
        rounded = np.rint((values / scale).astype(np.float32) + zero)
        return to_integers(np.clip(rounded.astype(np.float64), by.type.min, by.type.max))

    assert found.count is not None
    low, high = found.edge.range
    sums = np.arange(low, high + 1)
    exact = is_power_of_two(found.scale) and high - low < 1 << 24
    if not exact and np.any(_is_open(sums, found, float(scale), float(zero), by)):
        raise UserError(
            "ONNX Runtime adds its numbers in float32, so that equal sums may be rounded "
            "differently at this scale",
            hint="give its input a scale that is a power of two (quantize_static does by its extra "
            "option TensorQuantOverrides)",
        )
    return Quantizer(by.type, codes, exact=False)


def _is_open(sums: Array, found: Value, scale: float, zero: float, by: Quantizer) -> Array:
    """Whether the error of the runtime can change the result of each sum."""
    count = found.count or 1
    unit = float(found.scale[0])
    low, high = found.edge.range[0] / count, found.edge.range[1] / count
    # Every product and every partial sum is rounded once.
    reach = sums.astype(np.float64) if low == 0 else np.full(len(sums), count * max(-low, high))
    for taken in range(2, count + 1):
        least = np.maximum(taken * low, sums - (count - taken) * high)
        most = np.minimum(taken * high, sums - (count - taken) * low)
        reach = reach + np.maximum(np.abs(least), np.abs(most))
    real = sums * (unit / count / scale)
    # And so are quotients and the zero point's addition; a little more is always enough.
    error = 1.01 * _UNIT * (reach * (unit / count / scale) + 3 * np.abs(real) + abs(zero))
    ends = [
        np.clip(np.rint(real + zero + sign * error), by.type.min, by.type.max) for sign in (-1, 1)
    ]
    return ends[0] != ends[1]
