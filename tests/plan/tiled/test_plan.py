"""The plan of the tiled architecture: from options to an engine, from a plan file to the plan."""

from __future__ import annotations

import json
from math import prod

import numpy as np
import pytest

import hwgen
from hwgen.contract.engine import EngineShape
from hwgen.contract.engine_model import EngineModel
from hwgen.errors import UserError
from hwgen.ir import execute
from hwgen.plan.tiled.external_traffic import ExternalTraffic
from hwgen.plan.tiled.options import (
    SHARES,
    TiledOptions,
    buffer_bytes,
    buffer_sizes,
    default_engine,
    with_buffers,
)
from hwgen.plan.tiled.plan import TiledPlan
from hwgen.plan.tiled.plan_file import tiled_from_json
from tests.helpers.tiled import MNIST, RESNET, softmax_network


@pytest.fixture(scope="module")
def plan() -> TiledPlan:
    made = hwgen.plan(hwgen.load(RESNET), arch="tiled", array="8x8", buffer_kib=32)
    assert isinstance(made, TiledPlan)
    return made


def test_without_options_it_is_the_default_engine() -> None:
    assert TiledOptions().engine() == (EngineShape(), 2)
    assert default_engine(16, 16) == EngineShape()
    assert EngineShape().weight_words * EngineShape().weight_bytes == 64 << 10


@pytest.mark.parametrize(
    ("multipliers", "array"),
    [(16, (4, 4)), (32, (4, 8)), (255, (8, 16)), (256, (16, 16)), (1 << 20, (64, 64))],
)
def test_a_budget_is_the_largest_array_within_it(multipliers: int, array: tuple[int, int]) -> None:
    shape, _ = TiledOptions(multipliers=multipliers).engine()
    assert (shape.pe, shape.simd) == array


@pytest.mark.parametrize("array", [(4, 4), (8, 16), (16, 16), (64, 64)])
@pytest.mark.parametrize("kib", [32, 100, 156, 1024, 16384])
def test_buffers_use_what_there_is_in_fixed_parts(array: tuple[int, int], kib: int) -> None:
    try:
        shape = with_buffers(default_engine(*array), kib)
    except UserError:
        assert array == (64, 64) and kib < 156
        return
    assert buffer_bytes(shape) <= kib << 10
    sizes = buffer_sizes(shape)
    parts = [sizes[name] / share for name, share in SHARES.items()]
    least = 4096 * max(array) / 64
    if kib < 16384:
        assert kib << 9 < buffer_bytes(shape)
        assert all(part <= 4 * min(parts) or part <= least for part in parts)
    else:  # some memories are as large as descriptors reach
        words = {getattr(shape, name) for name in SHARES if name != "feature_bytes"}
        assert max(words) == 1 << 16 or kib << 9 < buffer_bytes(shape)


def test_as_much_as_the_default_engine_has_gives_it() -> None:
    assert with_buffers(EngineShape(), buffer_bytes(EngineShape()) >> 10) == EngineShape()


@pytest.mark.parametrize(
    ("options", "multipliers", "said"),
    [
        ({"array": "5x8"}, None, "PExSIMD"),
        ({"array": "8"}, None, "PExSIMD"),
        ({"array": "128x128"}, None, "PExSIMD"),
        ({"array": "8x8"}, 64, "one of"),
        ({}, 8, "smallest array"),
        ({"tiles": 3}, None, "--tiles 3: give 1, 2, 4, 8"),
        ({"resident": 0}, None, "--resident 0"),
        ({"requantizers": 3}, None, "--requantizers 3: give a power of two from 1 to 16"),
        ({"requantizers": 0}, None, "--requantizers 0: give a power"),
        ({"array": "4x8", "requantizers": 8}, None, "--requantizers 8: .* from 1 to 4"),
        ({"mem_width": 48}, None, "--mem-width 48"),
        ({"array": "4x4", "mem_width": 256}, None, "--mem-width 256.*at most 128"),
        ({"bits": "8x8"}, None, "--bits 8x8: give IFMAP,WEIGHT"),
        ({"bits": (8, 17)}, None, "--bits 8,17: .* from 1 to 16"),
        ({"bits": 8}, None, "--bits 8: give"),
        ({"bits": (8, 4.5)}, None, r"--bits \(8, 4.5\)"),
        ({"order": "row"}, None, "--order 'row'"),
        ({"buffer_kib": 1}, None, "--buffer-kib 1"),
        ({"buffer_kib": 1 << 20}, None, "--buffer-kib"),
    ],
)
def test_wrong_options(options: dict, multipliers: int | None, said: str) -> None:
    with pytest.raises(UserError, match=said):
        TiledOptions(**options, multipliers=multipliers).engine()
        assert TiledOptions(**options).preferred


