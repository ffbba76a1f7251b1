"""Imported graphs against a plain float64 evaluation of the same Keras layers: equal, always."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from hwgen.importers import load
from hwgen.ir import Graph, execute, graph_from_json, graph_to_json
from hwgen.ir.ops import AvgPool, BatchNorm, Conv2D, Dense, MaxPool, Relu, Requantize
from hwgen.numeric import dequantize, parse_type

Array = np.ndarray[Any, Any]


def quantized(field: Any, x: Array) -> Array:
    """quantized_bits and quantized_relu with a number alpha, in float64."""
    c = field["config"]
    if field["class_name"] == "quantized_relu":
        step = 2.0 ** (c["integer"] - c["bits"])
        return step * np.clip(np.rint(x / step), 0, 2.0 ** c["bits"] - 1)
    alpha = float(np.float32(c["alpha"] or 1))
    unsigned = c["bits"] - c["keep_negative"]
    if unsigned == 0:
        return alpha * np.where(x >= 0, 1.0, -1.0)
    step = 2.0 ** (c["integer"] - unsigned)
    low = -(2.0**unsigned) + c["symmetric"] if c["keep_negative"] else 0
    return alpha * step * np.clip(np.rint(x / step), low, 2.0**unsigned - 1)


def kernel_values(field: Any, x: Array) -> Array:
    """Effective weights: code * float32 scale."""
    c = field["config"]
    if not isinstance(c["alpha"], str):
        return quantized(field, x.astype(np.float64))
    axes = tuple(range(x.ndim - 1))
    top = 2 ** (c["bits"] - 1) - 1
    x = x / np.float32(2.0 ** c["integer"])
    scale = (np.abs(x).max(axes) * np.float32(2)) / np.float32(2 * top)
    po2 = lambda s: np.float32(2) ** np.rint(np.log2(s + np.float32(1e-7)))  # noqa: E731
    code = lambda s: np.sign(x) * np.minimum(np.floor(np.abs(x) / s + np.float32(0.5)), top)  # noqa: E731
    z = x
    if c["alpha"] == "auto_po2":
        scale = po2(scale)
        for _ in range(5):
            z = code(scale)
            scale = po2((x * z).mean(axes) / ((z * z).mean(axes) + np.float32(1e-7)))
    z = code(scale) if c["alpha"] == "auto" else z
    return z.astype(np.float64) * scale.astype(np.float64) * 2.0 ** c["integer"]


def windows(x: Array, kernel: tuple[int, ...], config: Any, fill: float) -> Array:
    """(frames, rows, columns, channels, kernel rows, kernel columns)"""
    strides = config["strides"]
    if config["padding"] == "same":
        pads = [(0, 0)]
        for k, s, n in zip(kernel, strides, x.shape[1:3], strict=True):
            total = max(0, (-(-n // s) - 1) * s + k - n)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [*pads, (0, 0)], constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, (1, 2))  # type: ignore[call-overload]
    return view[:, :: strides[0], :: strides[1]]


def activation(field: Any, x: Array) -> Array:
    if field in ("linear", "softmax", None):
        return x
    return np.maximum(x, 0) if field == "relu" else quantized(field, x)


def keras_layer(layer: Any, weights: dict[str, Array], x: Array) -> Array:
    kind, c = layer["class_name"], layer["config"]
    if kind in ("QActivation", "Activation"):
        return activation(c["activation"], x)
    if kind == "ReLU":
        return np.clip(x, 0, np.inf if c["max_value"] is None else c["max_value"])
    if kind == "Flatten":
        return x.reshape(len(x), -1)
    if kind == "Reshape":
        return x.reshape(len(x), *c["target_shape"])
    if kind == "BatchNormalization":
        w = {k: v.astype(np.float64) for k, v in weights.items()}
        scale = w["gamma"] / np.sqrt(w["moving_variance"] + c["epsilon"])
        return x * scale + (w["beta"] - w["moving_mean"] * scale)
    if kind == "MaxPooling2D":
        return windows(x, c["pool_size"], c, -np.inf).max((4, 5))
    if kind == "AveragePooling2D":
        return np.nanmean(windows(x, c["pool_size"], c, np.nan), (4, 5))
    if kind in ("QConv2D", "QDense"):
        kernel = kernel_values(c["kernel_quantizer"], weights["kernel"])
        if kind == "QConv2D":
            view = windows(x, kernel.shape[:2], c, 0)
            x = np.einsum("nyxchw,hwco->nyxo", view, kernel)
        else:
            x = x @ kernel
        if c["use_bias"]:
            bias = weights["bias"].astype(np.float64)
            x = x + (quantized(c["bias_quantizer"], bias) if c["bias_quantizer"] else bias)
        return activation(c["activation"], x)
    return x


def compare(keras: Any, model: Any, seed: int = 0, same: Any = None, **options: Any) -> Graph:
    """Import, run and compare every edge that has a layer's name and, in ``same``, its value."""
    weights = keras.random_weights(model, np.random.default_rng(seed))
    graph = load(keras.write(model, weights), **options)
    copy = graph_from_json(graph_to_json(graph))
    tensor = graph.inputs[0]
    rng = np.random.default_rng(seed + 1)
    x = rng.integers(tensor.type.min, tensor.type.max + 1, (20, *tensor.shape))
    names = [node.name for node in graph.nodes]
    notes = [n.split(":")[0].split(", ") for n in graph.notes if ": raw sums" in n]
    raw = {edge for note in notes for edge in note}
    got = execute(graph, {tensor.name: x}, names)
    again = execute(copy, {tensor.name: x}, names)
    real = dequantize(x, tensor.type)
    edges = {}
    for layer in model["config"]["layers"]:
        name = layer["config"]["name"]
        real = keras_layer(layer, weights.get(name, {}), real)
        edges[name] = real
    for name in names:
        np.testing.assert_array_equal(got[name], again[name])
        # An edge with a layer's name has that layer's values, unless a note says raw sums.
        if name in edges and name not in raw and (same is None or name in same):
            value = dequantize(got[name], graph.tensors[name].type)
            np.testing.assert_array_equal(value, edges[name], err_msg=name)
    output = graph.outputs[0]
    value = dequantize(got[output], graph.tensors[output].type)
    np.testing.assert_array_equal(value, real)
    assert np.unique(value).size > 1
    return graph


