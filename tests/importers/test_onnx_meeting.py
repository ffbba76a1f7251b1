"""ONNX: pairs of quantizers that follow each other, and tensors that are quantized beside others.

Scales and zero points are frozen from ONNX Runtime 1.32's optimized graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.errors import UserError
from hwgen.importers import load
from tests.helpers.onnx_files import OnnxFile, runtime
from tests.helpers.refusals import refusal

Numbers = tuple[float, int]

JOINED: list[tuple[str, Numbers, Numbers, Numbers]] = [
    ("int8", (0.0744, -8), (0.0746, 3), (0.0712878480553627, -3)),
    ("uint8", (0.0329, 71), (0.0143, 98), (0.014300000853836536, 98)),
    ("int16", (0.0427, -32702), (0.0136, -29573), (0.012979968450963497, -32551)),
    ("uint16", (0.0899, 49168), (0.0622, 15368), (0.037037964910268784, 25808)),
    ("int8", (0.0448, -83), (0.0879, 101), (0.016868235543370247, -8)),
    ("uint8", (0.0775, 160), (0.0414, 126), (0.0414000004529953, 126)),
    ("int16", (0.0641, 30087), (0.0149, 3643), (0.010899701155722141, 17006)),
    ("uint16", (0.0317, 12248), (0.0804, 4208), (0.030937986448407173, 10936)),
    ("int8", (0.0643, -41), (0.0796, -70), (0.06046745553612709, -52)),
    ("uint8", (0.0816, 78), (0.0798, 4), (0.057891763746738434, 6)),
]


@pytest.mark.parametrize(("dtype", "first", "second", "wanted"), JOINED)
def test_two_pairs_become_one(
    dtype: str, first: Numbers, second: Numbers, wanted: Numbers, tmp_path: Path
) -> None:
    file, kind = OnnxFile(), np.dtype(dtype).type
    y = file.pair(file.pair("x", *first, kind), *second, kind)
    graph = load(file.save(tmp_path / "m.onnx", (1, 4), y))
    (edge,) = graph.inputs
    assert (edge.type.scale, edge.type.zero_point) == wanted


def turned(file: OnnxFile, x: str, *perms: list[int]) -> str:
    """Transposes, one after the other."""
    for perm in perms:
        x = file.op("Transpose", x, perm=perm)
    return x


THERE, BACK = [0, 2, 3, 1], [0, 3, 1, 2]
BETWEEN: dict[str, Callable[[OnnxFile, str], str]] = {
    "identity": lambda f, y: f.op("Identity", y),
    "dropout": lambda f, y: f.op("Dropout", y),
    "cast": lambda f, y: f.op("Cast", y, to=1),
    "plus nothing": lambda f, y: f.op("Add", f.real([0]), y),
    "by one": lambda f, y: f.op("Div", y, f.real(1)),
    "there and back": lambda f, y: turned(f, y, THERE, BACK),
}
KEPT: dict[str, Callable[[OnnxFile, str], str]] = {
    "transpose": lambda f, y: turned(f, y, THERE),
    "reshape": lambda f, y: f.op("Reshape", y, f.wholes(1, 3, 4, 4)),
    "two moves": lambda f, y: turned(f, f.op("MaxPool", y, kernel_shape=[2, 2]), THERE),
    "relu": lambda f, y: f.op("Relu", y),
    "plus nothings": lambda f, y: f.op("Add", y, f.real([[[0]], [[0]], [[0]]])),
}


@pytest.mark.parametrize("name", [*BETWEEN, *KEPT])
def test_what_stands_between_two_pairs(name: str, tmp_path: Path) -> None:
    file = OnnxFile()
    between = (BETWEEN | KEPT)[name](file, file.pair("x", 0.03, 9))
    graph = load(file.save(tmp_path / "m.onnx", (1, 3, 4, 4), file.pair(between, 0.05, 70)))
    edge = graph.inputs[0].type
    wanted = (0.027294117957353592, 23) if name in BETWEEN else (0.029999999329447746, 9)
    assert (edge.scale, edge.zero_point) == wanted


def test_three_pairs_and_readers_of_the_last(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.pair(file.pair(file.pair("x", 0.0744, -8), 0.0746, 3), 0.0643, -41)
    ends = [file.op("Relu", y), file.op("Sigmoid", y)]
    graph = load(file.save(tmp_path / "m.onnx", (1, 4), *[file.pair(e, 0.1, 1) for e in ends]))
    edge = graph.inputs[0].type
    assert (edge.scale, edge.zero_point) == THREE


THREE = (0.058280471712350845, -32)


def test_a_pair_that_is_read_more_than_once_stays(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.pair("x", 0.03, 9)
    ends = file.pair(y, 0.05, 70), file.pair(file.op("Relu", y), 0.05, 70)
    graph = load(file.save(tmp_path / "m.onnx", (1, 4), *ends))
    assert graph.inputs[0].type.zero_point == 9


MOVED: dict[str, Callable[[OnnxFile, str], str]] = {
    "behind": lambda f, y: turned(f, f.pair(turned(f, y, THERE), 0.05, 70), BACK),
    "around a pool": lambda f, y: f.pair(
        turned(f, f.op("MaxPool", turned(f, y, THERE), kernel_shape=[2, 2]), BACK), 0.05, 70),
    "three": lambda f, y: f.pair(turned(f, y, THERE, THERE, THERE), 0.05, 70),
    "two that do not cancel": lambda f, y: f.pair(turned(f, y, THERE, THERE), 0.05, 70),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVED)
def test_transposes_that_the_runtime_moves_are_refused(name: str, tmp_path: Path) -> None:
    file = OnnxFile()
    y = MOVED[name](file, file.pair("x", 0.03, 9))
    assert "the runtime moves transposes" in refusal(
        file.save(tmp_path / "m.onnx", (1, 3, 4, 4), y)
    )


def test_pairs_without_numbers_in_common(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.pair(file.pair("x", 0.03, 127), 0.05, -128)
    assert "no numbers in common" in refusal(file.save(tmp_path / "m.onnx", (1, 4), y))


def test_what_nobody_reads_is_a_reader(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.pair("x", 0.03, 9)
    file.op("Identity", y)
    graph = load(file.save(tmp_path / "m.onnx", (1, 4), file.pair(y, 0.05, 70)))
    assert graph.inputs[0].type.zero_point == 9


@pytest.mark.parametrize("place", ["before", "behind"])
@pytest.mark.parametrize("count", [2, 3])
def test_several_pairs_beside_a_move(count: int, place: str, tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.op("Relu", file.pair("x", 0.1))
    y = file.op("MaxPool", y, kernel_shape=[2, 2]) if place == "before" else y
    for scale in (0.03, 0.05, 0.06)[:count]:
        y = file.pair(y, scale, 70)
    y = file.op("Reshape", y, file.wholes(1, -1)) if place == "behind" else y
    path = file.save(tmp_path / "m.onnx", (1, 3, 4, 4), file.pair(file.op("Relu", y), 0.05))
    if count == 2:
        load(path)
    else:
        assert "beside a move of elements" in refusal(path)


def test_many_pairs_some_of_them_equal(tmp_path: Path) -> None:
    file, y = OnnxFile(), "x"
    for scale in (0.03, 0.04, 0.04, 0.05, 0.05):
        y = file.pair(y, scale, 7)
    assert "follow each other" in refusal(file.save(tmp_path / "m.onnx", (1, 4), y))


MOVES: dict[str, Callable[[OnnxFile, str], str]] = {
    "Reshape": lambda f, y: f.op("Reshape", y, f.wholes(1, 3, 2, 8)),
    "MaxPool": lambda f, y: f.op("MaxPool", y, kernel_shape=[2, 2]),
    "Slice": lambda f, y: f.op("Slice", y, f.wholes(1), f.wholes(4), f.wholes(2)),
}


@pytest.mark.parametrize("beside", ["a quantizer", "nothing", "an output"])
@pytest.mark.parametrize("kind", MOVES)
def test_readers_beside_a_quantizer_are_in_float32(kind: str, beside: str, tmp_path: Path) -> None:
    file = OnnxFile()
    y = MOVES[kind](file, file.pair("x", 0.03))
    ends = [y] if beside == "an output" else []
    if beside == "a quantizer":
        ends = [file.pair(file.op("Identity", y), 0.04)]
    conv = file.pair(file.op("Conv", y, file.weights(2, 3, 1, 1)), 0.05)
    path = file.save(tmp_path / "m.onnx", (1, 3, 4, 4), *ends, conv)
    if beside == "a quantizer":
        assert "a QuantizeLinear reads its input too" in refusal(path)
    else:
        load(path)


@pytest.mark.oracle
def test_random_chains_of_pairs_equal_the_runtime(tmp_path: Path) -> None:
    path, joined = tmp_path / "m.onnx", 0
    for seed in range(60):
        file = OnnxFile(seed)
        rng, kind = file.rng, [np.int8, np.uint8][seed % 2]
        limits, y = np.iinfo(kind), "x"
        for _ in range(rng.integers(2, 5)):
            zero = int(rng.integers(limits.min // 2, limits.max // 2))
            y = file.pair(y, round(float(rng.uniform(0.02, 0.06)), 4), zero, kind)
            some = [None, *BETWEEN.values(), KEPT["reshape"], KEPT["relu"]]
            between = some[rng.integers(len(some))]
            y = between(file, y) if between and between is not BETWEEN["there and back"] else y
        file.save(path, (1, 3, 4, 4), file.pair(y, 0.05, 3, kind))
        x = rng.normal(0, 1.5, (4, 1, 3, 4, 4)).astype(np.float32)
        try:
            graph = load(path)
        except UserError:
            continue
        scale = graph.inputs[0].type.scale
        joined += all(scale != number.item() for number in rounded(file))
        got = hwgen.run(graph, x[:, 0], real=True)[graph.outputs[0]]
        assert np.array_equal(got, runtime(path, x)[0][:, 0]), seed
    assert joined > 20


def rounded(file: OnnxFile) -> list[np.float32]:
    """All stored float32 numbers."""
    arrays = [np.frombuffer(c.raw_data, np.float32) for c in file.constants if c.data_type == 1]
    return [number for array in arrays for number in array]
