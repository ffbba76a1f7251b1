"""ONNX: what stands behind the last integers, and outputs that are one tensor."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.cli import main
from hwgen.importers import load
from hwgen.numeric import parse_type
from tests.helpers.onnx_files import OnnxFile
from tests.helpers.refusals import refusal

SHAPE = (1, 2, 2, 4)
REAL = np.linspace(-3, 3, 16, dtype=np.float32).reshape(SHAPE)
SENTENCE = "the same increasing arithmetic on all of them is left out"

TAILS: dict[str, Callable[[OnnxFile], str]] = {
    "AveragePool": lambda f: f.op("AveragePool", "x", kernel_shape=[2, 2]),
    "ReduceMean": lambda f: f.op("ReduceMean", "x", axes=[2, 3]),
    "LeakyRelu": lambda f: f.op("LeakyRelu", "x", alpha=0.5),
    "half": lambda f: f.op("Div", "x", f.real(2)),
}


@pytest.mark.parametrize("name", TAILS)
def test_what_integers_lack_is_said(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = OnnxFile()
    path = str(file.save(tmp_path / "m.onnx", SHAPE, TAILS[name](file)))
    x = np.zeros(SHAPE, np.int64)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "d.npz", x=x, y=[0])
    commands = [
        ["inspect"],
        ["run", "--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy")],
        ["eval", "--data", str(tmp_path / "d.npz")],
    ]
    if name == "AveragePool":
        commands.append(["build", "--out", str(tmp_path / "p")])
    for command, *more in commands:
        assert main([command, path, *more, "--input-type", "s8.0"]) == 0
        assert SENTENCE in capsys.readouterr().out, command
    for command, *more in commands[1:3]:
        assert main([command, path, *more, "--input-type", "s8.0", "--json"]) == 0
        (sentence,) = json.loads(capsys.readouterr().out)["left_out"]
        assert sentence.endswith(SENTENCE)
    graph = load(Path(path), input_type=parse_type("s8.0"))
    assert graph.without_reals == graph.outputs


def test_a_relu_behind_the_last_quantizer(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.op("Relu", file.op("Relu", file.pair("x", 0.03, 9)))
    graph = load(file.save(tmp_path / "m.onnx", SHAPE, y))
    codes = np.clip(np.rint(REAL / np.float32(0.03)) + 9, -128, 127) - 9
    wanted = np.maximum(codes.astype(np.float32) * np.float32(0.03), 0)
    got = hwgen.run(graph, REAL, real=True)[graph.outputs[0]]
    assert np.array_equal(got, wanted)


REFUSED: dict[str, tuple[Callable[[OnnxFile, str], str], str]] = {
    "six": (lambda f, y: f.op("Clip", y, f.real(0), f.real(6)), "a bound (Relu or Clip)"),
    "falls": (lambda f, y: f.op("Mul", y, f.real(-3)), "arithmetic that falls where its input"),
    "channels": (lambda f, y: f.op("Mul", y, f.real([[[2.1]], [[3.3]]])),
                 "arithmetic that differs between channels"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_tails_that_are_refused(name: str, tmp_path: Path) -> None:
    build, reason = REFUSED[name]
    file = OnnxFile()
    y = build(file, file.pair("x", 0.03, 9))
    assert reason in refusal(file.save(tmp_path / "m.onnx", SHAPE, y))


def test_outputs_that_are_one_tensor(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.pair("x", 0.0625)
    y = file.pair(file.op("Sigmoid", y), 0.0625)
    ends = y, file.op("Identity", y), file.op("Transpose", y, perm=[0, 2, 3, 1])
    graph = load(file.save(tmp_path / "m.onnx", SHAPE, *ends))
    got = [hwgen.run(graph, REAL, real=True)[name] for name in graph.outputs]
    assert len(set(graph.outputs)) == 3
    assert np.array_equal(got[0], got[1])
    assert np.array_equal(got[2], got[0].transpose(0, 2, 3, 1))


def test_integers_of_a_network_of_integers_keep_its_tail(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.op("Mul", file.op("Add", "x", file.real(5)), file.real(3))
    graph = load(file.save(tmp_path / "m.onnx", SHAPE, y), input_type=parse_type("s8.0"))
    x = np.arange(16).reshape(SHAPE) - 9
    assert np.array_equal(hwgen.run(graph, x)[graph.outputs[0]], (x + 5) * 3)
    assert not graph.left_out() and not graph.without_reals


def test_a_softmax_at_the_end_that_is_read_on(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.op("Softmax", file.pair("x", 0.05), axis=1)
    ends = y, file.pair(file.op("Relu", y), 0.01)
    assert "another operator reads it too" in refusal(file.save(tmp_path / "m.onnx", SHAPE, *ends))
