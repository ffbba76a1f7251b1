"""Passes keep the golden output; folded real-valued layers are equal on every input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.ir import Graph, Node, Tensor, execute, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling
from hwgen.passes import PASSES, legalize
from hwgen.passes.rescale import staircases
from hwgen.passes.staircase import bounds_of, solve
from hwgen.plan.dataflow.stages import stages_of


def qtype(rng: Any, width: int, frac: int, signed: bool = True) -> QType:
    rounding = list(Rounding)[rng.integers(len(Rounding))]
    return QType(signed, width, frac, rounding, Overflow.SATURATE)


def random_graph(seed: int) -> Graph:
    """conv - [batch norm | relu | pool] - quantizer - [pools] - dense, with random attributes."""
    rng = np.random.default_rng(seed)
    x = Tensor("x", (6, 6, 2), qtype(rng, 5, 3, bool(rng.integers(2))))
    weight = QType(True, 4, 3, Rounding.HALF_EVEN, Overflow.SATURATE)
    cout = int(rng.integers(1, 5))
    bias = rng.integers(-40, 40, cout) if rng.integers(2) else None
    conv = ops.Conv2D(
        rng.integers(-7, 8, (3, 3, 2, cout)), weight, (1, 1), "same",
        bias, int(rng.integers(2, 9)) if bias is not None else None,
    )  # fmt: skip
    nodes = [Node("conv", conv, ("x",))]

    def add(name: str, op: Any) -> None:
        nodes.append(Node(name, op, (nodes[-1].name,)))

    if rng.integers(2):
        add("early_pool", ops.MaxPool((2, 2), (2, 2)))
    if rng.integers(2):
        add("relu", ops.Relu(None))
    out = qtype(rng, 6, int(rng.integers(0, 4)), bool(rng.integers(2)))
    if rng.integers(2):
        scale = rng.normal(0, 1, cout) * (rng.random(cout) < 0.8)
        add("norm", ops.BatchNorm(scale, rng.normal(0, 1, cout), out))
    else:
        acc = Graph("g", (x,), tuple(nodes), (nodes[-1].name,)).tensors[nodes[-1].name]
        down = acc.type.frac - out.frac
        mult = rng.integers(1, 4, cout) << max(0, -down)
        add("quantizer", ops.Requantize.scaled(out, mult, rng.integers(-9, 9, cout), max(0, down)))
    if rng.integers(2):
        kernel = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        add("average", ops.AvgPool(kernel, kernel, type=qtype(rng, 7, out.frac + 1)))
    add("flatten", ops.Flatten())
    size = Graph("g", (x,), tuple(nodes), (nodes[-1].name,)).tensors["flatten"].size
    add("dense", ops.Dense(rng.integers(-7, 8, (size, 3)), weight, rng.integers(-9, 9, 3), 4))
    return Graph("random", (x,), tuple(nodes), ("dense",)).verify()


def frames(graph: Graph, seed: int) -> np.ndarray[Any, Any]:
    x = graph.inputs[0]
    rng = np.random.default_rng(seed)
    some = rng.integers(x.type.min, x.type.max + 1, (20, *x.shape))
    ends = [np.full((1, *x.shape), value) for value in (x.type.min, x.type.max)]
    return np.concatenate([some, *ends])


@pytest.mark.parametrize("seed", range(60))
def test_every_pass_keeps_the_output(seed: int) -> None:
    print(f"seed {seed}")
    graph = random_graph(seed)
    x = frames(graph, seed)
    expected = execute(graph, {"x": x})["dense"]
    for name, step in PASSES:
        graph = step(graph).verify()
        assert np.array_equal(execute(graph, {"x": x})["dense"], expected), name
    assert stages_of(graph)
    assert stages_of(legalize(random_graph(seed)))


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


def test_a_side_of_a_pivot_without_a_step() -> None:
    """Above its pivot this channel is constant: its bias there still has to keep it there."""
    out = QType(True, 5, 0, Rounding.HALF_AWAY, Overflow.SATURATE)
    op = ops.Rescale(
        Scaling.TFLM_DOUBLE, np.array([1084147015]), np.array([41]), out, np.array([554]), 3
    )
    stairs = staircases(op, (np.array([-28050], object), np.array([0], object)), True)
    found = solve(stairs, bounds_of(stairs))
    assert found.below is not None
    x = np.arange(-28050, 1)
    bias = np.where(x < -554, found.below[0], found.bias[0])
    edge = Tensor("x", (1,), QType(True, 16, 0, Rounding.FLOOR, Overflow.SATURATE))
    want = op.golden([x[:, np.newaxis]], [edge])[:, 0]
    np.testing.assert_array_equal(np.clip((x * found.mult[0] + bias) >> found.shift, -16, 15), want)
