"""Weights without multipliers: every kind, folds that are not full, padding, data that tells."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan.dataflow.assembly import assemble
from hwgen.plan.dataflow.rules import MacRule
from hwgen.plan.dataflow.stages import stages_of
from tests.helpers.pysim import check_against_model

MODES = (Rounding.FLOOR, Overflow.SATURATE)
SUM = QType(True, 20, 0, *MODES)
WEIGHTS = {
    "binary": [-1, 1],
    "binary_scaled": [-8, 8],
    "ternary": [-1, 0, 1],
    "powers": [-4, -1, 2, 8],
    "powers_and_0": [-4, -1, 0, 2, 8],
}
BYTE = QType(True, 8, 0, *MODES)
INPUTS = {
    "byte": BYTE,
    "signs": BYTE,
    "bit": QType(False, 1, 0, *MODES),
    "pair": QType(True, 2, 0, *MODES),
}


def network(kind: str, weights: str, x: str) -> Graph:
    """One layer whose accumulators come out as they are; signs come from a comparison."""
    qtype = INPUTS[x]
    rng = np.random.default_rng(len(weights))
    few, wide = np.array(WEIGHTS[weights]), QType(True, 6, 0, *MODES)
    if kind == "dense":
        shape: tuple[int, ...] = (7,)
        op = ops.Dense(rng.choice(few, (7, 5)), wide)
    else:
        shape = (5, 4, 3)
        groups = 3 if kind == "depthwise" else 1
        op = ops.Conv2D(
            rng.choice(few, (3, 3, 3 // groups, 6)), wide, padding="same", groups=groups
        )
    nodes = [Node("layer", op, (x,)), Node("sums", ops.Requantize.scaled(SUM), ("layer",))]
    if x == "signs":
        sign = ops.MultiThreshold(np.array([1]), np.array([-1, 1]), INPUTS["pair"])
        nodes.insert(0, Node("signs", sign, ("in",)))
    name = "in" if x == "signs" else x
    return Graph("few", (Tensor(name, shape, qtype),), tuple(nodes), ("sums",)).verify()


@pytest.mark.parametrize("x_kind", INPUTS)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("kind", ["conv", "depthwise", "dense"])
def test_every_sum_is_exact(kind: str, weights: str, x_kind: str) -> None:
    graph = network(kind, weights, x_kind)
    qtype = INPUTS[x_kind]
    stages = stages_of(graph)
    layer = next(stage for stage in stages if stage.name == "layer")
    assert isinstance(layer.rule, MacRule)
    lanes = {graph.inputs[0].name: 4 if kind == "dense" else 1}
    plan = assemble(graph, stages, {"layer": layer.rule.folding(layer, 2, 4, 1)}, lanes)
    x = np.random.default_rng(3).integers(qtype.low, qtype.max + 1, (2, *graph.inputs[0].shape))
    check_against_model(plan, x)