def test_a_plan_file_gives_the_plan_again(plan: TiledPlan) -> None:
    again = tiled_from_json(plan.graph, json.loads(json.dumps(plan.to_json())))
    assert isinstance(again, TiledPlan)
    assert again.to_json() == plan.to_json()
    assert np.array_equal(again.program.memory, plan.program.memory)


def test_a_plan_file_keeps_the_order_of_loops(plan: TiledPlan) -> None:
    assert plan.to_json()["order"] == "auto"
    asked = hwgen.plan(plan.graph, arch="tiled", array="8x8", order="input")
    assert isinstance(asked, TiledPlan)
    again = tiled_from_json(plan.graph, json.loads(json.dumps(asked.to_json())))
    assert isinstance(again, TiledPlan)
    assert again.to_json() == asked.to_json()
    assert "input" in {row["stationary"] for row in again.layers()}
    # Files from before there was a choice.
    older = {key: value for key, value in plan.to_json().items() if key != "order"}
    assert tiled_from_json(plan.graph, older).to_json() == plan.to_json()


@pytest.mark.parametrize(
    "change",
    [{"arch": "systolic"}, {"schema": 0}, {"order": "row"}, {"order": 3},
     {"engine": {"pe": 5}}, {"engine": None}, {"resident": 0},
     {"engine": EngineShape().to_json() | {"tiles": 3}},
     {"engine": EngineShape(4, 4).to_json() | {"mem_width": 256}},
     {"resident": True}, {"resident": 99}, {"engine": []}, {"engine": {"color": 1}},
     {"engine": EngineShape().to_json() | {"tiles": 1.0}},
     {"engine": EngineShape().to_json() | {"weight_bits": 17}},
     {"engine": EngineShape().to_json() | {"ifmap_bits": 0}},
     {"engine": EngineShape().to_json() | {"psum_words": 1 << 30}},
     {"engine": EngineShape().to_json() | {"feature_bytes": 1 << 22, "tiles": 8}},
     {"layers": []}, {"layers": None}, {"units": 8}, {"stays": ["nothing"]}],
)  # fmt: skip
def test_wrong_plan_files(plan: TiledPlan, change: dict) -> None:
    with pytest.raises(UserError):
        tiled_from_json(plan.graph, plan.to_json() | change)


def test_a_plan_file_with_other_layers_is_refused(plan: TiledPlan) -> None:
    stated = json.loads(json.dumps(plan.to_json()))
    stated["layers"][0]["interval_estimate"] += 1  # by another version of the model
    assert tiled_from_json(plan.graph, stated).to_json() == plan.to_json()
    right = stated["layers"][0]["tile"]["rows"]
    stated["layers"][0]["tile"]["rows"] += 1
    said = rf"^layers\[0\]\.tile\.rows: {right + 1} is stated, {right} is right"
    with pytest.raises(UserError, match=said):
        tiled_from_json(plan.graph, stated)


