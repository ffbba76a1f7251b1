"""TensorFlow Lite files all the way: the RTL's integers are those of the runtime."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.cli import main
from tests.helpers.tflite_files import TfFile

FIXTURES = Path(__file__).parents[1] / "importers" / "fixtures"
MODELS = Path(hwgen.__file__).parent / "models"


def frozen(name: str) -> Any:
    return np.load(FIXTURES / f"{name}.npz")


@pytest.mark.parametrize("runtime", ["tflm", "xnnpack", "reference"])
@pytest.mark.parametrize(
    "kind", ["adds", "sequence", "curves", "squeeze", "shapes", "depthwise", "unit_chain"]
)
def test_rtl_equals_the_runtime(kind: str, runtime: str, tmp_path: Path) -> None:
    check_against_the_runtime(kind, runtime, tmp_path)


def test_rtl_of_moved_elements_equals_the_runtime(tmp_path: Path) -> None:
    """Slopes, resizing, exchanged axes and a transposed convolution; all runtimes agree here."""
    check_against_the_runtime("unit_network", "tflm", tmp_path)


def test_rtl_of_dense_layers_of_pixels_equals_the_runtime(tmp_path: Path) -> None:
    """Squeeze and excitation, then rows; the reference kernels round three ties otherwise."""
    check_against_the_runtime("unit_dense_pixels", "reference", tmp_path)


def test_rtl_of_curves_of_16_bits_equals_the_runtime(tmp_path: Path) -> None:
    """LOGISTIC, TANH and SOFTMAX of int16 are sums and products; all runtimes agree here."""
    check_against_the_runtime("unit_short_chain", "tflm", tmp_path)


def check_against_the_runtime(kind: str, runtime: str, tmp_path: Path) -> Package:
    """Build a fixture and simulate two frames: what the runtime gave."""
    path = FIXTURES / f"tflite_{kind}.tflite"
    package = hwgen.build(path, tmp_path / "p", multipliers=40, runtime=runtime)
    data = frozen(f"tflite_{kind}")
    x = data["x0"][:2]
    shape = package.graph.inputs[0].shape
    result = hwgen.verify(package, "python", inputs=x.reshape(len(x), *shape).astype(np.int64))
    assert result.equal
    assert np.array_equal(result.outputs.reshape(-1), data[f"{runtime}.y0"][:2].reshape(-1))
    return package


@pytest.mark.parametrize(
    ("kind", "runtime"),
    [
        ("residual", "tflm"),
        ("residual", "reference"),
        ("residual_uint8", "tflm"),
        ("residual_uint8", "reference"),
        ("residual_uint8", "xnnpack"),
    ],
)
def test_softmax_is_a_unit(kind: str, runtime: str, tmp_path: Path) -> None:
    """The whole network; interval and latency are those of the event model."""
    package = check_against_the_runtime(kind, runtime, tmp_path)
    floats = runtime == "xnnpack"
    name = "softmax_table" if floats else "softmax"
    (unit,) = (unit for unit in package.plan.units if unit.kind == name)
    assert unit.requant_multipliers == (0 if floats else 1)
    report = json.loads((package.path / "report.json").read_text())
    cycles, timing = report["cycles"], package.plan.timing()
    assert cycles["interval_measured"] == cycles["interval_estimate"] == timing.interval
    assert cycles["latency_measured"] == cycles["latency_estimate"] == timing.latency
    (layer,) = (layer for layer in report["layers"] if layer["name"] == unit.name)
    interval = 34 * 5 + 29 if floats else 3 * 5 + 45
    assert layer["interval_estimate"] == layer["interval_measured"] == interval


def test_softmaxes_inside_of_a_network(tmp_path: Path) -> None:
    """Of each pixel, added to what it was made of, and again, as LiteRT computes it by default:
    what goes round waits in a queue."""
    file, shape = TfFile(), (1, 2, 2, 6)
    x = file.input(shape, scale=0.05, zero=3)
    table = {"table": "SoftmaxOptions", "Beta": 1.0}
    inner = file.operator("SOFTMAX", [x], file.tensor(shape, scale=2.0**-8, zero=-128), **table)
    total = file.tensor(shape, scale=0.06, zero=-5)
    file.operator("ADD", [x, inner], total, "AddOptions")
    file.operator("SOFTMAX", [total], file.tensor(shape, "INT16", 2.0**-16, -(1 << 15)), **table)
    path = file.write(tmp_path / "twice.tflite")
    package = hwgen.build(path, tmp_path / "p", runtime="xnnpack")
    assert [unit.kind for unit in package.plan.units].count("softmax_table") == 2
    result = hwgen.verify(package, "python", random=2)
    timing = package.plan.timing()
    assert result.equal and timing.interval >= 4 * (34 * 6 + 29)
    assert (result.interval, result.latency) == (timing.interval, timing.latency)


def test_a_softmax_in_floats_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = TfFile()
    x, y = file.input((1, 6), scale=0.05), file.tensor((1, 6), scale=2.0**-8, zero=-128)
    file.operator("SOFTMAX", [x], y, "SoftmaxOptions", Beta=1.0)
    path, out = file.write(tmp_path / "soft.tflite"), tmp_path / "p"
    command = ["build", str(path), "--out", str(out), "--runtime", "xnnpack", "--arch", "tiled"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "layer 't1'" in said and "float32" in said
    assert "--arch dataflow" in said and "--runtime tflm" in said and "--tail host" in said
    assert not out.exists()


@pytest.mark.parametrize("runtime", ["tflm", "xnnpack"])
def test_a_softmax_is_left_to_the_host(runtime: str, tmp_path: Path) -> None:
    path, out = FIXTURES / "tflite_residual.tflite", tmp_path / "p"
    command = ["build", str(path), "--out", str(out), "--multipliers", "40", "--runtime", runtime]
    assert main([*command, "--tail", "host"]) == 0
    package = Package.open(out)
    graph = hwgen.load(path, runtime=runtime)
    kinds = {unit.kind for unit in package.plan.units}
    assert ("rescaler" in kinds) == (runtime == "xnnpack")
    assert package.graph.outputs == (graph.nodes[-1].inputs[0],)
    x = frozen("tflite_residual")["x0"][:2].reshape(2, 9, 8, 3).astype(np.int64)
    result = hwgen.verify(package, "python", inputs=x)
    logits = hwgen.run(graph, {"input": x}, edges=True)[package.graph.outputs[0]]
    assert result.equal and np.array_equal(result.outputs, logits)


def test_nothing_is_left_where_there_is_no_softmax(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = FIXTURES / "tflite_adds.tflite"
    assert main(["build", str(path), "--out", str(tmp_path / "p"), "--tail", "host"]) == 2
    assert "does not end in a softmax" in capsys.readouterr().err


def test_runtimes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(FIXTURES / "tflite_adds.tflite")
    assert main(["inspect", path, "--runtime", "xnnpack"]) == 0
    assert "xnnpack" in capsys.readouterr().out
    assert main(["inspect", str(FIXTURES / "avgpool.h5"), "--runtime", "tflm"]) == 2
    assert "a runtime was given" in capsys.readouterr().err


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    """A stream for each, or an address."""
    model = FIXTURES / "tflite_two_heads.tflite"
    package = hwgen.build(model, tmp_path / "p")
    result = hwgen.verify(package, "python", random=2)
    assert result.equal and list(result.outputs) == ["flatten", "dense"]
    tiled = hwgen.build(model, tmp_path / "t", arch="tiled", array="8x8")
    assert hwgen.verify(tiled, random=2).equal


@pytest.mark.parametrize("runtime", ["tflm", "xnnpack", "reference"])
def test_the_shipped_residual_network(runtime: str, tmp_path: Path) -> None:
    """Trained on digits: C code equals each runtime on all, golden on 100, RTL on one."""
    path = MODELS / "resnet_tiny_int8.tflite"
    graph = hwgen.load(path, runtime=runtime)
    with np.load(MODELS / "mnist_digits.npz") as data:
        x, labels = data["x"].reshape(-1, 28, 28, 1).astype(np.int64) - 128, data["y"]
    with np.load(MODELS / "resnet_tiny_int8_oracle.npz") as oracle:
        wanted = oracle[runtime].astype(np.int64)
    edge, out = graph.inputs[0], graph.outputs[0]
    assert np.array_equal(hwgen.run(graph, {edge.name: x[:100]})[out], wanted[:100])
    assert np.array_equal(hwgen.run(graph, {edge.name: x}, engine="c")[out], wanted)
    assert (wanted.argmax(axis=1) == labels).sum() == 299
    package = hwgen.build(path, tmp_path / "p", multipliers=150, runtime=runtime)
    result = hwgen.verify(package, inputs=x[:1])
    assert result.equal
    assert np.array_equal(result.outputs.reshape(-1), wanted[0])