def ops(graph: Graph) -> list[tuple[str, type]]:
    return [(node.name, type(node.op)) for node in graph.nodes]


@pytest.mark.parametrize("functional", [False, True])
def test_plain_network(keras: Any, functional: bool) -> None:
    make = keras.functional if functional else keras.sequential
    model = make(
        keras.input(8, 8, 2),
        keras.conv("conv1", 4, keras.bits(6)),
        keras.act("act1", keras.relu(5, 1)),
        keras.pool("MaxPooling2D", "pool1"),
        keras.layer("Dropout", "drop", rate=0.5),
        keras.conv("conv2", 3, keras.bits(4, 1, symmetric=1), padding="valid", strides=[2, 2]),
        keras.act("act2", keras.bits(6, 2)),
        keras.layer("Flatten", "flat", data_format="channels_last"),
        keras.dense("fc", 5),
        keras.layer("Activation", "softmax", activation="softmax"),
    )
    graph = compare(keras, model)
    assert [name for name, _ in ops(graph)] == [
        *("conv1", "act1", "pool1", "conv2", "act2", "flat", "fc")
    ]
    assert "u8.8 assumed" in graph.notes[0] and "softmax" in graph.notes[1]
    compare(keras, model, input_type=parse_type("s6.3"))


def kernels() -> list[dict[str, Any]]:
    numbers = [{"bits": b, "integer": i} for b in (1, 2, 3, 8) for i in (0, 1)]
    scales = [{"alpha": a} for a in (2, 0.125, 0.75, 3.3)] + [{"bits": 1, "alpha": 0.5}]
    signs = [{"keep_negative": False}, {"keep_negative": 0, "bits": 1}, {"symmetric": True}]
    autos = [{"alpha": a, "bits": b} for a in ("auto", "auto_po2") for b in (2, 4, 8)]
    return numbers + scales + signs + autos + [{"alpha": "auto", "integer": 1}]


