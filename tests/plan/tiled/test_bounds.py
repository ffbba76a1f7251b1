"""What holds a task up: array, requantizers, external memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwgen.archs.tiled.describe import describe
from hwgen.contract.engine import EngineShape
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import legalize
from hwgen.plan.tiled.network.requant import CARRIED_OUT
from hwgen.plan.tiled.plan import TiledPlan, plan_tiled

BYTE = QType(True, 8, 4, Rounding.HALF_EVEN, Overflow.SATURATE)
WEIGHT = replace(BYTE, width=6)
SHAPE = EngineShape(8, 8, 16 << 10, 128, 256, 16, 64)


def network(shape: tuple[int, ...], op: ops.Dense | ops.Conv2D) -> Graph:
    """Sums and their requantization."""
    nodes = (Node("sums", op, ("x",)), Node("out", ops.Requantize.scaled(BYTE, shift=9), ("sums",)))
    return Graph("one", (Tensor("x", shape, BYTE),), nodes, ("out",))


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(-32, 32, shape)


def dense(inputs: int, outputs: int) -> Graph:
    """Each weight is used once."""
    return network((inputs,), ops.Dense(weights(inputs, outputs), WEIGHT, raw=True))


def convolution(kernel: int, channels: int) -> Graph:
    """Of 12 x 12 pixels."""
    op = ops.Conv2D(weights(kernel, kernel, channels, channels), WEIGHT, (1, 1), "same", raw=True)
    return network((12, 12, channels), op)


def planned(graph: Graph, shape: EngineShape = SHAPE) -> TiledPlan:
    return plan_tiled(legalize(graph, CARRIED_OUT), shape, 2)


def test_weights_used_once_wait_for_the_port() -> None:
    plan = planned(dense(256, 64))
    (bounds,) = plan.bounds
    # 8 weights a beat, 64 of them a step; results, one word in 32 steps, hold nobody up.
    assert bounds.array == 256 * 64 // 64
    assert bounds.results == 8
    assert bounds.memory >= 256 * 64 // 8 > bounds.array
    assert bounds.binds == "memory"
    assert bounds.memory <= plan.memory_bound <= plan.estimate().cycles
    value = describe(plan).json
    assert value["memory_bound"] == plan.memory_bound
    wider = planned(dense(256, 64), replace(SHAPE, mem_width=128)).estimate().cycles
    assert value["wider_port"] == {"mem_width": 128, "interval_estimate": wider}
    assert wider < 0.7 * plan.estimate().cycles
    assert any(f"--mem-width 128): about {wider:,} cycles" in n for n in describe(plan).lines)


def test_few_requantizers_hold_up_short_sums() -> None:
    """A sum of 8 products comes in each step; a word of 8 takes one requantizer 8 cycles."""
    every, one = (
        planned(convolution(1, 8), replace(SHAPE, requantizers=n)).bounds[0] for n in (8, 1)
    )
    assert every.array == every.results == one.array == 144
    assert one.results == 8 * 144
    # Ifmap and ofmap of 8 bytes a pixel go over a port of 8 bytes, with the descriptors.
    assert (every.binds, one.binds) == ("memory", "results")


def test_an_array_at_work_needs_no_wider_port() -> None:
    plan = planned(convolution(5, 16))
    assert plan.bounds[0].binds == plan.layers()[0]["binds"] == "array"
    assert describe(plan).json["wider_port"] is None
