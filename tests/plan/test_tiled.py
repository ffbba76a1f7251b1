"""Programs of the tiled engine, carried out by the machine in NumPy, give the golden integers."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.descriptors import BANKS, EngineShape, Op
from hwgen.errors import UserError
from hwgen.ir import Graph, execute
from hwgen.passes import legalize
from hwgen.passes.tail import without_softmax
from hwgen.plan.tiled.machine import Machine, ProgramError
from hwgen.plan.tiled.placement import Placement, place
from hwgen.plan.tiled.program import Program, Writer
from hwgen.plan.tiled.tasks import Work, work_of

MODELS = Path(hwgen.__file__).parent / "models"
FIXTURES = Path(__file__).parents[1] / "importers" / "fixtures"
SHAPES = {
    "default": EngineShape(),
    "8x8": EngineShape(8, 8, 8 << 10, 64, 64, 8, 64),
    "4x4": EngineShape(4, 4, 8 << 10, 32, 64, 16, 32),
    "8x16": EngineShape(8, 16, 8 << 10, 16, 32, 4, 128),
    "16x8": EngineShape(16, 8, 16 << 10, 16, 32, 4, 64),
    "16x16 wide": EngineShape(16, 16, 16 << 10, 32, 64, 8, 256),
}


def planned(
    path: Path, shape: EngineShape, resident: int, keep: bool = True
) -> tuple[Graph, Work, Placement, Program]:
    return program_of(hwgen.load(path), shape, resident, keep)


def program_of(
    graph: Graph, shape: EngineShape, resident: int, keep: bool = True
) -> tuple[Graph, Work, Placement, Program]:
    if any(node.op.op_name == "softmax" for node in graph.nodes):
        graph = without_softmax(graph)
    graph = legalize(graph)
    work = work_of(graph)
    placement = place(work, shape, resident, keep=keep)
    return graph, work, placement, Writer(work, placement, shape).program()


def as_bytes(values: np.ndarray, size: int) -> np.ndarray:
    return values.astype("<i4" if size == 4 else "<i8").astype("<i4").view(np.uint8).reshape(
        *values.shape, 4
    )[..., :size].reshape(-1)  # fmt: skip


def check(path: Path, shape: EngineShape, resident: int, keep: bool = True, **how: Any) -> Machine:
    """See check_graph."""
    return check_graph(hwgen.load(path), shape, resident, keep, **how)


def check_graph(
    graph: Graph,
    shape: EngineShape,
    resident: int,
    keep: bool = True,
    seed: int = 1,
    change: dict[str, int] | None = None,
) -> Machine:
    """Every tensor that lies in external memory is golden, in program order and in any other.

    change : of fields of all descriptors, first.
    """
    graph, work, _, program = program_of(graph, shape, resident, keep)
    edge = graph.inputs[0]
    x = np.random.default_rng(seed).integers(edge.range[0], edge.range[1] + 1, (1, *edge.shape))
    golden = execute(graph, {edge.name: x}, list(graph.tensors))
    rng = Random(seed)
    machine = Machine(shape, program.memory)
    for pick in (None, rng.choice):
        memory = program.memory.copy()
        start = program.tensors[work.source]
        memory[start : start + edge.size] = as_bytes(x, 1)
        machine = Machine(shape, memory)
        if change is not None:
            found = [d | change for d in machine.descriptors(program.start)]
            machine.descriptors = lambda _, found=found: found
        machine.run(program.start, pick)
        for name, start in program.tensors.items():
            tensor = work.stored[name]
            expected = as_bytes(golden[name][0], tensor.size)
            assert np.array_equal(memory[start : start + tensor.bytes], expected), name
    return machine


@pytest.mark.parametrize(("resident", "keep"), [(1, True), (2, True), (2, False), (3, False)])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    "path",
    [MODELS / "mnist_cnn.h5", MODELS / "resnet_tiny_int8.tflite"],
    ids=lambda path: path.stem,
)
def test_any_engine_gives_golden(path: Path, shape: EngineShape, resident: int, keep: bool) -> None:
    check(path, shape, resident, keep)


@pytest.mark.parametrize(
    "path",
    [MODELS / "cnn_qonnx.onnx", FIXTURES / "tflite_adds.tflite"],
    ids=lambda path: path.stem,
)
def test_other_formats(path: Path) -> None:
    for name in ("default", "8x8"):
        check(path, SHAPES[name], 2)


def test_what_the_engine_has_no_unit_for_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"mul_3_product.*does not carry out mul"):
        planned(FIXTURES / "tflite_curves.tflite", EngineShape(), 2)
    with pytest.raises(UserError, match=r"QuantizeLinear_6.*has no unit for fp32_half_even"):
        planned(MODELS / "cnn_qdq.onnx", EngineShape(), 2)
    with pytest.raises(UserError, match="takes one input and one output"):
        planned(FIXTURES / "tflite_two_heads.tflite", EngineShape(), 2)


def test_what_fits_is_moved_once() -> None:
    machine = check(MODELS / "resnet_tiny_int8.tflite", EngineShape(), 2)
    assert machine.traffic.loaded["features"] == 28 * 28
    assert machine.traffic.stored == 10


def test_small_buffers_tile_every_loop() -> None:
    shape = EngineShape(4, 4, 2 << 10, 16, 64, 2, 32)
    _, _, placement, program = planned(MODELS / "resnet_tiny_int8.tflite", shape, 2)
    cut, uneven = set(), set()
    for s, t in zip(placement.situations, placement.tilings, strict=True):
        for name, whole, part in (
            ("rows", s.size[0], t.rows),
            ("columns", s.size[1], t.columns),
            ("groups", s.groups, t.groups),
            ("taps", s.taps.words, int(np.prod(t.taps))),
        ):
            cut |= {name} if part < whole else set()
            uneven |= {name} if whole % part else set()
    assert cut == {"rows", "columns", "groups", "taps"}
    assert uneven >= {"rows", "columns"}
    assert {"keep", "hold"} <= {k for d in program.descriptors for k in d if d.get(k)}
    check(MODELS / "resnet_tiny_int8.tflite", shape, 2)


def test_regions_do_not_meet() -> None:
    for shape in SHAPES.values():
        placement = planned(MODELS / "resnet_tiny_int8.tflite", shape, 2)[2]
        regions = list(placement.regions.values())
        for n, a in enumerate(regions):
            assert a.start + a.size <= shape.feature_bytes // BANKS
            for b in regions[n + 1 :]:
                apart = a.start + a.size <= b.start or b.start + b.size <= a.start
                assert apart or not a.meets(b)


def test_a_missing_wait_shows() -> None:
    """Without waits some order gives wrong integers: the random orders do test them."""
    shape = SHAPES["8x8"]
    graph, work, _, program = planned(MODELS / "mnist_cnn.h5", shape, 2)
    edge = graph.inputs[0]
    x = np.random.default_rng(1).integers(0, 256, (1, *edge.shape))
    golden = execute(graph, {edge.name: x})[graph.outputs[0]]
    wrong = 0
    for seed in range(5):
        memory = program.memory.copy()
        start = program.tensors[work.source]
        memory[start : start + edge.size] = as_bytes(x, 1)
        machine = Machine(shape, memory)
        loosened = [
            d | {name: 0 for name in d if name.startswith("wait_")}
            for d in machine.descriptors(program.start)
        ]
        machine.descriptors = lambda _, found=loosened: found
        try:
            machine.run(program.start, Random(seed).choice)
        except (ProgramError, KeyError):
            wrong += 1
            continue
        place_ = program.tensors[work.result]
        tensor = work.stored[work.result]
        got = memory[place_ : place_ + tensor.bytes]
        wrong += not np.array_equal(got, as_bytes(golden[0], tensor.size))
    assert wrong


def test_too_small_buffers_are_refused_by_name() -> None:
    with pytest.raises(UserError, match="not even its smallest tile fits the buffers"):
        planned(MODELS / "mnist_cnn.h5", EngineShape(4, 4, 64, 4, 4, 1, 32), 2)


def test_descriptors_say_their_layer() -> None:
    _, work, _, program = planned(MODELS / "mnist_cnn.h5", EngineShape(), 2)
    layers = [d["layer"] for d in program.descriptors if d["op"] == Op.COMPUTE]
    assert layers == sorted(layers) and set(layers) == set(range(len(work.tasks)))
