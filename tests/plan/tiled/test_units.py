"""Several tile units: how tasks are dealt out, and that programs for them give golden integers."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

import hwgen
from hwgen.contract.engine import EngineShape
from hwgen.contract.engine_model import EngineModel, ProgramError
from hwgen.contract.isa import Opcode, Target
from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import legalize
from hwgen.plan.tiled.mapping.problem import Split, parts_of
from hwgen.plan.tiled.network.requant import CARRIED_OUT
from hwgen.plan.tiled.options import TiledOptions, buffer_bytes
from hwgen.plan.tiled.plan import TiledPlan, plan_tiled
from hwgen.plan.tiled.schedule.tile_order import tile_order
from tests.helpers.tiled_programs import run_descriptors
from tests.plan.tiled.test_program import FIXTURES, MODELS, SHAPES, check, check_graph, planned

RESNET, MNIST = MODELS / "resnet_tiny_int8.tflite", MODELS / "mnist_cnn.h5"


@pytest.mark.parametrize("resident", [1, 2])
@pytest.mark.parametrize("tiles", [2, 4])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("path", [MNIST, RESNET], ids=lambda path: path.stem)
def test_any_number_of_units_gives_golden(path, shape, tiles, resident) -> None:
    check(path, replace(shape, tiles=tiles), resident)


@pytest.mark.parametrize(
    "path",
    [MODELS / "cnn_qonnx.onnx", FIXTURES / "tflite_adds.tflite"],
    ids=lambda path: path.stem,
)
def test_other_formats_and_eight_units(path) -> None:
    for name in ("default", "8x8"):
        check(path, replace(SHAPES[name], tiles=8), 2)


def network(seed: int) -> Graph:
    """Of random sizes, smaller than the number of units among them: a convolution, a depthwise
    one, both side by side in one tensor, a pool, a dense layer."""
    rng = np.random.default_rng(seed)
    kind = {"overflow": Overflow.SATURATE, "rounding": Rounding.HALF_EVEN}
    byte, weight = QType(True, 8, 4, **kind), QType(True, 6, 5, **kind)
    height, width = (int(n) for n in rng.integers(1, 10, 2))
    first, second = (int(n) for n in rng.integers(1, 20, 2))
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    kernel = tuple(int(k) for k in rng.integers(1, 4, 2))

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-32, 32, shape)

    def quantized(name: str, before: str) -> Node:
        return Node(name, ops.Requantize.scaled(byte, shift=7), (before,))

    wide = ops.Conv2D(weights(3, 3, 3, first), weight, (1, 1), "same")
    deep = ops.Conv2D(weights(*kernel, 1, first), weight, (1, 1), "same", groups=first, raw=True)
    thin = ops.Conv2D(weights(*kernel, first, second), weight, (1, 1), "same")
    nodes = [
        Node("wide", wide, ("x",)), quantized("wide_q", "wide"),
        Node("deep", deep, ("wide_q",)), quantized("deep_q", "deep"),
        Node("thin", thin, ("wide_q",)), quantized("thin_q", "thin"),
        Node("both", ops.Concat(), ("deep_q", "thin_q")),
        Node("pool", ops.MaxPool((2, 2), stride, "same"), ("both",)),
        Node("flat", ops.Flatten(), ("pool",)),
    ]  # fmt: skip
    size = -(-height // stride[0]) * -(-width // stride[1]) * (first + second)
    outputs = int(rng.integers(1, 40))
    nodes += [
        Node("dense", ops.Dense(weights(size, outputs), weight), ("flat",)),
        Node("out", ops.Requantize.scaled(QType(True, 20, 9, **kind)), ("dense",)),
    ]
    return Graph("uneven", (Tensor("x", (height, width, 3), byte),), tuple(nodes), ("out",))


@pytest.mark.parametrize("seed", range(24))
def test_random_networks(seed: int) -> None:
    rng = Random(seed)
    shape = rng.choice(list(SHAPES.values()))
    check_graph(network(seed), replace(shape, tiles=rng.choice((2, 4, 8))), rng.choice((1, 2, 3)))


def test_parts_cover_all_and_differ_by_one() -> None:
    for length in range(1, 40):
        for most in (1, 2, 4, 8):
            parts = parts_of(length, most)
            sizes = [b - a for a, b in parts]
            assert [n for a, b in parts for n in range(a, b)] == list(range(length))
            assert len(parts) == min(length, most) and max(sizes) - min(sizes) <= 1
            assert sizes == sorted(sizes, reverse=True)


def test_units_hold_their_rows_and_what_they_read_of_others() -> None:
    rng = np.random.default_rng(1)
    byte = QType(True, 8, 4, Rounding.HALF_UP, Overflow.SATURATE)
    weights = rng.integers(-8, 8, (3, 3, 16, 16))
    nodes = []
    for n, stride in enumerate((1, 1, 2)):
        conv = ops.Conv2D(weights, byte, (stride, stride), "same")
        nodes += [Node(f"conv{n}", conv, (nodes[-1].name if n else "x",)),
                  Node(f"y{n}", ops.Requantize.scaled(byte, shift=5), (f"conv{n}",))]  # fmt: skip
    graph = Graph("chain", (Tensor("x", (40, 32, 16), byte),), tuple(nodes), ("y2",))
    plan = plan_tiled(legalize(graph, CARRIED_OUT), EngineShape(tiles=4), 2)
    on_chip = plan.placement.on_chip
    assert set(on_chip) == {"y0", "y1"}
    assert all(r.own == ((0, 10), (10, 20), (20, 30), (30, 40)) for r in on_chip.values())
    assert on_chip["y0"].held == ((0, 11), (9, 21), (19, 31), (29, 40))
    # Each of 5 rows reads 3, from the even ones on.
    assert on_chip["y1"].held == ((0, 11), (10, 21), (20, 31), (30, 40))
    assert on_chip["y1"].of_others(0, (8, 11)) == [(10, 11)]
    assert on_chip["y0"].for_others(1, (10, 20)) == [(10, 11), (19, 20)]
    assert on_chip["y1"].for_others(1, (15, 20)) == [] == on_chip["y1"].of_others(1, (10, 20))
    assert on_chip["y1"].ring == 12
    check_graph(graph, EngineShape(tiles=4), 2)


def test_only_rows_that_others_read_leave_the_chip() -> None:
    _, task_graph, placement, program = planned(RESNET, EngineShape(tiles=2), 2)
    assert placement.on_chip and program.borders < len(program.memory)
    moved = {Opcode.LOAD: 0, Opcode.STORE: 0}
    for d in program.descriptors:
        if d["op"] in moved and d["address"] >= program.borders:
            moved[Opcode(d["op"])] += d["rows"] * d["bytes"]
    some = {Opcode.LOAD: 0, Opcode.STORE: 0}
    for name, on_chip in placement.on_chip.items():
        for unit, own in enumerate(on_chip.own):
            others = on_chip.of_others(unit, on_chip.held[unit])
            stored = on_chip.for_others(unit, own)
            for op, runs in ((Opcode.STORE, stored), (Opcode.LOAD, others)):
                some[op] += sum(b - a for a, b in runs) * task_graph.stored[name].row_bytes
    assert moved == some
    whole = sum(task_graph.stored[name].bytes for name in placement.on_chip)
    assert 0 < moved[Opcode.STORE] < whole / 2


def test_no_more_units_are_given_work_than_make_it_quicker() -> None:
    graph = legalize(hwgen.load(MNIST), CARRIED_OUT)
    plans = {n: plan_tiled(graph, EngineShape(tiles=2), 2, units=n) for n in (1, 2)}
    cycles = {n: plan.estimate().cycles for n, plan in plans.items()}
    assert cycles[1] < cycles[2]
    best = plan_tiled(graph, EngineShape(tiles=2), 2)
    assert best.used == best.to_json()["units"] == 1 and best.estimate().cycles == cycles[1]
    assert {d.get("unit", 0) for d in best.program.descriptors} == {0}
    many = plan_tiled(graph, EngineShape(8, 8, tiles=2), 2)
    assert many.used == many.outside().used == 2


def test_every_result_is_one_units() -> None:
    """Tiles of a task cover its ofmap and all taps once; units keep to their shares."""
    splits = set()
    for tiles, shape in ((2, SHAPES["8x8"]), (4, EngineShape(4, 4, 4 << 10, 16, 64, 2, 32))):
        _, _, placement, _ = planned(RESNET, replace(shape, tiles=tiles), 2)
        for s, t in zip(placement.problems, placement.tilings, strict=True):
            splits.add(t.split)
            count = np.zeros((*s.size, s.cout_blocks, *s.taps_in(t.stationarity).counts), int)
            for ordered in tile_order(s, t):
                tile, (rows, outputs) = ordered.tile, s.shares(t.split)[ordered.unit]
                ranges = (tile.rows, tile.columns, tile.cout_blocks, *tile.taps)
                count[tuple(slice(*r) for r in ranges)] += 1
                assert rows[0] <= tile.rows[0] and tile.rows[1] <= rows[1]
                assert outputs[0] <= tile.cout_blocks[0] and tile.cout_blocks[1] <= outputs[1]
            assert (count == 1).all()
    assert splits == set(Split)


def test_what_all_units_need_is_loaded_once() -> None:
    one = planned(RESNET, SHAPES["default"], 2, keep=False)[3]
    four = planned(RESNET, replace(SHAPES["default"], tiles=4), 2)[3]
    sizes = []
    for program in (one, four):
        loads = [d for d in program.descriptors if d["op"] == Opcode.LOAD]
        sizes.append(sum(d["bytes"] for d in loads if d["target"] == Target.WEIGHTS))
    assert sizes[0] == sizes[1]
    masks = {d["units"] for d in four.descriptors if d["op"] == Opcode.LOAD}
    assert 0b1111 in masks and 0b0001 in masks


def test_missing_waits_for_tiles_show() -> None:
    """With the waits for tiles taken away some order gives wrong integers."""
    shape = replace(SHAPES["8x8"], tiles=2)
    with pytest.raises((AssertionError, ProgramError, KeyError)):
        for seed in range(5):
            check(MNIST, shape, 2, change={"wait_compute": 0}, seed=seed)


@pytest.mark.parametrize("change", [{"units": 0}, {"units": 0b100}, {"unit": 2}])
def test_units_that_there_are_not_are_refused(change: dict) -> None:
    shape = replace(SHAPES["8x8"], tiles=2)
    program = planned(MNIST, shape, 2)[3]
    engine_model = EngineModel(shape, program.memory.copy())
    found = [d | change for d in engine_model.descriptors(program.start)]
    with pytest.raises(ProgramError, match="unit"):
        run_descriptors(engine_model, found, program.start)


def test_options_and_numbers() -> None:
    shape, _ = TiledOptions(tiles=4, array="8x8").engine()
    assert (shape.pe, shape.simd, shape.tiles) == (8, 8, 4)
    shape, _ = TiledOptions(tiles=4, multipliers=256).engine()
    assert (shape.pe, shape.simd) == (8, 8)
    shape, _ = TiledOptions(tiles=4, array="8x8", buffer_kib=128).engine()
    assert buffer_bytes(shape) <= 32 << 10
    with pytest.raises(UserError, match="--tiles 3"):
        TiledOptions(tiles=3).engine()
    with pytest.raises(UserError, match="each of 4 tile units has 16"):
        TiledOptions(tiles=4, multipliers=63).engine()
    plan = hwgen.plan(hwgen.load(RESNET), arch="tiled", array="8x8", tiles=4)
    assert isinstance(plan, TiledPlan)
    assert plan.multipliers == 4 * 64
    assert plan.unit_steps.shape == (len(plan.tasks), 4)
    assert plan.interval_bound * plan.multipliers >= plan.graph.macs
    alone = hwgen.plan(hwgen.load(RESNET), arch="tiled", array="8x8")
    assert isinstance(alone, TiledPlan)
    assert plan.unit_steps.sum() == alone.interval_bound
    assert max(row["units"] for row in plan.layers()) == plan.used
