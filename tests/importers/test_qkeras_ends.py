"""How Keras networks end and what they are built of: functions left out, wide results, pools with
quantized factors, models inside of models."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen import api
from hwgen.errors import UserError
from hwgen.importers import load
from hwgen.ir import Graph, execute
from hwgen.numeric import dequantize
from hwgen.passes import legalize

Array = np.ndarray[Any, Any]


def bytes_for(graph: Graph, seed: int, count: int = 100) -> Array:
    """Random integers of a graph's input."""
    (x,) = graph.inputs
    return np.random.default_rng(seed).integers(x.type.min, x.type.max + 1, (count, *x.shape))


def results(graph: Graph, x: Array, *edges: str) -> list[Array]:
    """Real numbers on edges, or of the output; the legal graph has the same integers there."""
    names = edges or graph.outputs
    found = execute(graph, {graph.inputs[0].name: x}, names)
    legal = execute(legalize(graph), {graph.inputs[0].name: x})
    for name in graph.outputs:
        assert name not in found or np.array_equal(found[name], legal[name])
    return [dequantize(found[name], graph.tensors[name].type) for name in names]


@pytest.mark.parametrize("function", ["sigmoid", "tanh", "hard_sigmoid"])
def test_a_function_at_the_end_is_left_out(function: str, keras: Any) -> None:
    layers = [keras.input(6), keras.dense("fc", 3), keras.layer("Activation", "end")]
    layers[-1]["config"]["activation"] = function
    model = keras.functional(*layers)
    weights = keras.random_weights(model, np.random.default_rng(1))
    graph = load(keras.write(model, weights))
    plain = load(keras.write(keras.functional(*layers[:-1]), weights, "plain.h5"))
    assert graph.outputs == ("fc",) and f"the {function} at the end is left out" in graph.notes[-1]
    x = bytes_for(graph, 1)
    assert np.array_equal(results(graph, x), results(plain, x))


def test_a_function_inside_needs_its_quantizer(keras: Any) -> None:
    end = keras.layer("Activation", "s", activation="sigmoid")
    model = keras.functional(keras.input(6), keras.dense("fc", 3), end, keras.dense("last", 2))
    with pytest.raises(UserError, match="layer 's': is a function of real numbers"):
        load(keras.save(model))


def rounded(sums: Array, scale: Array, bias: Array, frac: int) -> Array:
    """(frames, outputs) integers, each output times its scale and plus its bias, as multiples of
    2**-frac: the nearest, ties to even, of the exact number."""
    scales, biases = ([Fraction(float(v)) for v in values] for values in (scale, bias))
    rows = [zip(row, scales, biases, strict=True) for row in sums]
    return np.array([[round((int(v) * s + b) * 2**frac) for v, s, b in row] for row in rows])


@pytest.mark.parametrize("shape", [None, (3, 1)])
def test_a_bias_of_floats_at_the_end_is_rounded_to_32_bits(shape: Any, keras: Any) -> None:
    end = [keras.layer("Reshape", "shape", target_shape=list(shape))] if shape else []
    layers = [keras.input(5), keras.dense("fc", 3, bias_quantizer=None), *end]
    model = keras.functional(*layers)
    rng = np.random.default_rng(2)
    codes = rng.integers(-7, 8, (5, 3))
    bias = rng.normal(0, 0.01, 3).astype(np.float32)
    weights = {"fc": {"kernel": (codes / 8).astype(np.float32), "bias": bias}}
    graph = load(keras.write(model, weights))
    x = bytes_for(graph, 3)
    (got,) = results(graph, x)
    out = graph.tensors[graph.outputs[0]].type
    assert out.width == 32 and any("rounded to multiples of 2**" in n for n in graph.notes)
    wanted = rounded(x @ codes, np.full(3, 2.0**-11), bias, out.frac)
    assert np.array_equal(got * 2.0**out.frac, wanted.reshape(got.shape))


def test_scales_of_their_own_at_the_end(keras: Any) -> None:
    kernel = keras.bits(6, 0, alpha="auto", symmetric=1)
    model = keras.functional(keras.input(5), keras.dense("fc", 3, kernel))
    weights = keras.random_weights(model, np.random.default_rng(4))
    graph = load(keras.write(model, weights))
    w = weights["fc"]["kernel"]
    scale = np.abs(w).max(0) * np.float32(2) / np.float32(62)
    codes = np.sign(w) * np.minimum(np.floor(np.abs(w) / scale + np.float32(0.5)), 31)
    bias = np.clip(np.rint(weights["fc"]["bias"] * 64), -128, 127) / 64
    x = bytes_for(graph, 5)
    found = execute(graph, {"data": x}, ["fc_acc", "fc"])
    assert np.array_equal(found["fc_acc"], x @ codes.astype(np.int64))
    frac = graph.tensors["fc"].type.frac
    wanted = rounded(found["fc_acc"], scale.astype(np.float64) / 256, bias, frac)
    assert np.array_equal(found["fc"], wanted)
    results(graph, x)


