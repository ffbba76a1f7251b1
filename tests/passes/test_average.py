"""Averages as sums and requantizations: equal on every sum."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, execute, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import legalize
from hwgen.passes.average import lower_avg_pool

from .networks import chain
from .promises import kept

S5 = QType(True, 5, 2, Rounding.HALF_EVEN, Overflow.SATURATE)
X = Tensor("x", (5, 6, 2), S5)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("divisor", [2, 3, 5, 6, 7, 9, 12])
def test_averages_are_equal_on_every_sum(rounding: Rounding, divisor: int) -> None:
    x = Tensor("x", (divisor, 1, 1), QType(True, 4, 1, Rounding.FLOOR, Overflow.WRAP))
    for frac in (0, 1, 3):
        out = QType(True, 7, frac, rounding, Overflow.SATURATE)
        pool = ops.AvgPool((divisor, 1), (divisor, 1), type=out)
        graph = Graph("average", (x,), (Node("y", pool, ("x",)),), ("y",)).verify()
        sums = range(-8 * divisor, 7 * divisor + 1)
        values = np.array([np.array_split(np.zeros(divisor, int) + 0, 1)[0] for _ in sums])
        for row, total in zip(values, sums, strict=True):
            share, rest = divmod(total, divisor)
            row[:] = share
            row[:rest] += 1
        x_frames = values.reshape(-1, divisor, 1, 1)
        legal = legalize(graph)
        assert np.array_equal(
            execute(legal, {"x": x_frames})["y"], execute(graph, {"x": x_frames})["y"]
        )


@pytest.mark.parametrize(
    ("kernel", "padding", "becomes"),
    [
        ((2, 2), "valid", [ops.SumPool, ops.Requantize]),
        ((3, 3), "valid", [ops.SumPool, ops.Requantize]),
        # Ties of an even window that is no power of two: a quotient with more bits first.
        ((3, 2), "valid", [ops.SumPool, ops.Requantize, ops.Requantize]),
        # Windows over the border have divisors of their own.
        ((3, 3), "same", [ops.SumPool, ops.Flatten, ops.Requantize, ops.Reshape, ops.Requantize]),
    ],
)
def test_what_an_average_becomes(
    kernel: tuple[int, int], padding: str, becomes: list[type[ops.Pool]]
) -> None:
    graph = chain(X, ("y", ops.AvgPool(kernel, kernel, padding, type=S5)))
    after = kept(lower_avg_pool, graph)
    assert [type(node.op) for node in after.nodes] == becomes
    assert after.nodes[-1].name == "y"


def test_a_division_that_takes_too_wide_a_multiplier() -> None:
    x = Tensor("x", (7, 1, 1), QType(True, 32, 0, Rounding.FLOOR, Overflow.SATURATE))
    pool = ops.AvgPool((7, 1), (7, 1), type=x.type)
    with pytest.raises(UserError, match=r"layer 'y': dividing sums of .*; quantize the average's"):
        lower_avg_pool(chain(x, ("y", pool)))
