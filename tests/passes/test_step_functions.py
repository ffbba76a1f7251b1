"""Lines through step functions, and the proof that they are equal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling
from hwgen.passes.batch_norm import folded
from hwgen.passes.batch_norm import step_functions as norm_functions
from hwgen.passes.rescale import step_functions
from hwgen.passes.step_functions import bounds_of, first_difference, roundest, solve


def test_a_side_of_a_pivot_without_a_step() -> None:
    """Above its pivot this channel is constant: its bias there still has to keep it there."""
    out = QType(True, 5, 0, Rounding.HALF_AWAY, Overflow.SATURATE)
    op = ops.Rescale(
        Scaling.TFLM_DOUBLE, np.array([1084147015]), np.array([41]), out, np.array([554]), 3
    )
    functions = step_functions(op, (np.array([-28050], object), np.array([0], object)), True)
    found = solve(functions, bounds_of(functions))
    assert found.bias_below is not None
    x = np.arange(-28050, 1)
    bias = np.where(x < -554, found.bias_below[0], found.bias[0])
    edge = Tensor("x", (1,), QType(True, 16, 0, Rounding.FLOOR, Overflow.SATURATE))
    want = op.golden([x[:, np.newaxis]], [edge])[:, 0]
    np.testing.assert_array_equal(np.clip((x * found.mult[0] + bias) >> found.shift, -16, 15), want)


def test_a_wrong_line_is_found() -> None:
    """Each channel's bias off by as much as changes a step."""
    x = Tensor("x", (2,), QType(True, 9, 4, Rounding.FLOOR, Overflow.SATURATE))
    out = QType(True, 6, 2, Rounding.HALF_EVEN, Overflow.SATURATE)
    norm = ops.BatchNorm(np.array([0.61, -0.37]), np.array([0.2, 0.7]), out)
    functions = norm_functions(norm, x)
    bounds = bounds_of(functions)
    good = folded(norm, x)
    assert first_difference(functions, bounds, good) is None
    unit = 1 << int(good.shift[0])
    for channel in (0, 1):
        for error in (unit, -unit):
            wrong = replace(good, bias=good.bias + error * (np.arange(2) == channel))
            found = first_difference(functions, bounds, wrong)
            assert found is not None and found[0] == channel
            value = np.array([[found[1]] * 2])
            results = wrong.golden([value], [x]), norm.golden([value], [x])
            assert results[0][0, channel] != results[1][0, channel]


def test_the_roundest_integer() -> None:
    def zeros(value: int) -> int:
        return (value & -value).bit_length() if value else 99

    for low in range(-40, 41):
        for high in range(low, 41):
            found = roundest(low, high)
            assert low <= found <= high
            assert zeros(found) == max(map(zeros, range(low, high + 1)))
