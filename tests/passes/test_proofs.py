"""What was replaced is told with what it became."""

from __future__ import annotations

import numpy as np

from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling
from hwgen.passes.proofs import replacements

from .networks import chain

BYTE = QType(True, 8, 2, Rounding.HALF_UP, Overflow.SATURATE)
TEN = QType(True, 10, 2, Rounding.HALF_UP, Overflow.SATURATE)


def test_each_kind_is_told() -> None:
    x = Tensor("x", (4, 4, 2), TEN)
    rescale = ops.Rescale(Scaling.TFLM_DOUBLE, np.array([1 << 30]), np.array([32]), TEN)
    narrow = ops.Rescale(Scaling.TFLM_DOUBLE, np.array([1 << 30]), np.array([31]), BYTE)
    graph = chain(
        x,
        ("norm", ops.BatchNorm(np.array([0.75, -1.25]), np.zeros(2), TEN)),
        ("average", ops.AvgPool((3, 3), (1, 1), type=TEN)),
        ("rescale", rescale),
        ("pool", ops.MaxPool((1, 1), (1, 1))),
        ("narrow", ops.Requantize.scaled(BYTE, shift=3)),
        ("table", narrow),
        ("y", ops.Flatten()),
    )
    found = {r.before.name: r for r in replacements(graph)}
    assert set(found) == {"norm", "average", "rescale", "table"}
    assert all(r.channels == 2 for r in found.values())
    kinds = {name: [type(n.op) for n in r.after] for name, r in found.items()}
    assert kinds == {
        "norm": [ops.Requantize],
        "average": [ops.SumPool, ops.Requantize],
        "rescale": [ops.Requantize],
        "table": [ops.MultiThreshold],
    }
    assert {name: r.divisor for name, r in found.items() if r.divisor} == {"average": 9}
    assert found["table"].x.name == "narrow" and found["rescale"].x.name == "average"


def test_nothing_is_told_of_integers() -> None:
    x = Tensor("x", (4, 4, 2), BYTE)
    assert replacements(chain(x, ops.MaxPool((2, 2), (2, 2)), ops.Relu())) == []
