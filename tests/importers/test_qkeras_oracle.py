"""Imported graphs against frozen outputs of QKeras itself (scripts/make_qkeras_fixtures.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import hwgen
from hwgen.errors import UserError
from hwgen.importers import load
from hwgen.importers.keras.architecture import KerasLayer
from hwgen.importers.qkeras.functions import quantizer_function
from hwgen.importers.qkeras.parameters import quantize_bias, quantize_kernel
from hwgen.importers.qkeras.quantizers import activation_quantizer, parse_quantizer
from hwgen.ir import Graph, execute, ops
from hwgen.numeric import dequantize, parse_type, quantize

FIXTURES = Path(__file__).parent / "fixtures"
MODELS = Path(hwgen.__path__[0]) / "models"

Array = np.ndarray[Any, Any]

REFUSED = {
    "float_model": ("conv2d", "not quantized"),
}
"""Models that are not supported (yet): the layer that is named, and a part of the reason."""


def run(graph: Graph, reals: Array) -> dict[str, Array]:
    """Real values of every edge, for real inputs quantized as the model's input type says."""
    tensor = graph.inputs[0]
    x = quantize(reals.astype(np.float64), tensor.type)
    got = execute(graph, {tensor.name: x}, [node.name for node in graph.nodes])
    return {name: dequantize(value, graph.tensors[name].type) for name, value in got.items()}


def model_file(name: str) -> Path:
    path = FIXTURES / f"{name}.h5"
    return path if path.exists() else path.with_suffix(".json")


@pytest.mark.parametrize(
    "name", sorted(p.stem for p in FIXTURES.glob("*.npz") if model_file(p.stem).exists())
)
def test_model(name: str) -> None:
    frozen = np.load(FIXTURES / f"{name}.npz")
    oracle = json.loads(str(frozen["info"]))["oracle"]
    graph = load(model_file(name))
    got = run(graph, frozen["x"])
    np.testing.assert_array_equal(got[graph.outputs[0]], frozen[oracle])
    if oracle == "y":
        kinds = (": raw sums", ": rounded already")
        raw = [n.split(":")[0].split(", ") for n in graph.notes if any(k in n for k in kinds)]
        for layer in set(got) - {name for names in raw for name in names}:
            if (key := f"trace.{layer}") in frozen.files:
                trace = frozen[key]
                np.testing.assert_array_equal(got[layer][: len(trace)], trace, err_msg=layer)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    layer, part = REFUSED[name]
    with pytest.raises(UserError) as caught:
        load(model_file(name))
    assert caught.value.layer == layer and part in str(caught.value)
    assert str(model_file(name)) in str(caught.value)


def quantizer_cases() -> list[Any]:
    return [json.loads(str(text)) for text in np.load(FIXTURES / "quantizers.npz")["configs"]]


def test_quantizers() -> None:
    """Every frozen configuration, in each place where it may stand."""
    cases = quantizer_cases()
    assert len(cases) > 100
    data = np.load(FIXTURES / "quantizers.npz")
    for case in cases:
        part = slice(case["start"], case["start"] + int(np.prod(case["shape"])))
        x, y = (data[k][part].reshape(case["shape"]) for k in ("x", "y"))
        for place in places(case):
            value = in_place(place, case, x)
            scaled = "scale" in case and place == "kernel"
            # QKeras rounds code * scale to float32, the graph does not.
            value = value.astype(np.float32) if scaled else value
            np.testing.assert_array_equal(value, y, err_msg=f"{place} {case}")


def places(case: Any) -> list[str]:
    """Where a quantizer can stand; all else is refused (test_qkeras_refused)."""
    name, config = case["class_name"], case["config"]
    if name in ("binary", "ternary"):
        return ["kernel"]
    if name == "quantized_po2":
        return ["activation", "kernel"]
    if name == "quantized_relu":
        return ["activation"]
    if name != "quantized_bits":
        return []
    if isinstance(config["alpha"], str):
        return ["kernel"]
    # A kernel with alpha None is another quantizer: auto_po2.
    return ["activation", "bias"] + ["kernel"] * (config["alpha"] is not None)