def averaged(keras: Any, kind: str, quantizer: Any, **more: Any) -> Any:
    config = {"average_quantizer": quantizer, "activation": keras.bits(8, 2)}
    config |= {"padding": "valid", "data_format": "channels_last"}
    return keras.layer(kind, "pool", **(config | more))


@pytest.mark.parametrize("bits", [8, 6, None])
@pytest.mark.parametrize("window", [None, 3])
def test_average_pools_have_quantized_factors(window: Any, bits: Any, keras: Any) -> None:
    quantizer = None if bits is None else keras.bits(bits, 0)
    kind, more = "QGlobalAveragePooling2D", {}
    if window is not None:
        kind, more = "QAveragePooling2D", {"pool_size": [3, 3], "strides": [2, 2]}
    pool = averaged(keras, kind, quantizer, **more)
    model = keras.functional(keras.input(7, 7, 2), keras.act("a", keras.relu(6, 0)), pool)
    graph = load(keras.write(model, {}))
    x = bytes_for(graph, 6)
    (got,) = results(graph, x)
    size = 7 if window is None else 3
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))[:, ::2, ::2]
    total = view.sum((4, 5)) / 64  # the input is what the first quantizer gives: u6.6
    factor = 1 / size**2
    if bits is not None:
        step = 2.0 ** (bits - 1)
        factor = np.rint(np.float32(factor) * step) / step
    wanted = np.clip(np.rint(total * factor * 32), -128, 127) / 32
    assert np.array_equal(got.reshape(wanted.shape), wanted)


@pytest.mark.parametrize(
    "quantizer, more, said",
    [
        ({"bits": 4}, {}, "makes 0 of 1/64"),
        ({"bits": 8, "alpha": "auto"}, {}, "alpha 'auto'"),
        ({"bits": 8}, {"padding": "same", "pool_size": [3, 3], "strides": [2, 2]}, "over the bord"),
    ],
)
def test_factors_that_are_refused(quantizer: Any, more: Any, said: str, keras: Any) -> None:
    kind = "QAveragePooling2D" if more else "QGlobalAveragePooling2D"
    pool = averaged(keras, kind, keras.bits(**quantizer), **more)
    model = keras.functional(keras.input(8, 8, 2), keras.act("a", keras.relu(6, 0)), pool)
    with pytest.raises(UserError, match=r"layer 'pool': .*" + said):
        load(keras.write(model, {}))


def test_models_inside_of_models(keras: Any) -> None:
    """Functional in functional, Sequential in it; one name occurs in all of them."""
    conv, act = keras.conv("c", 3), keras.act("a", keras.relu(8, 2))
    flat = keras.functional(
        keras.input(6, 6, 2), conv, act, keras.layer("Flatten", "f"), keras.dense("fc", 3)
    )
    weights = keras.random_weights(flat, np.random.default_rng(7))
    inner = keras.sequential(keras.input(6, 6, 2, name="i2"), conv)
    middle = keras.functional(keras.input(6, 6, 2, name="i1"), inner, act)
    middle["config"]["name"] = "backbone"
    # The head's first layer has the name of one inside.
    head = keras.layer("Flatten", "a")
    model = keras.functional(keras.input(6, 6, 2), middle, head, keras.dense("fc", 3))
    inside = {f"c/{key}": array for key, array in weights["c"].items()}
    path = keras.write(model, {"backbone": inside, "fc": weights["fc"]}, "nested.h5")
    graph, plain = load(path), load(keras.write(flat, weights))
    assert [n.name for n in graph.nodes] == ["c", "backbone_a", "a", "fc"]
    x = bytes_for(graph, 8, 10)
    assert np.array_equal(results(graph, x), results(plain, x))


def test_a_fault_inside_of_a_model_is_named(keras: Any) -> None:
    inner = keras.functional(keras.input(6, name="i"), keras.layer("LSTM", "memory"))
    inner["config"]["name"] = "part"
    model = keras.functional(keras.input(6), inner, keras.dense("fc", 3))
    with pytest.raises(UserError, match="layer 'memory': is not quantized"):
        load(keras.write(model, {}))


CASES = ["sigmoid_end", "alpha_auto_end", "float_bias", "qgap", "nested"]


@pytest.mark.parametrize("name", CASES)
def test_networks_of_users(name: str, shared: Callable[[str], Path]) -> None:
    graph = load(shared(f"cases/30_{name}.h5"))
    x, y = (np.load(shared(f"cases/30_{name}.{array}.npy")) for array in "xy")
    got = api.run(graph, x, real=True)[graph.outputs[0]]
    if name == "sigmoid_end":
        y = np.log(y / (1 - y))
    if name in ("sigmoid_end", "alpha_auto_end"):  # Keras goes on in float32
        assert np.abs(got - y).max() < 1e-6
    else:
        assert np.array_equal(got, y)
