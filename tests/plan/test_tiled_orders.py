"""Orders of a tile's loops: they all give the golden integers, and move what they are to move."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.descriptors import EngineShape, Loop, Op
from hwgen.ir import Graph, execute
from hwgen.passes import legalize
from hwgen.plan.tiled.machine import Machine
from hwgen.plan.tiled.orders import Order, suits
from hwgen.plan.tiled.plan import TiledPlan, plan_tiled
from tests.helpers.tiled_layers import random_layers
from tests.plan.test_tiled import as_bytes

SHAPES = {
    "4x4": EngineShape(4, 4, 8 << 10, 64, 128, 16, 32),
    "few psums": EngineShape(4, 8, 8 << 10, 32, 32, 4, 64),
    "8x4": EngineShape(8, 4, 16 << 10, 128, 256, 8, 32),
    "16x16": EngineShape(),
}


def check(graph: Graph, plan: TiledPlan) -> Machine:
    """The program gives the golden output."""
    edge = graph.inputs[0]
    x = np.random.default_rng(1).integers(edge.range[0], edge.range[1] + 1, (1, *edge.shape))
    golden = execute(graph, {edge.name: x})[graph.outputs[0]]
    machine = Machine(plan.shape, plan.program.memory.copy())
    start = plan.program.tensors[plan.work.source]
    machine.memory[start : start + edge.size] = as_bytes(x, 1)
    machine.run(plan.program.start)
    result = plan.work.stored[plan.work.result]
    place = plan.program.tensors[result.name]
    got = machine.memory[place : place + result.bytes]
    assert np.array_equal(got, as_bytes(golden[0], result.size))
    return machine


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("order", [None, *Order])
@pytest.mark.parametrize("seed", range(6))
def test_every_order_gives_golden(seed: int, order: Order | None, shape: EngineShape) -> None:
    print(f"seed {seed}")
    graph = legalize(random_layers(seed))
    plan = plan_tiled(graph, shape, 2, preferred=order)
    for s, t in zip(plan.placement.situations, plan.placement.tilings, strict=True):
        if order is not None and suits(order, s.task, s.size) and shape.psum_words > 32:
            assert t.order is order
    check(graph, plan)