def in_place(place: str, case: Any, x: Array) -> Array:
    """Quantized values of a case as an activation, a kernel or a bias."""
    layer = KerasLayer("QDense", "layer", {})
    spec = parse_quantizer(case, layer, "quantizer")
    assert spec is not None
    if place == "activation" and (function := quantizer_function(spec)) is not None:
        return np.array([float(function.value(Fraction(float(v)))) for v in x])
    if place == "activation":
        q = activation_quantizer(spec)
        if q.binary:
            return np.where(x >= 0, 1, -1) * 2.0**-q.type.frac
        # Codes are taken on the quantizer's grid; alpha is in the type's fractional bits.
        codes = quantize(np.ldexp(x.astype(np.float64), q.grid - q.type.frac), q.type)
        return dequantize(codes, q.type)
    if place == "kernel":
        columns = x.reshape(-1, 1) if x.ndim == 1 else x
        kernel = quantize_kernel(spec, columns)
        if "scale" in case:
            steps = [float(s) * 2.0**-kernel.type.frac for s in kernel.scale]
            used = np.any(kernel.codes.reshape(-1, len(steps)), axis=0)
            np.testing.assert_array_equal(
                np.array(steps)[used], np.array(case["scale"]).reshape(-1)[used]
            )
        scale = np.array([float(s) for s in kernel.scale])
        return (dequantize(kernel.codes, kernel.type) * scale).reshape(x.shape)
    return np.array([float(v) for v in quantize_bias(spec, x)])


def test_shipped_model() -> None:
    """Every layer of the shipped CNN, on its shipped digits."""
    path = MODELS / "mnist_cnn.h5"
    frozen, digits = (np.load(MODELS / f"mnist_{n}.npz") for n in ("cnn_oracle", "digits"))
    graph = load(path)
    assert graph.macs == 307_648
    got = run(graph, digits["x"].reshape(-1, *graph.inputs[0].shape) / 256)
    np.testing.assert_array_equal(got[graph.outputs[0]], frozen["logits"])
    order = [int(np.flatnonzero(digits["index"] == i)[0]) for i in frozen["traced"]]
    traced = [name for name in got if name in frozen.files]
    assert len(traced) == len(graph.nodes)
    for name in traced:
        np.testing.assert_array_equal(got[name][order], frozen[name], err_msg=name)


Shared = Callable[[str], Path]
NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def test_shared_architecture_and_weights(shared: Shared) -> None:
    graph = load(shared("models/qkeras/qkeras_3layer.json"))
    assert [n.name for n in graph.nodes] == [
        *("fc1", "relu1", "fc2", "relu2", "fc3", "relu3", "output")
    ]
    assert graph.inputs[0].shape == (16,) and graph.tensors["output"].shape == (5,)


RN07_SEED = 20
RN07_FROZEN = "rn07_logits.npz"
"""Logits of MLPerf Tiny's RN07 as QKeras 0.9.0 computes them, on seeded u8.8 inputs."""


def test_shared_resnet(shared: Shared) -> None:
    """A real network with batch norms inside its convolutions."""
    graph = load(shared("models/qkeras/mlperf_tiny_ic_rn07_8bit.h5"))
    frozen = np.load(FIXTURES / RN07_FROZEN)["logits"]
    x = np.random.default_rng(RN07_SEED).integers(0, 256, (len(frozen), *graph.inputs[0].shape))
    got = execute(graph, {graph.inputs[0].name: x})[graph.outputs[0]]
    np.testing.assert_array_equal(dequantize(got, graph.tensors[graph.outputs[0]].type), frozen)


def test_shared_autoencoder(shared: Shared) -> None:
    """Its QDenseBatchnorm is of a fork of QKeras: the folded numbers are recomputed here."""
    path = shared("models/qkeras/mlperf_tiny_ad08.h5")
    graph = load(path)
    with h5py.File(path) as file:
        group = file["model_weights/q_dense_batchnorm_1/q_dense_batchnorm_1"]
        kernel = group["kernel:0"][:].astype(np.float64)
        norm = {k: group[f"batch_normalization_1/{k}:0"][:].astype(np.float64) for k in NORM}
    factor = norm["gamma"] / np.sqrt(norm["moving_variance"] + 1e-3)
    op = next(n.op for n in graph.nodes if n.name == "q_dense_batchnorm_1")
    assert isinstance(op, ops.Dense)
    assert op.weight_type == parse_type("s12.5")
    np.testing.assert_array_equal(op.weights, np.rint(kernel * factor * 32))
    shapes = [graph.tensors[n.name].shape for n in graph.nodes if n.op.op_name == "dense"]
    assert shapes == [(72,), (72,), (8,), (72,), (72,), (64,)]
