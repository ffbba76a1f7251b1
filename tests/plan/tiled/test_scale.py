"""Networks larger than the buffers: MobileNetV2 in small, ifmaps that are held in slabs."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.archs.tiled.ends import input_bytes
from hwgen.archs.tiled.simulation import Job
from hwgen.archs.tiled.stored import stored_differences
from hwgen.contract.engine import EngineShape
from hwgen.flow.memory import Memory
from hwgen.ir import Graph, Node, Tensor, execute, graph_to_json, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import legalize
from hwgen.plan.tiled.network.requant import CARRIED_OUT
from hwgen.plan.tiled.plan import plan_tiled
from tests.helpers.tiled import check_engine_model, need_verilator, tiled_package

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "scripts"))

from mobilenet import mobilenet_v2  # noqa: E402

BYTE = QType(True, 8, 0, Rounding.HALF_UP, Overflow.SATURATE)
SMALL = EngineShape(8, 8, 16 << 10, 64, 64, 8, 64)
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 64, 1, 2), (6, 64, 2, 1))


@pytest.fixture(scope="module")
def mobilenet() -> Graph:
    return legalize(mobilenet_v2(48, 0.25, blocks=BLOCKS, last=160, classes=20), CARRIED_OUT)


def test_its_values_use_their_bits(mobilenet: Graph) -> None:
    """A network whose values all vanish or saturate would show little."""
    edge = mobilenet.inputs[0]
    x = np.random.default_rng(7).integers(-128, 128, (1, *edge.shape))
    seen = 0
    for node in mobilenet.nodes:
        values = execute(mobilenet, {edge.name: x}, [node.name])[node.name]
        if isinstance(node.op, ops.Requantize):
            tensor = mobilenet.tensors[node.name]
            assert (values == tensor.type.max).mean() < 0.1, node.name
            assert len(np.unique(values)) > min(16, values.size // 8), node.name
            seen += 1
    assert seen > 10


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    "shape",
    [SMALL, EngineShape(4, 4, 8 << 10, 64, 64, 8, 32), EngineShape(), replace(SMALL, tiles=4)],
    ids=["small", "smaller", "default", "four units"],
)  # fmt: skip
def test_mobilenet_in_small_is_golden(mobilenet: Graph, shape: EngineShape, keep: bool) -> None:
    plan = plan_tiled(mobilenet, shape, 2, units=shape.tiles)
    residuals = [node for node in mobilenet.nodes if isinstance(node.op, ops.Add)]
    assert len([t for t in plan.tasks if t.tables is not None]) == len(residuals) > 2
    check_engine_model(plan if keep else plan.outside())


@pytest.mark.parametrize("resident", [1, 2, 3])
@pytest.mark.parametrize(
    ("kind", "shape", "operand"),
    [("average", (7, 7, 600), "DEPTHWISE"), ("maximum", (9, 5, 700), "DEPTHWISE"),
     ("dense", (7, 7, 520), "DENSE"), ("vector", (9000,), "DENSE")],
)  # fmt: skip
def test_an_ifmap_larger_than_the_memory_comes_in_pieces(
    kind: str, shape: tuple[int, ...], operand: str, resident: int
) -> None:
    rng = np.random.default_rng(3)
    x = Tensor("x", shape, BYTE)
    kernel = shape[:2]
    if kind == "average":
        nodes = [Node("y", ops.AvgPool((7, 7), (7, 7), type=BYTE), ("x",))]
    elif kind == "maximum":
        nodes = [Node("y", ops.MaxPool((9, 5), kernel), ("x",))]  # pyright: ignore
    else:
        weights = rng.integers(-128, 128, (x.size, 20))
        flat = [Node("flat", ops.Flatten(), ("x",))]
        nodes = flat if len(shape) > 1 else []
        nodes.append(Node("sums", ops.Dense(weights, BYTE), (nodes[-1].name if nodes else "x",)))
        nodes.append(Node("y", ops.Requantize.scaled(BYTE, 1, 0, 13), ("sums",)))
    engine = EngineShape(8, 8, 8 << 10, 64, 64, 8, 64)
    graph = legalize(Graph("large", (x,), tuple(nodes), ("y",)), CARRIED_OUT)
    for tiles in (1, 2):
        plan = plan_tiled(graph, replace(engine, tiles=tiles), resident, units=tiles)
        assert x.size > engine.feature_bytes
        (problem,) = plan.placement.problems
        assert problem.slabs and problem.task.operand.name == operand
        check_engine_model(plan)


def test_mobilenet_in_small_on_the_rtl(mobilenet: Graph, tmp_path: Path) -> None:
    need_verilator()
    model = tmp_path / "mobilenet.json"
    model.write_text(json.dumps(graph_to_json(mobilenet)))
    package = tiled_package(model, tmp_path / "out")
    edge = mobilenet.inputs[0]
    x = np.random.default_rng(5).integers(edge.range[0], edge.range[1] + 1, (1, *edge.shape))
    golden = execute(package.graph, {edge.name: x}, list(package.graph.tensors))
    outside = package.plan.outside()
    job = Job(outside, input_bytes(outside, {edge.name: x}))
    runs = tiled_sim.run(package, [job], Memory(), None, lambda text: None)
    found = dict(stored_differences(outside, runs.memory, golden))
    assert set(found) == {task.y for task in outside.tasks}
    assert not any(found.values())