@pytest.mark.parametrize("config", kernels(), ids=str)
@pytest.mark.parametrize("bias", ["quantized", "float", "none"])
def test_kernels_before_a_quantizer(keras: Any, config: dict[str, Any], bias: str) -> None:
    more: dict[str, Any] = {"quantized": {}, "float": {"bias_quantizer": None}}.get(
        bias, {"use_bias": False}
    )
    model = keras.sequential(
        keras.input(6, 6, 2),
        keras.conv("conv", 4, keras.bits(**config), **more),
        keras.pool("MaxPooling2D", "pool", padding="same"),
        keras.act("act1", keras.relu(6, 3)),
        keras.layer("Flatten", "flat"),
        keras.dense("fc", 8, keras.bits(**config), **more),
        keras.act("act2", keras.bits(12, 8)),
    )
    graph = compare(keras, model)
    want = [("conv", Conv2D), ("pool", MaxPool), ("act1", Requantize)]
    assert ops(graph)[:3] == want


def test_zero_channels_and_small_channels(keras: Any) -> None:
    """A channel of zeros has no scale, and scales far apart keep multipliers narrow."""
    for alpha in ("auto", "auto_po2"):
        model = keras.sequential(
            keras.input(6), keras.dense("fc", 3, keras.bits(4, alpha=alpha)), keras.act("act", None)
        )
        model["config"]["layers"][2]["config"]["activation"] = keras.bits(10, 2)
        weights = keras.random_weights(model, np.random.default_rng(0))
        weights["fc"]["kernel"][:, 1] = 0
        weights["fc"]["kernel"][:, 2] *= 1e-9
        graph = load(keras.write(model, weights))
        op = graph.nodes[1].op
        assert isinstance(op, Requantize)
        assert max(int(m).bit_length() for m in op.mult) <= 40
        y = execute(graph, {"data": np.full((1, 6), 255)})["act"]
        assert y.shape == (1, 3)


def test_activation_inside_layers(keras: Any) -> None:
    model = keras.sequential(
        keras.input(6, 6, 1),
        keras.conv("conv1", 4, activation=keras.relu(4, 1)),
        keras.conv("conv2", 3, keras.bits(4, alpha=0.75), activation="relu"),
        keras.act("act2", keras.relu(4, 2)),
        keras.layer("Flatten", "flat"),
        keras.dense("fc", 5, activation="softmax"),
    )
    graph = compare(keras, model)
    names = [name for name, _ in ops(graph)]
    assert names == ["conv1_acc", "conv1", "conv2", "act2", "flat", "fc"]


@pytest.mark.parametrize("alpha", [1, 0.75, "auto", "auto_po2"])
@pytest.mark.parametrize("high", [None, 1.5, 0.7])
def test_relu_then_pool_then_quantizer(keras: Any, alpha: Any, high: float | None) -> None:
    model = keras.sequential(
        keras.input(6, 6, 2),
        keras.conv("conv", 4, keras.bits(5, alpha=alpha)),
        keras.layer("ReLU", "relu", max_value=high),
        keras.pool("MaxPooling2D", "pool"),
        keras.layer("Flatten", "flat"),
        keras.act("act", keras.bits(6, 1)),
    )
    graph = compare(keras, model)
    if alpha == 1 and high != 0.7:
        assert ops(graph)[1] == ("relu", Relu)


@pytest.mark.parametrize("quantizer", ["relu", "bits", "alpha"])
@pytest.mark.parametrize("alpha", [1, 0.75, "auto", "auto_po2"])
def test_batch_normalization(keras: Any, alpha: Any, quantizer: str) -> None:
    act = {"relu": keras.relu(5, 2), "bits": keras.bits(5, 2), "alpha": keras.bits(5, 2, alpha=2.0)}
    norm = {"axis": [3], "epsilon": 0.001, "center": True, "scale": True}
    model = keras.sequential(
        keras.input(6, 6, 2),
        keras.conv("conv", 4, keras.bits(5, alpha=alpha)),
        keras.layer("BatchNormalization", "norm1", **norm),
        keras.layer("ReLU", "relu", max_value=1.3),
        keras.act("act1", act[quantizer]),
        keras.conv("conv2", 4),
        keras.layer("BatchNormalization", "norm2", **norm),
        keras.pool("MaxPooling2D", "pool"),
        keras.act("act2", act["relu"]),
    )
    graph = compare(keras, model, same=("act1", "act2"))
    assert ops(graph)[1] == ("act1", BatchNorm)
    assert [n for n, _ in ops(graph)[3:]] == ["norm2", "pool", "act2"]


