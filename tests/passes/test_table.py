"""Functions of few integers become tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling
from hwgen.passes.table import tabulate

from .networks import chain
from .promises import kept

BYTE = QType(True, 8, 0, Rounding.HALF_UP, Overflow.SATURATE)
NINE = QType(True, 9, 0, Rounding.HALF_UP, Overflow.SATURATE)
X = Tensor("x", (4, 4, 2), BYTE)


def rescale(qtype: QType = BYTE, mult: Any = 1 << 30) -> ops.Rescale:
    mult = np.atleast_1d(mult)
    return ops.Rescale(Scaling.TFLM_DOUBLE, mult, np.array([32]), qtype, offset=3)


def test_a_chain_becomes_one_table_of_the_last_ones_name() -> None:
    clip = ops.Requantize.identity(X, (-20, 100))
    after = kept(tabulate, chain(X, ("a", clip), ("b", rescale(NINE)), ("y", ops.Relu())))
    (node,) = after.nodes
    assert node.name == "y" and isinstance(node.op, ops.MultiThreshold)
    assert node.op.values.size == 256 and after.tensors["y"].type == NINE


@pytest.mark.parametrize(
    ("x", "layers"),
    [
        (Tensor("x", (4, 4, 2), NINE), [rescale()]),  # many integers
        (X, [rescale(mult=[1 << 30, 3 << 28])]),  # channels differ
        (X, [ops.Requantize.scaled(BYTE, shift=1), ops.Relu()]),  # no rule of a runtime
    ],
)
def test_others_stay(x: Tensor, layers: list[Any]) -> None:
    graph = chain(x, *layers)
    assert kept(tabulate, graph).nodes == graph.nodes


def test_a_chain_ends_where_another_reads() -> None:
    graph = chain(X, ("a", rescale()), ("b", ops.MaxPool((2, 2), (2, 2))), ("y", rescale()))
    assert [type(n.op) for n in kept(tabulate, graph).nodes] == [
        ops.MultiThreshold, ops.MaxPool, ops.MultiThreshold,
    ]  # fmt: skip
