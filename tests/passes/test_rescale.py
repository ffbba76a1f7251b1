"""Rules of runtimes as requantizations: equal on every input, or left as they are."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling
from hwgen.passes.rescale import channel_ranges, reduce_rescale

from .networks import chain

BYTE = QType(True, 8, 0, Rounding.HALF_UP, Overflow.SATURATE)
X = Tensor("x", (2,), QType(True, 13, 0, Rounding.FLOOR, Overflow.SATURATE))
EVERY = np.arange(X.type.min, X.type.max + 1)[:, np.newaxis].repeat(2, axis=1)


@pytest.mark.parametrize("scaling", list(Scaling))
def test_what_replaces_a_rule_equals_it_on_every_input(scaling: Scaling) -> None:
    reduced = 0
    for seed in range(12):
        rng = Random(seed)
        top = scaling.precision
        mult = np.array([rng.randint(1 << (top - 1), (1 << top) - 1) for _ in range(2)])
        shift = np.array([top + rng.randint(3, 6) for _ in range(2)])
        bias = np.array([rng.randint(-500, 500) for _ in range(2)])
        op = ops.Rescale(scaling, mult, shift, BYTE, bias, rng.randint(-9, 9))
        graph = chain(X, ("y", op))
        (after,) = reduce_rescale(graph).verify().nodes
        if not isinstance(after.op, ops.Requantize):
            assert after is graph.nodes[0], f"seed {seed}"
            continue
        reduced += 1
        assert after.op.type == graph.tensors["y"].type or after.op.type.rounding is Rounding.FLOOR
        want = op.golden([EVERY], [X])
        assert np.array_equal(after.op.golden([EVERY], [X]), want), f"seed {seed}"
    assert reduced > 6, f"{reduced} of 12 were replaced"


def test_a_channel_without_weights_is_a_constant() -> None:
    weights = np.array([[0, 3], [0, -2]])
    graph = chain(X, ("sums", ops.Dense(weights, BYTE)))
    low, high = channel_ranges(graph, graph.nodes[0], graph.tensors["sums"])
    assert low.tolist() == [0, -4096 * 3 - 4095 * 2]
    assert high.tolist() == [0, 4095 * 3 + 4096 * 2]
    low, high = channel_ranges(graph, None, X)
    assert (low.tolist(), high.tolist()) == ([-4096] * 2, [4095] * 2)