def test_numbers_agree_with_each_other(plan: TiledPlan) -> None:
    layers = plan.layers()
    assert plan.multipliers == 64
    assert plan.requant_multipliers == 2
    assert sum(row["macs"] for row in layers) == plan.graph.macs
    assert sum(row["interval_bound"] for row in layers) == plan.interval_bound
    assert plan.interval_bound * plan.multipliers >= plan.graph.macs
    assert plan.estimate().cycles >= plan.interval_bound
    for row, task in zip(layers, plan.tasks, strict=True):
        if task.weights is not None:
            height, width, _ = plan.task_graph.stored[task.y].shape
            # Short rows of a kernel share the 8 lanes.
            length = prod(task.weights.shape[1:3])
            options = [-(-task.kernel[0] // n) * -(-length // (8 // n)) for n in (1, 2, 3, 4)]
            taps = min(options[: task.kernel[0]])
            assert row["interval_bound"] == height * width * -(-task.outputs // 8) * taps


def test_a_softmax_takes_its_unit_s_cycles() -> None:
    made = hwgen.plan(softmax_network(9), arch="tiled", array="8x8", buffer_kib=32)
    assert isinstance(made, TiledPlan)
    rows = {row["name"]: row for row in made.layers()}
    assert rows["pixels"]["operand"] == rows["probabilities"]["operand"] == "softmax"
    assert rows["pixels"]["interval_bound"] == 5 * 6 * (3 * 9 + 45)
    assert rows["probabilities"]["interval_bound"] == 3 * 19 + 45
    # One table, and no parameters.
    assert rows["probabilities"]["bytes"]["parameters"] == 256 * 4
    for row in (rows["pixels"], rows["probabilities"]):
        assert row["interval_bound"] <= row["interval_estimate"] <= row["interval_bound"] + 100


@pytest.mark.parametrize("keep", [True, False])
def test_the_traffic_is_what_the_machine_moves(plan: TiledPlan, keep: bool) -> None:
    tried = plan if keep else plan.outside()
    engine_model = EngineModel(tried.shape, tried.program.memory.copy())
    engine_model.run(tried.program.start)
    total, moved = sum(tried.traffic, ExternalTraffic()), engine_model.traffic
    assert total.weights == moved.loaded["weights"]
    assert total.ifmaps == moved.loaded["features"]
    assert total.parameters == moved.loaded["parameters"] + moved.loaded["tables"]
    assert total.ofmaps == moved.stored


def test_outside_every_tensor_can_be_seen(plan: TiledPlan) -> None:
    outside = plan.outside()
    assert plan.placement.on_chip
    assert not outside.placement.on_chip
    assert set(outside.program.tensors) == set(outside.task_graph.stored)
    edge = plan.graph.inputs[0]
    x = np.random.default_rng(3).integers(edge.range[0], edge.range[1] + 1, (1, *edge.shape))
    engine_model = EngineModel(outside.shape, outside.program.memory.copy())
    start = outside.program.tensors[edge.name]
    engine_model.memory[start : start + edge.size] = x.reshape(-1).astype(np.int8).view(np.uint8)
    engine_model.run(outside.program.start)
    for name, golden in execute(plan.graph, {edge.name: x}, list(plan.graph.tensors)).items():
        if name in outside.program.tensors:
            place = outside.program.tensors[name]
            tensor = outside.task_graph.stored[name]
            got = engine_model.memory[place : place + tensor.bytes]
            assert np.array_equal(got, golden.reshape(-1).astype(np.int8).view(np.uint8)), name


def test_what_belongs_to_the_other_architecture_is_refused() -> None:
    graph = hwgen.load(MNIST)
    for options, said in (
        ({"array": "8x8"}, "--array is for --arch tiled"),
        ({"arch": "dataflow", "mem_width": 64}, "--mem-width is for"),
        ({"arch": "tiled", "interval": 1000}, "--interval"),
        ({"arch": "systolic"}, "not one of"),
    ):
        with pytest.raises(UserError, match=said):
            hwgen.plan(graph, **options)  # pyright: ignore[reportArgumentType]
