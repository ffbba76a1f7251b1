"""Every op is lowered or refused by name, on each architecture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hwgen.archs.dataflow.lower import lower_unit
from hwgen.archs.dataflow.top import DataflowTop
from hwgen.errors import UserError
from hwgen.ir import OPS, Graph, Node, Op, Tensor, legal, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling
from hwgen.plan.dataflow.plan_file import kinds_of_units
from hwgen.plan.dataflow.planner import plan_dataflow
from hwgen.plan.dataflow.rules import RULES
from hwgen.plan.dataflow.units import Unit
from hwgen.plan.tiled.network.lower import task_graph_of
from tests.helpers.pysim import MODEL_HASH

S8 = QType(True, 8, 4, Rounding.HALF_UP, Overflow.SATURATE)
PROBABILITY = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-8, -128)
WEIGHTS = np.arange(-3, 5)

EXAMPLES: dict[type[Op], Op] = {
    type(op): op
    for op in (
        ops.Add(),
        ops.ArgMax(),
        ops.AvgPool((2, 2), (2, 2), "valid", type=S8),
        ops.BatchNorm(np.ones(4), np.zeros(4), S8),
        ops.Cast((S8,), np.array([0])),
        ops.Concat(),
        ops.Conv2D(WEIGHTS.reshape(1, 1, 4, 2), S8, (1, 1), "valid"),
        ops.Dense(WEIGHTS.reshape(4, 2), S8),
        ops.Flatten(),
        ops.MaxPool((2, 2), (2, 2), "valid"),
        ops.Mul(),
        ops.Pad(((1, 0), (0, 2)), 3),
        ops.Relu(),
        ops.Requantize.scaled(S8, 3, shift=1),
        ops.Rescale(Scaling.TFLM_DOUBLE, np.array([1 << 30]), np.array([40]), S8),
        ops.Reshape((2, 4, 2)),
        ops.Slice((0, 1, 0), (1, 1, 2), (1, 1, 1)),
        ops.Softmax(1 << 30, 5, PROBABILITY),
        ops.SoftmaxTable(np.float32(0.9) ** np.arange(256), PROBABILITY),
        ops.MultiThreshold(np.array([[-3, 0, 7]]), np.array([-1, 0, 2, 1]), S8),
        ops.SumPool((2, 2), (2, 2), "valid"),
        ops.Upsample((1, 2)),
    )
}


def around(op: Op) -> Graph:
    """A network of one op on bytes, between requantizations; ops of two inputs read one twice."""
    shape = (4,) if isinstance(op, ops.Dense) else (2, 2, 4)
    count = 2 if isinstance(op, (ops.Add, ops.Mul, ops.Concat)) else 1
    nodes = [
        Node("before", ops.Requantize.scaled(S8, 3, shift=1), ("x",)),
        Node("layer", op, ("before",) * count),
    ]
    if isinstance(op, ops.Flatten):
        weights = np.arange(32).reshape(16, 2)
        nodes.append(Node("dense", ops.Dense(weights, S8), ("layer",)))
    after = ops.Requantize.scaled(S8, 3, shift=4)
    nodes.append(Node("after", after, (nodes[-1].name,)))
    return Graph("one", (Tensor("x", shape, S8),), tuple(nodes), ("after",)).verify()


def dataflow(graph: Graph) -> None:
    """Units for all layers, made as gateware."""
    plan = plan_dataflow(graph)
    top = DataflowTop(plan, MODEL_HASH)
    assert list(top.units) == [unit.name for unit in plan.units]
    shapeless = {n.name for n in graph.nodes if isinstance(n.op, (ops.Flatten, ops.Reshape))}
    carried_out = {layer for unit in plan.units for layer in unit.layers}
    assert carried_out == {node.name for node in graph.nodes} - shapeless


def tiled(graph: Graph) -> None:
    """Tasks up to the result."""
    work = task_graph_of(graph)
    assert work.results[-1] == "after" and work.tasks[-1].y == "after"


LOWERED: dict[str, Callable[[Graph], None]] = {"dataflow": dataflow, "tiled": tiled}
GONE = set(legal.REPLACED)
"""Ops that passes replace: no legal network has them."""
REFUSED: dict[str, set[type[Op]]] = {
    "dataflow": GONE,
    "tiled": GONE | {ops.ArgMax, ops.Cast, ops.SoftmaxTable},
}


@pytest.mark.parametrize("arch", LOWERED)
@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_every_op_is_lowered_or_refused_by_name(op: type[Op], arch: str) -> None:
    graph = around(EXAMPLES[op])
    if op not in REFUSED[arch]:
        LOWERED[arch](graph)
        return
    with pytest.raises(
        UserError, match=f"the {arch} architecture (has no unit|does not)"
    ) as caught:
        LOWERED[arch](graph)
    assert caught.value.layer == "layer"


def test_every_op_of_a_legal_graph_has_a_rule() -> None:
    assert set(RULES) == set(OPS.values()) - set(legal.REPLACED)


def test_an_op_without_a_rule_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, ops.Upsample)
    with pytest.raises(UserError, match="dataflow architecture has no unit for upsample") as caught:
        plan_dataflow(around(EXAMPLES[ops.Upsample]))
    assert caught.value.layer == "layer"


def test_every_unit_has_gateware() -> None:
    units = set(kinds_of_units())
    assert units == set(lower_unit.registry) - {object, Unit}
    assert len({unit.kind for unit in units}) == len(units)
