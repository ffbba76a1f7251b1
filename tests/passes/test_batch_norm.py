"""Batch norms as requantizations: equal on every input."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, execute, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import legalize
from hwgen.passes.batch_norm import fold_batch_norm

from .networks import chain, qtype
from .promises import kept


@pytest.mark.parametrize("seed", range(20))
def test_a_folded_batch_norm_is_equal_everywhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = Tensor("x", (5,), QType(True, 13, 9, Rounding.FLOOR, Overflow.WRAP))
    scale = rng.normal(0, 2, 5)
    scale[0] = 0.0
    out = qtype(rng, int(rng.integers(1, 9)), int(rng.integers(0, 6)), bool(rng.integers(2)))
    norm = ops.BatchNorm(scale, rng.normal(0, 1, 5), out)
    graph = Graph("norm", (x,), (Node("y", norm, ("x",)),), ("y",)).verify()
    every = np.repeat(np.arange(x.type.min, x.type.max + 1)[:, None], 5, axis=1)
    legal = legalize(graph)
    assert np.array_equal(execute(legal, {"x": every})["y"], execute(graph, {"x": every})["y"])


def test_it_becomes_one_requantization_of_its_name() -> None:
    x = Tensor("x", (3, 3, 2), QType(True, 6, 3, Rounding.FLOOR, Overflow.WRAP))
    out = QType(False, 4, 2, Rounding.HALF_EVEN, Overflow.SATURATE)
    norm = ops.BatchNorm(np.array([0.3, -1.7]), np.array([0.1, 0.2]), out, (1, 12))
    after = kept(fold_batch_norm, chain(x, ("y", norm)))
    assert [(n.name, type(n.op)) for n in after.nodes] == [("y", ops.Requantize)]
    assert after.tensors["y"].range == (1, 12)


def test_a_channel_without_an_equal_is_named() -> None:
    """0.7 * 5 is 3.5 in float64, 0.7 * 45 is less than 31.5: no line rounds one up, one down."""
    x = Tensor("x", (2,), QType(True, 10, 0, Rounding.FLOOR, Overflow.WRAP))
    out = QType(True, 10, 0, Rounding.HALF_UP, Overflow.SATURATE)
    norm = ops.BatchNorm(np.array([0.25, 0.7]), np.zeros(2), out)
    with pytest.raises(UserError, match=r"layer 'y': channel 1 can not be requantized exactly"):
        fold_batch_norm(chain(x, ("y", norm)))


@pytest.mark.parametrize("seed", range(4))
def test_wide_sums_take_wide_multipliers(seed: int) -> None:
    """255 steps over 27 bits: no slope of 32 bits meets them all, and far ones share a shift."""
    rng = np.random.default_rng(seed)
    x = Tensor("x", (4,), QType(True, 27, 12, Rounding.FLOOR, Overflow.WRAP))
    out = QType(False, 8, 5, Rounding.HALF_EVEN, Overflow.SATURATE)
    scale = 2.0**-12 * rng.uniform(0.5, 1.5, 4) * np.array([1, 1, -1, 2.0**7])
    norm = ops.BatchNorm(scale, rng.normal(4, 1, 4), out)
    graph = chain(x, ("y", norm))
    legal = legalize(graph)
    op = legal.nodes[-1].op
    assert isinstance(op, ops.Requantize)
    assert 32 <= max(int(m).bit_length() for m in abs(op.mult)) < 64
    values = rng.integers(x.type.min, x.type.max + 1, (50000, 4))
    # Most of the range saturates: near the steps of each channel too.
    steps = (rng.integers(0, 256, (50000, 4)) / 32 - norm.offset) / scale * 2.0**12
    near = np.clip(np.rint(steps) + rng.integers(-2, 3, steps.shape), x.type.min, x.type.max)
    for inputs in (values, near.astype(np.int64)):
        assert np.array_equal(
            execute(legal, {"x": inputs})["y"], execute(graph, {"x": inputs})["y"]
        )
