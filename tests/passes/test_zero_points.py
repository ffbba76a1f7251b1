"""Zero points leave the products."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import Accumulator, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes.zero_points import zero_points_into_biases

from .networks import chain
from .promises import kept

SCALED = QType(True, 8, 0, Rounding.HALF_UP, Overflow.SATURATE, 0.25, -7)
PLAIN = QType(True, 8, 0, Rounding.HALF_UP, Overflow.SATURATE)
X = Tensor("x", (3, 4, 2), SCALED)


def test_the_bias_takes_the_constant() -> None:
    """Padding holds the zero point, so that the constant is the same at the border."""
    conv = ops.Conv2D(np.arange(-8, 10).reshape(3, 3, 2, 1), PLAIN, padding="same")
    after = kept(zero_points_into_biases, chain(X, ("y", conv)))
    (node,) = after.nodes
    assert isinstance(node.op, ops.Conv2D) and node.op.bias is not None
    assert node.op.raw and node.op.bias.tolist() == [7 * 9]
    assert zero_points_into_biases(after).nodes == after.nodes


def test_a_bias_is_added_to() -> None:
    dense = ops.Dense(np.array([[1, 2]] * 24), PLAIN, bias=np.array([5, -5]))
    node: Node = kept(zero_points_into_biases, chain(X, ops.Flatten(), dense)).nodes[-1]
    assert isinstance(node.op, ops.Dense) and node.op.bias is not None
    assert node.op.bias.tolist() == [5 + 7 * 24, -5 + 7 * 48]


def test_products_of_plain_integers_stay() -> None:
    graph = chain(Tensor("x", (24,), PLAIN), ops.Dense(np.ones((24, 2), np.int64), PLAIN))
    assert zero_points_into_biases(graph).nodes == graph.nodes


def test_a_given_accumulator_has_no_zero_point() -> None:
    """The graph refuses it, so that no pass has to."""
    acc = Accumulator(QType(True, 16, 0, Rounding.FLOOR, Overflow.SATURATE), 1)
    dense = ops.Dense(np.ones((24, 2), np.int64), PLAIN, accumulator=acc)
    with pytest.raises(UserError, match="needs weights with fractional bits, not a scale"):
        chain(X, ops.Flatten(), dense)
