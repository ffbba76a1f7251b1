"""The input's type and the order of arrays: both are the file's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

import hwgen
from hwgen.cli import main
from hwgen.errors import UserError
from hwgen.importers import load
from hwgen.ir import Arrangement, Graph, graph_from_json, graph_to_json
from hwgen.numeric import parse_type
from tests.helpers.onnx_files import OnnxFile
from tests.helpers.refusals import refusal
from tests.importers.test_onnx_qdq import CONV, NODE, end, make, qdq

SEED = 5
EXTRA: dict[str, Any] = {
    "flat": np.array([1, -1]), "image": np.array([1, 4, 4, 4]), "one": np.array([0]),
    "low": np.float32(-1), "high": np.float32(2), "two": np.array([2]),
    "around": np.array([0, 0, 1, 0, 0, 0, 0, 2]),
}  # fmt: skip
BEFORE: dict[str, list[Any]] = {
    "Reshape": [NODE("Reshape", ["x", "flat"], ["v"])],
    "Flatten": [NODE("Flatten", ["x"], ["v"])],
    "Transpose": [NODE("Transpose", ["x"], ["v"], perm=[0, 2, 3, 1])],
    "Squeeze": [NODE("Squeeze", ["x", "one"], ["v"])],
    "Unsqueeze": [NODE("Squeeze", ["x", "one"], ["t"]), NODE("Unsqueeze", ["t", "one"], ["v"])],
    "MaxPool": [NODE("MaxPool", ["x"], ["v"], kernel_shape=[2, 2])],
    "Pad": [NODE("Pad", ["x", "around"], ["v"])],
    "Slice": [NODE("Slice", ["x", "one", "two", "two"], ["v"])],
    "Relu": [NODE("Relu", ["x"], ["v"])],
    "Clip": [NODE("Clip", ["x", "low", "high"], ["v"])],
    "Identity": [NODE("Identity", ["x"], ["v"])],
    "several": [NODE("Flatten", ["x"], ["t"]), NODE("Relu", ["t"], ["k"]),
                NODE("Reshape", ["k", "image"], ["v"])],
}  # fmt: skip


RELU = [*qdq("v", "a"), NODE("Relu", ["a"], ["r"]), *qdq("r", "y")]


def reference(kind: str, x: Any) -> Any:
    """What stands before the quantizer, on one frame of real numbers."""
    relu = np.maximum(x, np.float32(0))
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), (2, 3))
    results = {
        "Transpose": x.transpose(0, 2, 3, 1), "MaxPool": windows.max(axis=(4, 5)), "Relu": relu,
        "Clip": np.clip(x, -1, 2), "several": relu, "Reshape": x.reshape(1, -1),
        "Flatten": x.reshape(1, -1), "Squeeze": x, "Slice": x[:, :, :2],
        "Pad": np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 2))),
    }  # fmt: skip
    return results.get(kind, x)


@pytest.mark.parametrize("kind", BEFORE)
def test_the_first_quantizer_says_the_type(kind: str, tmp_path: Path) -> None:
    graph = load(make(tmp_path / "m.onnx", [*BEFORE[kind], *RELU], extra=EXTRA))
    assert str(graph.inputs[0].type) == "s8*0.05+3" and not graph.unstated
    x = np.random.default_rng(SEED).normal(0, 4, (3, 4, 4, 4)).astype(np.float32)
    got = hwgen.run(graph, x, real=True)[graph.outputs[0]]
    for frame, real in zip(x, got, strict=True):
        value = np.rint(reference(kind, frame[np.newaxis]) / np.float32(0.05)) + 3
        wanted = (np.clip(value, 3, 127) - 3).astype(np.float32) * np.float32(0.05)
        assert np.array_equal(real, wanted[0])


def test_two_quantizers_of_an_input_disagree(tmp_path: Path) -> None:
    nodes = [*qdq("x", "a"), NODE("Flatten", ["x"], ["v"]), *qdq("v", "y", "s2", "z2")]
    path = make(tmp_path / "m.onnx", nodes, ("a", "y"))
    with pytest.raises(UserError, match="quantized in two ways") as caught:
        load(path)
    assert "--input-type" in str(caught.value)
    assert load(path, input_type=hwgen.numeric.parse_type("s8.4")).unstated == ("input",)


SCALED = [NODE("Mul", ["x", "half"], ["v"]), *qdq("v", "a"), *CONV[2:], *end()]


@pytest.fixture
def assuming(tmp_path: Path) -> Path:
    """A file that does not say what its input is before it is multiplied."""
    return make(tmp_path / "m.onnx", SCALED, extra={"half": np.float32(0.5)})


SENTENCE = "input: type u8.8 assumed: the model does not say it (set --input-type)"


def test_every_command_says_what_is_assumed(
    assuming: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.zeros((1, 4, 4, 4), np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "d.npz", x=x.astype(np.int64), y=[0])
    package, data, array = tmp_path / "p", str(tmp_path / "d.npz"), str(tmp_path / "x.npy")
    commands = [
        ["inspect", str(assuming)],
        ["run", str(assuming), "--float", "--input", array, "--output", str(tmp_path / "y.npy")],
        ["eval", str(assuming), "--data", data],
        ["build", str(assuming), "--out", str(package)],
        ["eval", str(package), "--data", data],
    ]
    for command in commands:
        assert main(command) == 0
        assert SENTENCE in capsys.readouterr().out, command
    assert main(["eval", str(assuming), "--data", data, "--input-type", "u8.8"]) == 0
    assert "assumed" not in capsys.readouterr().out


def test_reals_that_the_type_can_not_hold_are_counted(
    assuming: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.full((2, 4, 4, 4), 0.5, np.float32)
    # u8.8 ends at 255/256; what is nearer to it than to 1 is only rounded.
    x[0, 0, 0] = -0.25, 1.0, 7, 0.997
    graph = load(assuming)
    with pytest.warns(UserWarning, match=r"input: 3 of 128 values are outside of 0\.\.0\.996"):
        hwgen.run(graph, x, real=True)
    np.save(tmp_path / "x.npy", x)
    line = ["run", str(assuming), "--float", "--input", str(tmp_path / "x.npy"), "--json"]
    assert main([*line, "--output", str(tmp_path / "y.npy")]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["assumed"] == [SENTENCE] and "3 of 128" in value["warnings"][0]


ORDERS: dict[str, tuple[list[Any], tuple[int, ...], tuple[int, ...], Arrangement | None]] = {
    "NCHW": ([*CONV, *end()], (1, 4, 6, 5), (6, 5, 4), Arrangement((4, 6, 5), (2, 0, 1))),
    "NHWC": (
        [NODE("Transpose", ["x"], ["v"], perm=[0, 3, 1, 2]), *qdq("v", "a"), *CONV[2:], *end()],
        (1, 6, 5, 4), (6, 5, 4), None,
    ),
    "flat": (
        [NODE("Reshape", ["x", "image"], ["v"]), *qdq("v", "a"), *CONV[2:], *end()],
        (1, 64), (4, 4, 4), Arrangement((64,), (2, 0, 1)),
    ),
    "NWHC": (
        [NODE("Transpose", ["x"], ["v"], perm=[0, 3, 2, 1]), *qdq("v", "a"), *CONV[2:], *end()],
        (1, 5, 6, 4), (6, 5, 4), Arrangement((5, 6, 4), (1, 0, 2)),
    ),
    "no batch": ([NODE("Identity", ["x"], ["v"]), *RELU], (4, 6), (4, 6), None),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERS)
def test_arrays_of_inputs_have_the_order_of_the_file(name: str, tmp_path: Path) -> None:
    nodes, shape, ours, order = ORDERS[name]
    graph = load(make(tmp_path / "m.onnx", nodes, shape=shape, extra=EXTRA))
    assert graph.inputs[0].shape == ours
    assert graph.arrays.get("input") == order
    # Nothing moves but at the ends.
    assert not {"slice", "concat"} & {node.op.op_name for node in graph.nodes}


def test_arrangements_turn_arrays_and_back() -> None:
    rng = np.random.default_rng(SEED)
    edge = (2, 3, 4)
    x = rng.integers(0, 100, (5, *edge))
    for axes, shape in (((2, 0, 1), (4, 2, 3)), ((1, 2, 0), (12, 2)), ((2, 1, 0), (24,))):
        order = Arrangement(shape, axes)
        order.check("x", edge)
        given = x.transpose(0, *(a + 1 for a in axes)).reshape(5, *shape)
        assert np.array_equal(order.inward(given, edge), x)
        assert np.array_equal(order.outward(x), given)
        positions = order.outward(np.arange(24).reshape(1, *edge))
        assert Arrangement.found(positions, edge) == order


def moved_at_the_end(tmp_path: Path) -> Graph:
    """A network whose output is transposed to rows first and flattened."""
    nodes = [*CONV, *qdq("r", "v", "s2", "z2"), NODE("Transpose", ["v"], ["t"], perm=[0, 2, 3, 1]),
             NODE("Flatten", ["t"], ["y"])]  # fmt: skip
    return load(make(tmp_path / "m.onnx", nodes, shape=(1, 4, 5, 6)))


def test_every_step_has_the_order_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = moved_at_the_end(tmp_path)
    (out,) = graph.outputs
    assert graph.arrays[out] == Arrangement((36,), (0, 1, 2))
    x = np.random.default_rng(SEED).integers(-128, 128, (3, 4, 5, 6))
    y = hwgen.run(graph, x)[out]
    assert y.shape == (3, 36)
    assert np.array_equal(hwgen.run(graph, x[0], engine="c")[out], y[:1])
    edges = hwgen.run(graph, x, edges=True)
    assert np.array_equal(edges["input"], x) and np.array_equal(edges[out], y)
    package = hwgen.build(tmp_path / "m.onnx", tmp_path / "p", c=True)
    with np.load(package.path / "vectors/vectors.npz") as vectors:
        assert np.array_equal(hwgen.run(graph, vectors["x"])[out], vectors["y"])
    result = hwgen.verify(package, "python", inputs=x[0])
    assert result.equal and np.array_equal(result.outputs, y[:1])
    guide = (package.path / "INTEGRATE.md").read_text()
    assert "[4, 5, 6] in the order channel, row, column" in guide
    assert "[4, 5, 6] in the order channel, row, column" in (package.path / "c/m.h").read_text()
    other = x.transpose(0, 2, 3, 1)
    with pytest.raises(UserError, match=r"shape \(3, 5, 6, 4\); give \(frames, 4, 5, 6\)"):
        hwgen.run(graph, other)
    with pytest.raises(UserError, match=r"shape \(3, 5, 6, 4\); give \(frames, 4, 5, 6\)"):
        hwgen.verify(package, "python", inputs=other)
    data = tmp_path / "data.npz"
    for model in (tmp_path / "m.onnx", package.path):
        np.savez(data, x=other, y=y.argmax(-1))
        assert main(["eval", str(model), "--data", str(data)]) == 2
        said = capsys.readouterr().err
        assert "data.npz: input 'input' has shape (3, 5, 6, 4); give (frames, 4, 5, 6)" in said
        np.savez(data, x=x, y=y.argmax(-1))
        assert main(["eval", str(model), "--data", str(data), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["accuracy"] == 1


def test_descriptions_keep_the_order(tmp_path: Path) -> None:
    graph = moved_at_the_end(tmp_path)
    value = graph_to_json(graph)
    assert value["arrays"]["input"] == {"shape": [4, 5, 6], "axes": [2, 0, 1]}
    assert graph_from_json(value).arrays == graph.arrays
    del value["arrays"]  # as files of earlier versions
    assert graph_from_json(value).arrangement("input").shape == (5, 6, 4)
    for wrong, reason in (
        ({"input": {"shape": [4, 5], "axes": [2, 0, 1]}}, "are not those of an edge"),
        ({"input": {"shape": [4, 5, 6], "axes": [2, 0, 0]}}, "are not those of an edge"),
        ({"conv_mac": {"shape": [36], "axes": [0, 1, 2]}}, "neither an input nor an output"),
        ({"input": {"shape": [4, 5, 6]}}, "arrays.input.axes: is missing"),
    ):
        with pytest.raises(UserError, match=reason):
            graph_from_json(value | {"arrays": wrong})
    with pytest.raises(UserError, match="unstated: expected names of inputs"):
        graph_from_json(value | {"unstated": ["conv_mac"]})


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_a_cast_before_the_first_quantizer_keeps_its_type(dtype: int, tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.pair(file.op("Transpose", file.op("Cast", "x", to=1), perm=[0, 2, 1]), 0.03, 9)
    graph = load(file.save(tmp_path / "m.onnx", (1, 4, 5), y, dtype=dtype))
    edge = graph.inputs[0].type
    assert (edge.scale, edge.zero_point) == (float(np.float32(0.03)), 9) and not graph.unstated


def test_integers_that_a_cast_makes_real_keep_their_own_type(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.pair(file.op("Cast", "x", to=1), 0.03, 9)
    graph = load(file.save(tmp_path / "m.onnx", (1, 4, 5), y, dtype=TensorProto.UINT8))
    assert graph.inputs[0].type.scale in (None, 1.0) and graph.inputs[0].type.max == 255


def test_two_levels_are_no_type_of_an_input(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.op("BipolarQuant", "x", file.real(1), domain="qonnx.custom_op.general")
    path = file.save(tmp_path / "m.onnx", (1, 4, 5), file.op("Identity", y))
    assert "quantized to two levels (BipolarQuant)" in refusal(path)
    graph = load(path, input_type=parse_type("s8.4"))
    x = np.array([-0.5, -0.0625, 0, 0.0625] * 5, np.float32).reshape(1, 4, 5)
    got = hwgen.run(graph, x, real=True)[graph.outputs[0]]
    assert np.array_equal(got.reshape(-1), np.where(x.reshape(-1) < 0, -1, 1))


@pytest.mark.parametrize("kind", ["Gather", "Slice", "Split"])
def test_colours_in_another_order_before_the_first_quantizer(kind: str, tmp_path: Path) -> None:
    file = OnnxFile()
    if kind == "Gather":
        y = file.op("Gather", "x", file.wholes(2, 1, 0), axis=1)
    elif kind == "Slice":
        y = file.op("Slice", "x", *(file.wholes(n) for n in (-1, -9, 1, -1)))
    else:
        parts = [file.op("Slice", "x", *(file.wholes(n) for n in (c, c + 1, 1))) for c in (2, 1, 0)]
        y = file.op("Concat", *parts, axis=1)
    graph = load(file.save(tmp_path / "m.onnx", (1, 3, 4, 5), file.pair(y, 0.0625)))
    x = (np.arange(60).reshape(1, 3, 4, 5) - 30).astype(np.float32) / 16
    got = hwgen.run(graph, x, real=True)[graph.outputs[0]]
    assert np.array_equal(got, x[:, ::-1])