def test_batch_normalization_without_scale_and_center(keras: Any) -> None:
    layer = keras.layer("BatchNormalization", "n", axis=1, epsilon=0.5, center=False, scale=False)
    model = keras.sequential(
        keras.input(6), keras.dense("fc", 4), layer, keras.act("act", keras.bits(8, 2))
    )
    full = keras.random_weights(model, np.random.default_rng(3))
    bare = {**full, "n": {k: v for k, v in full["n"].items() if k.startswith("moving")}}
    unit = {"gamma": np.ones(4, np.float32), "beta": np.zeros(4, np.float32)}
    op = load(keras.write(model, bare)).nodes[1].op
    model["config"]["layers"][2]["config"] |= {"center": True, "scale": True}
    other = load(keras.write(model, {**full, "n": full["n"] | unit})).nodes[1].op
    assert isinstance(op, BatchNorm) and isinstance(other, BatchNorm)
    np.testing.assert_array_equal(op.scale, other.scale)
    np.testing.assert_array_equal(op.offset, other.offset)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_average_pooling(keras: Any, padding: str) -> None:
    pool = "AveragePooling2D"
    model = keras.sequential(
        keras.input(9, 9, 2),
        keras.pool(pool, "exact", 2, padding=padding),
        keras.conv("conv", 4),
        keras.act("act1", keras.relu(4, 1)),
        keras.pool(pool, "nine", 3, strides=[1, 1], padding=padding),
        keras.act("act2", keras.relu(5, 1)),
        keras.pool(pool, "four", 2, padding=padding),
        keras.layer("ReLU", "relu", max_value=0.3),
        keras.act("act3", keras.bits(5, 1)),
    )
    graph = compare(keras, model, same=("exact", "conv", "act1", "act2", "act3"))
    assert graph.tensors["exact"].type.frac == 10
    assert ("act2", AvgPool) in ops(graph) and ("four", AvgPool) in ops(graph)


def test_average_of_scaled_channels(keras: Any) -> None:
    model = keras.sequential(
        keras.input(4, 4, 2),
        keras.conv("conv", 3, keras.bits(3, alpha="auto")),
        keras.pool("AveragePooling2D", "mean"),
        keras.act("act", keras.bits(6, 2)),
    )
    compare(keras, model)


def test_no_quantizer_at_the_end(keras: Any) -> None:
    """The output is exact: an accumulator, or integers that hold scales and biases."""
    model = keras.sequential(keras.input(6), keras.dense("fc", 4, keras.bits(4, alpha="auto_po2")))
    graph = compare(keras, model)
    assert ops(graph) == [("fc_acc", Dense), ("fc", Requantize)]
    model = keras.sequential(keras.input(6), keras.dense("fc", 4, keras.bits(4, alpha=0.75)))
    assert ops(compare(keras, model))[-1] == ("fc", Requantize)
    relu = keras.layer("ReLU", "relu", max_value=0.75)
    model["config"]["layers"].append(relu)
    assert ops(compare(keras, model))[-1][1] is Requantize
    model = keras.sequential(
        keras.input(6),
        keras.dense("fc1", 4, keras.bits(4, alpha="auto_po2")),
        keras.dense("fc2", 3, keras.bits(4)),
    )
    assert [n for n, _ in ops(compare(keras, model))] == ["fc1_acc", "fc1", "fc2"]


def test_one_bit_activations(keras: Any) -> None:
    for alpha in (1, "auto"):
        model = keras.sequential(
            keras.input(6),
            keras.dense("fc1", 16, keras.bits(3, alpha=alpha)),
            keras.act("sign", keras.bits(1)),
            keras.dense("fc2", 4, keras.bits(1)),
        )
        compare(keras, model)


