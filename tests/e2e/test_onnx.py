"""ONNX files all the way: the RTL's integers are those of the runtime."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hwgen

FIXTURES = Path(__file__).parents[1] / "importers" / "fixtures"
MODELS = Path(hwgen.__file__).parent / "models"
REAL_UNIT = 32
"""Real inputs of fixtures are integers divided by it."""


@pytest.mark.parametrize(
    "kind",
    [
        "qdq_channels",
        "qdq_residual",
        "qdq_rows",
        "qdq_ties",
        "qdq_unsigned",
        "qlinear",
        "qonnx_po2",
        "qonnx_scaled",
        "unit_curves",
        "unit_joins",
        "unit_odd",
        "unit_operands",
        "unit_parts",
        "unit_picks",
        "unit_pixels",
        "unit_powers",
        "unit_space",
        "unit_sums",
        "unit_wide",
    ],
)
def test_rtl_equals_golden(kind: str, tmp_path: Path) -> None:
    path = FIXTURES / f"onnx_{kind}.onnx"
    package = hwgen.build(path, tmp_path / "p", multipliers=40)
    x = np.load(path.with_suffix(".npz"))["x"][:3, 0]
    low, high = package.graph.inputs[0].type.min, package.graph.inputs[0].type.max
    x = np.clip(x.astype(np.int64), low, high)
    result = hwgen.verify(package, "python", inputs=x)
    graph = hwgen.load(path)
    assert result.equal
    assert np.array_equal(result.outputs, hwgen.run(graph, x)[graph.outputs[0]])


def test_a_softmax_of_the_runtime_is_a_unit(tmp_path: Path) -> None:
    """The integers are the runtime's; interval and latency are those of the event model."""
    path = FIXTURES / "onnx_unit_classes.onnx"
    package = hwgen.build(path, tmp_path / "p", multipliers=40)
    (unit,) = (unit for unit in package.plan.units if unit.kind == "softmax_table")
    data = np.load(path.with_suffix(".npz"))
    reals = (data["x"][:3, 0] / REAL_UNIT).astype(np.float32)
    x = hwgen.numeric.quantize(reals, package.graph.inputs[0].type)
    result = hwgen.verify(package, "python", inputs=x)
    assert result.equal and np.array_equal(result.outputs, data["y"][:3, 0])
    cycles = json.loads((package.path / "report.json").read_text())["cycles"]
    timing = package.plan.timing()
    assert cycles["interval_measured"] == timing.interval >= 34 * 6 == unit.bounds["compute"]
    assert cycles["latency_measured"] == timing.latency


def test_a_softmax_of_the_runtime_is_left_to_the_host(tmp_path: Path) -> None:
    path = FIXTURES / "onnx_unit_classes.onnx"
    package = hwgen.build(path, tmp_path / "p", multipliers=40, tail="host")
    assert {unit.kind for unit in package.plan.units}.isdisjoint({"softmax", "softmax_table"})
    assert hwgen.verify(package, "python", random=2).equal


def test_a_classifier_of_a_user(shared: Callable[[str], Path], tmp_path: Path) -> None:
    """What the runtime's own quantizer makes of one: its answer, from the RTL."""
    path = shared("cases/05_softmax_qdq.onnx")
    package = hwgen.build(path, tmp_path / "p")
    (edge,) = package.graph.inputs
    reals, wanted = (np.load(path.with_suffix(f".{key}.npy")) for key in "xy")
    x = hwgen.numeric.quantize(reals, edge.type)
    result = hwgen.verify(package, "python", inputs=x[:8])
    out = package.graph.tensors[package.graph.outputs[0]]
    assert result.equal
    assert np.array_equal(hwgen.numeric.dequantize(result.outputs, out.type), wanted[:8])


def digits(count: int) -> np.ndarray:
    with np.load(MODELS / "mnist_digits.npz") as data:
        return data["x"][:count].reshape(-1, 1, 28, 28).astype(np.int64)


def test_the_shipped_qonnx_model_is_the_shipped_qkeras_model(tmp_path: Path) -> None:
    package = hwgen.build(MODELS / "cnn_qonnx.onnx", tmp_path / "p", multipliers=64)
    graph = hwgen.load(MODELS / "cnn_qonnx.onnx")
    x = digits(300)
    assert str(graph.inputs[0].type).startswith("u8.8")
    real = hwgen.run(graph, {graph.inputs[0].name: x / 256}, real=True)[graph.outputs[0]]
    with np.load(MODELS / "cnn_qonnx_oracle.npz") as oracle:
        assert np.array_equal(real, oracle["y"])
    with np.load(MODELS / "mnist_cnn_oracle.npz") as oracle:
        assert np.array_equal(real, oracle["logits"])
    assert package.plan.timing().interval == 5488
    result = hwgen.verify(package, "python", inputs=x[:1])
    assert result.equal
    last = 2.0 ** -graph.tensors[graph.outputs[0]].type.frac
    assert np.array_equal(result.outputs[0].reshape(-1) * last, real[0].reshape(-1))


def test_the_shipped_qdq_model_equals_onnx_runtime() -> None:
    graph = hwgen.load(MODELS / "cnn_qdq.onnx")
    edge, out = graph.inputs[0], graph.tensors[graph.outputs[0]]
    # The model's own quantizer: steps of 1/256 with zero point -128.
    x = digits(300) + edge.type.zero_point
    assert np.array_equal(hwgen.numeric.dequantize(x, edge.type), digits(300) / 256)
    got = hwgen.run(graph, {edge.name: x}, engine="c")[out.name]
    with np.load(MODELS / "cnn_qdq_oracle.npz") as oracle:
        y = oracle["y"]
    with np.load(MODELS / "mnist_digits.npz") as data:
        labels = data["y"][:300]
    assert np.array_equal(got, y.astype(np.int64))
    assert np.array_equal(hwgen.run(graph, {edge.name: x[:40]})[out.name], y[:40])
    assert (y.argmax(axis=1) == labels).sum() == 298
