"""Programs of the tiled engine, carried out by the engine model, give the golden integers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.contract.engine import BANKS, EngineShape
from hwgen.contract.engine_model import EngineModel, ProgramError, may
from hwgen.contract.isa import COUNTER_BITS, SOFTMAX_CHANNELS, Opcode
from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, execute, ops
from hwgen.ir.ops.softmax import MAX_CHANNELS
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import legalize
from hwgen.plan.tiled.mapping.placement import Placement, place
from hwgen.plan.tiled.mapping.stationarity import Stationarity
from hwgen.plan.tiled.network.lower import task_graph_of
from hwgen.plan.tiled.network.requant import CARRIED_OUT
from hwgen.plan.tiled.network.tasks import TaskGraph
from hwgen.plan.tiled.schedule.program import Program, Writer
from hwgen.plan.tiled.schedule.scoreboard import Scoreboard, Span
from tests.helpers.tiled import random_inputs, softmax_network
from tests.helpers.tiled_programs import run_descriptors

MODELS = Path(hwgen.__file__).parent / "models"
FIXTURES = Path(__file__).parents[2] / "importers" / "fixtures"
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
) -> tuple[Graph, TaskGraph, Placement, Program]:
    return program_of(hwgen.load(path), shape, resident, keep)


def program_of(
    graph: Graph,
    shape: EngineShape,
    resident: int,
    keep: bool = True,
    stationarity: Stationarity | None = None,
) -> tuple[Graph, TaskGraph, Placement, Program]:
    graph = legalize(graph, CARRIED_OUT)
    task_graph = task_graph_of(graph, shape)
    placement = place(task_graph, shape, resident, keep=keep, stationarity=stationarity)
    return graph, task_graph, placement, Writer(task_graph, placement, shape).program()


def as_bytes(values: np.ndarray, size: int) -> np.ndarray:
    return values.astype("<i4" if size == 4 else "<i8").astype("<i4").view(np.uint8).reshape(
        *values.shape, 4
    )[..., :size].reshape(-1)  # fmt: skip


def check(
    path: Path, shape: EngineShape, resident: int, keep: bool = True, **how: Any
) -> EngineModel:
    """See check_graph."""
    return check_graph(hwgen.load(path), shape, resident, keep, **how)


def check_graph(
    graph: Graph,
    shape: EngineShape,
    resident: int,
    keep: bool = True,
    seed: int = 1,
    change: dict[str, int] | None = None,
) -> EngineModel:
    """Every tensor that lies in external memory is golden, in program order and in any other.

    change : of fields of all descriptors, first.
    """
    graph, task_graph, _, program = program_of(graph, shape, resident, keep)
    inputs = random_inputs(graph, 1, seed)
    golden = execute(graph, inputs, list(graph.tensors))
    rng = Random(seed)
    engine_model = EngineModel(shape, program.memory)
    for pick in (None, rng.choice):
        memory = program.memory.copy()
        for source in task_graph.sources:
            start = program.tensors[source]
            memory[start : start + inputs[source].size] = as_bytes(inputs[source], 1)
        engine_model = EngineModel(shape, memory)
        found = [d | (change or {}) for d in engine_model.descriptors(program.start)]
        run_descriptors(engine_model, found, program.start, pick)
        for name, start in program.tensors.items():
            tensor = task_graph.stored[name]
            expected = as_bytes(golden[name][0], tensor.bits // 8)
            assert np.array_equal(memory[start : start + tensor.bytes], expected), name
    return engine_model


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
    [MODELS / "cnn_qonnx.onnx", MODELS / "cnn_qdq.onnx", FIXTURES / "tflite_adds.tflite"],
    ids=lambda path: path.stem,
)
def test_other_formats(path: Path) -> None:
    for name in ("default", "8x8"):
        check(path, SHAPES[name], 2)


def test_what_the_engine_has_no_unit_for_is_refused_by_name() -> None:
    graph = hwgen.load(FIXTURES / "onnx_unit_picks.onnx")
    with pytest.raises(UserError, match=r"'TopK_8'.*no unit for argmax") as refusal:
        program_of(graph, EngineShape(), 2)
    assert "--arch dataflow" in str(refusal.value.hint)


def test_an_output_that_is_an_input_is_refused() -> None:
    one = softmax_network(3)
    graph = replace(one, outputs=(*one.outputs, one.inputs[0].name)).verify()
    with pytest.raises(UserError, match="the output 'x' is the input 'x' as it is"):
        task_graph_of(legalize(graph))


def test_wide_outputs_are_read_by_no_layer() -> None:
    """A sum of 20 bits leaves under any shape, but no layer computes with it."""
    byte, weight = (QType(True, bits, 0, Rounding.FLOOR, Overflow.SATURATE) for bits in (8, 6))
    wide = replace(byte, width=20)
    nodes = (
        Node("dense", ops.Dense(np.arange(24).reshape(6, 4), weight), ("x",)),
        Node("sums", ops.Requantize.scaled(wide), ("dense",)),
        Node("square", ops.Reshape((2, 2, 1)), ("sums",)),
    )
    graph = Graph("wide", (Tensor("x", (6,), byte),), nodes, ("square",)).verify()
    check_graph(graph, SHAPES["4x4"], 2)
    check_graph(replace(graph, outputs=("sums", "square")).verify(), SHAPES["4x4"], 2)
    more = (*nodes, Node("bytes", ops.Requantize.scaled(byte, shift=6), ("square",)))
    graph = replace(graph, nodes=more, outputs=("square", "bytes")).verify()
    with pytest.raises(UserError, match="stores 8 bits, 'sums' has 20"):
        task_graph_of(legalize(graph))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_softmax_of_maps_and_vectors(shape: EngineShape) -> None:
    for channels, keep, tiles in ((1, True, 1), (11, True, 1), (33, False, 1), (11, True, 4)):
        check_graph(softmax_network(channels), replace(shape, tiles=tiles), 2, keep)


def classifier(channels: int, out: QType, pixels: int = 1) -> Graph:
    """A softmax of so many values, which were pixels of a map before."""
    byte = QType(True, 8, 4, Rounding.HALF_EVEN, Overflow.SATURATE)
    shape = (1, pixels, channels // pixels)
    nodes = [
        Node("same", ops.Requantize.scaled(byte), ("x",)),
        Node("flat", ops.Flatten(), ("same",)),
        Node("soft", ops.Softmax(1_300_000_000, 21, out), ("flat",)),
    ]
    return Graph("classifier", (Tensor("x", shape, byte),), tuple(nodes), ("soft",))


def parts_of(width: int) -> QType:
    return QType(
        True, width, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-width, -1 << width - 1
    )


def test_softmax_of_as_many_channels_as_there_can_be() -> None:
    """Many more words than parameters have: it takes none of them."""
    shape = EngineShape(8, 8, 64 << 10, 64, 64, 8, 64)
    assert SOFTMAX_CHANNELS == MAX_CHANNELS > shape.pe * shape.parameter_words
    check_graph(classifier(SOFTMAX_CHANNELS, parts_of(8)), shape, 2)


def test_a_softmax_of_pixels_that_are_a_vector() -> None:
    check_graph(classifier(12, parts_of(8), pixels=3), SHAPES["8x8"], 2)


def test_softmaxes_that_there_is_no_unit_for() -> None:
    hint = "--tail host"
    with pytest.raises(UserError, match=r"soft.*softmax of 8 bits, this one gives 16") as error:
        program_of(classifier(12, parts_of(16)), EngineShape(), 2)
    assert hint in str(error.value.hint)
    graph = hwgen.load(FIXTURES / "tflite_residual.tflite", runtime="xnnpack")
    float_graph = Graph(
        "floats", (Tensor("x", (4,), parts_of(8)),),
        (Node("same", ops.Requantize.scaled(parts_of(8)), ("x",)),
         Node("soft", next(n.op for n in graph.nodes if isinstance(n.op, ops.SoftmaxTable)),
              ("same",))),
        ("soft",),
    )  # fmt: skip
    with pytest.raises(UserError, match=r"soft.*no unit for a softmax in float32") as error:
        program_of(float_graph, EngineShape(), 2)
    assert hint in str(error.value.hint) and "--runtime tflm" in str(error.value.hint)


def test_what_fits_is_moved_once() -> None:
    engine_model = check(MODELS / "resnet_tiny_int8.tflite", EngineShape(), 2)
    assert engine_model.traffic.loaded["features"] == 28 * 32  # rows of 28 bytes in beats of 8
    assert engine_model.traffic.stored == 10


def test_small_buffers_tile_every_loop() -> None:
    shape = EngineShape(4, 4, 2 << 10, 16, 64, 2, 32)
    _, _, placement, program = planned(MODELS / "resnet_tiny_int8.tflite", shape, 2)
    cut, uneven = set(), set()
    for s, t in zip(placement.problems, placement.tilings, strict=True):
        for name, whole, part in (
            ("rows", s.size[0], t.rows),
            ("columns", s.size[1], t.columns),
            ("cout_blocks", s.cout_blocks, t.cout_blocks),
            ("taps", s.taps_in(t.stationarity).words, int(np.prod(t.taps))),
        ):
            cut |= {name} if part < whole else set()
            uneven |= {name} if whole % part else set()
    assert cut == {"rows", "columns", "cout_blocks", "taps"}
    assert uneven >= {"rows", "columns"}
    assert {"accumulate", "no_writeback"} <= {k for d in program.descriptors for k in d if d.get(k)}
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
    graph, task_graph, _, program = planned(MODELS / "mnist_cnn.h5", shape, 2)
    edge = graph.inputs[0]
    x = np.random.default_rng(1).integers(0, 256, (1, *edge.shape))
    golden = execute(graph, {edge.name: x})[graph.outputs[0]]
    wrong = 0
    for seed in range(5):
        memory = program.memory.copy()
        start = program.tensors[edge.name]
        memory[start : start + edge.size] = as_bytes(x, 1)
        engine_model = EngineModel(shape, memory)
        loosened = [
            d | {name: 0 for name in d if name.startswith("wait_")}
            for d in engine_model.descriptors(program.start)
        ]
        try:
            run_descriptors(engine_model, loosened, program.start, Random(seed).choice)
        except (ProgramError, KeyError):
            wrong += 1
            continue
        place_ = program.tensors[task_graph.results[0]]
        tensor = task_graph.stored[task_graph.results[0]]
        got = memory[place_ : place_ + tensor.bytes]
        wrong += not np.array_equal(got, as_bytes(golden[0], tensor.bits // 8))
    assert wrong


def test_too_small_buffers_are_refused_by_name() -> None:
    with pytest.raises(UserError, match="not even its smallest tile fits the buffers"):
        planned(MODELS / "mnist_cnn.h5", EngineShape(4, 4, 64, 4, 4, 1, 32), 2)


def test_descriptors_say_their_layer() -> None:
    _, task_graph, _, program = planned(MODELS / "mnist_cnn.h5", EngineShape(), 2)
    layers = [d["layer"] for d in program.descriptors if d["op"] == Opcode.COMPUTE]
    assert layers == sorted(layers) and set(layers) == set(range(len(task_graph.tasks)))


def test_counters_that_wrapped_keep_nothing_waiting() -> None:
    """What is older than half the range of a counter is not waited for by its number."""
    board = Scoreboard({"features": 4}, {"features": 1})
    issued = 3 << COUNTER_BITS - 2
    for _ in range(issued):
        board.issue(Opcode.COMPUTE, [], [Span("features", 0, 1)])
    old = board.issue(Opcode.LOAD, [], [Span("features", 1, 1)])
    for name, value in old.items():
        old[name] = value % (1 << COUNTER_BITS)
    assert may(old, {Opcode.LOAD: 0, Opcode.COMPUTE: issued, Opcode.STORE: 0})
    new = board.issue(Opcode.LOAD, [], [Span("features", 0, 1)])
    assert not may(new, {Opcode.LOAD: 1, Opcode.COMPUTE: issued - 1, Opcode.STORE: 0})


@pytest.mark.parametrize(
    ("shape", "said"), [((3000, 2, 1), "3000 rows"), ((2, 1 << 24, 1), "16777216 bytes in a row")]
)
def test_what_descriptors_can_not_say_is_refused_by_name(shape: tuple, said: str) -> None:
    pool = Node("pool", ops.MaxPool((1, 1), (1, 1)), ("x",))
    edge = Tensor("x", shape, QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE))
    with pytest.raises(UserError, match=f"'x' has {said}"):
        program_of(Graph("large", (edge,), (pool,), ("pool",)), EngineShape(), 2)