def test_first_quantizer_is_the_input_type(keras: Any) -> None:
    model = keras.sequential(
        keras.input(6), keras.act("in", keras.bits(6, 1, symmetric=1)), keras.dense("fc", 4)
    )
    path = keras.save(model)
    graph = load(path)
    assert str(graph.inputs[0].type) == "s6.4" and graph.nodes[0].name == "fc"
    assert "first quantizer (in)" in graph.notes[0]
    graph = compare(keras, model, input_type=parse_type("s8.5"))
    assert ops(graph)[0] == ("in", Requantize) and str(graph.inputs[0].type) == "s8.5"
    model["config"]["layers"][1] = keras.act("in", keras.bits(6, 1, alpha=2.0))
    assert ops(compare(keras, model))[0] == ("in", Requantize)


def test_quantizer_strings(keras: Any) -> None:
    objects = [keras.bits(6, 1, symmetric=1), keras.relu(5, 2), keras.bits(8, 1, alpha=None)]
    strings = ["quantized_bits(6,1,True,alpha=1.0)", "quantized_relu(5, 2)", "quantized_bits(8,1)"]
    graphs = []
    for kernel, act, last in (objects, strings):
        model = keras.sequential(
            keras.input(6), keras.dense("fc", 4, kernel), keras.act("a", act), keras.act("b", last)
        )
        graph = load(keras.save(model))
        graphs.append(graph_to_json(graph))
    assert graphs[0] == graphs[1]


def test_other_spellings_of_the_same_model(keras: Any) -> None:
    """Registered names, tuples, nested lists, Keras 1 Sequential, input shapes elsewhere."""
    layers = [keras.input(6), keras.dense("fc", 4), keras.act("a", keras.relu())]
    want = graph_to_json(load(keras.save(keras.sequential(*layers))))
    weights = keras.random_weights(keras.sequential(*layers), np.random.default_rng(0))

    def check(model: Any) -> None:
        got = graph_to_json(load(keras.write(model, weights)))
        assert got["layers"][1:] == want["layers"][1:]

    registered = [{**layer, "class_name": "Custom>" + layer["class_name"]} for layer in layers]
    check(keras.sequential(*registered))
    check({"class_name": "Sequential", "config": layers})
    first = {"class_name": "__tuple__", "items": [None, 6]}
    dense = keras.dense("fc", 4, batch_input_shape=first)
    check(keras.sequential(dense, layers[2]))
    model = keras.sequential(*layers[1:])
    model["config"]["build_input_shape"] = [None, 6]
    check(model)
    model = keras.functional(*layers)
    for before, entry in pairwise(model["config"]["layers"]):
        entry["inbound_nodes"] = [[before["name"], 0, 0, {}]]
    model["config"]["output_layers"] = ["a", 0, 0]
    check(model)


def test_long_lists_of_names_are_split_by_keras(keras: Any) -> None:
    import h5py

    model = keras.sequential(keras.input(6), keras.dense("fc", 4))
    path = keras.save(model)
    want = graph_to_json(load(path))
    with h5py.File(path, "r+") as file:
        group: Any = file["model_weights/fc"]
        names = list(group.attrs["weight_names"])
        del group.attrs["weight_names"]
        group.attrs["weight_names0"], group.attrs["weight_names1"] = names[:1], names[1:]
    assert graph_to_json(load(path)) == want


def test_reshape_and_unknown_length(keras: Any) -> None:
    model = keras.sequential(
        keras.input(18),
        keras.layer("Reshape", "image", target_shape=[3, 3, 2]),
        keras.conv("conv", 4),
        keras.layer("Reshape", "vector", target_shape=[36]),
        keras.act("act", keras.relu()),
    )
    graph = compare(keras, model)
    model["config"]["layers"][1]["config"]["target_shape"] = [3, -1, 2]
    weights = keras.random_weights(keras.sequential(keras.input(3, 3, 2)), np.random.default_rng(0))
    weights |= {
        "conv": {
            "kernel": np.ones((3, 3, 2, 4), np.float32),
            "bias": np.ones(4, np.float32),
        }
    }
    assert load(keras.write(model, weights)).tensors["image"].shape == (3, 3, 2)
    assert graph.tensors["vector"].shape == (36,)


def test_note_where_float32_is_not_exact(keras: Any) -> None:
    model = keras.sequential(
        keras.input(6), keras.dense("fc", 4, keras.bits(16)), keras.act("a", keras.relu())
    )
    graph = load(keras.save(model), input_type=parse_type("u12.12"))
    assert any("float32" in note and note.startswith("fc") for note in graph.notes)
