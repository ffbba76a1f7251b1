"""What the QKeras importer refuses: every message names the layer and says why."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.importers import load
from hwgen.numeric import Overflow, QType, Rounding, parse_type


def refused(path: Any, layer: str | None, *parts: str, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(path, **options)
    assert caught.value.layer == layer
    text = str(caught.value)
    assert str(path) in text
    for part in parts:
        assert part in text
    return text


def test_float_model_names_its_first_layer(keras: Any) -> None:
    model = keras.sequential(
        keras.input(8, 8, 1),
        keras.pool("MaxPooling2D", "pool"),
        keras.layer("Conv2D", "plain", filters=2, kernel_size=[3, 3]),
        keras.layer("Dense", "last", units=2),
    )
    refused(keras.write(model, {}), "plain", "not quantized", "QConv2D")


def test_kernel_without_quantizer(keras: Any) -> None:
    model = keras.sequential(keras.input(4), keras.dense("fc", 3) | {})
    model["config"]["layers"][1]["config"]["kernel_quantizer"] = None
    refused(keras.save(model), "fc", "not quantized", "kernel_quantizer")


@pytest.mark.parametrize("kind", ["Multiply", "QConv2DTranspose", "LayerNormalization", "Lambda"])
def test_unknown_layer_lists_what_is_supported(keras: Any, kind: str) -> None:
    model = keras.sequential(keras.input(4), keras.layer(kind, "odd"))
    refused(keras.write(model, {}), "odd", kind, "QConv2D, QConv2DBatchnorm")


QUANTIZERS = [
    ({"class_name": "quantized_ulaw", "config": {}}, ["quantized_ulaw", "quantized_bits"]),
    ("bernoulli()", ["bernoulli", "quantized_bits"]),
    ("quantized_po2(4,-1)", ["max_value -1"]),
    ("quantized_po2(4,quadratic_approximation=7)", ["quadratic_approximation"]),
    ("quantized_po2(4,log2_rounding='floor')", ["log2_rounding"]),
    ("quantized_po2(1)", ["no exponent"]),
    ("quantized_bits(4", ["not understood"]),
    ("quantized_bits(*a)", ["not understood"]),
    (17, ["not understood"]),
    ({"class_name": 3}, ["not understood"]),
    ("quantized_bits(4,0,1,1,1,0,None,1.0,None,1,0,3)", ["12 arguments"]),
    ("quantized_bits(4,0,qnoise_factor=0.5)", ["qnoise_factor"]),
    ("quantized_bits(4,0,speed=3)", ["speed=3", "not supported"]),
    ("quantized_bits(0)", ["bits is 0"]),
    ("quantized_bits(4.5)", ["bits is 4.5"]),
    ("quantized_bits('4')", ["bits is '4'"]),
    ("quantized_bits(4,1000)", ["integer is 1000"]),
    ("quantized_bits(25)", ["25 bits"]),
    ("quantized_bits(4,0,alpha='best')", ["'best'"]),
    ("quantized_bits(4,0,alpha=-1)", ["alpha -1"]),
    ("quantized_bits(4,0,alpha=0)", ["alpha 0"]),
]


@pytest.mark.parametrize(("quantizer", "parts"), QUANTIZERS)
def test_quantizers_of_kernels_and_activations(
    keras: Any, quantizer: Any, parts: list[str]
) -> None:
    model = keras.sequential(keras.input(4), keras.dense("fc", 3, quantizer))
    refused(keras.save(model), "fc", *parts)
    model = keras.sequential(keras.input(4), keras.act("act", quantizer), keras.dense("fc", 3))
    if "'best'" not in parts:
        refused(keras.save(model), "act", *parts)


@pytest.mark.parametrize(
    ("quantizer", "part"),
    [
        ("quantized_relu(4,negative_slope=0.3)", "negative_slope 0.3"),
        ("quantized_relu(4,negative_slope=2)", "negative_slope 2"),
        ("quantized_relu(4,1,1)", "use_sigmoid=1"),
        ("quantized_relu(4,1,1,0.5)", "use_sigmoid"),
        ("quantized_relu_po2(4,negative_slope=0.5)", "negative_slope"),
        ("quantized_po2(8)", "bits"),
        ("quantized_relu(4,2,relu_upper_bound=3.0)", "relu_upper_bound 3.0"),
        ("quantized_relu(30,2)", "30 bits"),
        ("quantized_bits(4,0,alpha='auto')", "depends on the data"),
        ("quantized_bits(4,0,alpha=0.75)", "not a power of two"),
        ("ternary(alpha='auto')", "depends on the data"),
        ("softplus", "softplus"),
    ],
)
def test_activations(keras: Any, quantizer: str, part: str) -> None:
    model = keras.sequential(keras.input(4), keras.dense("fc", 3), keras.act("act", quantizer))
    refused(keras.save(model), "act", part)
    model = keras.sequential(keras.input(4), keras.dense("fc", 3, activation=quantizer))
    refused(keras.save(model), "fc", part)


@pytest.mark.parametrize(
    ("quantizer", "part"),
    [
        ("quantized_relu(4)", "quantized_relu"),
        ("quantized_bits(1,0,alpha='auto')", "divides by zero"),
        ("quantized_bits(4,0,alpha=[1.0,2.0,3.0,4.0,5.0,6.0,7.0])", "alpha has 7 numbers"),
        ("quantized_bits(4,0,alpha=[-1.0])", "alpha -1.0"),
        ("quantized_bits(1,0)", "divides by zero"),
        ("quantized_bits(4,0,alpha='auto',scale_axis=0)", "scale_axis"),
        ("quantized_tanh(4)", "quantized_tanh"),
        ("binary(alpha='best')", "'best'"),
        ("ternary('auto',0.5)", "threshold"),
        ("ternary(1,'x')", "threshold"),
    ],
)
def test_kernels(keras: Any, quantizer: str, part: str) -> None:
    model = keras.sequential(keras.input(4), keras.dense("fc", 3, quantizer))
    refused(keras.save(model), "fc", part)


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("data_format", "channels_first", "channels_first"),
        ("dilation_rate", [2, 2, 2], "dilation_rate"),
        ("groups", 2, "groups"),
        ("padding", "causal", "causal"),
        ("strides", [0, 1], "strides"),
        ("strides", "two", "strides"),
        ("kernel_size", [3], "kernel_size"),
        ("filters", None, "filters"),
        ("filters", True, "filters"),
        ("filters", 5, "shape (3, 3, 2, 4)"),
        ("kernel_size", [5, 5], "shape (3, 3, 2, 4)"),
        ("use_bias", "yes", "use_bias"),
    ],
)
def test_convolution_fields(keras: Any, field: str, value: Any, part: str) -> None:
    model = keras.sequential(keras.input(8, 8, 2), keras.conv("conv", 4))
    weights = keras.random_weights(model, np.random.default_rng(0))
    model["config"]["layers"][1]["config"][field] = value
    refused(keras.write(model, weights), "conv", part)
    del model["config"]["layers"][1]["config"][field]
    if field in ("filters", "kernel_size", "strides"):
        refused(keras.write(model, weights), "conv", f"no {field!r}")


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("kernel", np.float32(np.nan) * np.ones((4, 3), np.float32), "kernel holds NaN"),
        ("bias", np.array([1, np.inf, 0], np.float32), "bias holds NaN or infinity"),
        ("kernel", np.ones((4, 2), np.float32), "kernel has shape (4, 2), (any, 3) is needed"),
        ("kernel", np.ones(4, np.float32), "kernel has shape (4,)"),
        ("kernel", np.ones((5, 3), np.float32), "(4, outputs) is needed"),
        ("kernel", np.ones((0, 3), np.float32), "empty"),
        ("bias", np.ones(2, np.float32), "bias has shape (2,)"),
        ("kernel", np.ones((4, 3)), "float64"),
        ("kernel", np.array(b"text"), "kernel has shape ()"),
        ("bias", None, "'bias' are missing (the file has only kernel)"),
        ("kernel", None, "'kernel' are missing"),
    ],
)
def test_weights(keras: Any, name: str, value: Any, part: str) -> None:
    model = keras.sequential(keras.input(4), keras.dense("fc", 3))
    weights = keras.random_weights(model, np.random.default_rng(0))
    if value is None:
        del weights["fc"][name]
    else:
        weights["fc"][name] = value
    refused(keras.write(model, weights), "fc", part)
    weights["other"] = weights.pop("fc")
    refused(keras.write(model, weights), "fc", "none of this layer")


def test_keras3_weights(keras: Any) -> None:
    import h5py

    path = keras.folder / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_group("layers/dense/vars")
    refused(path, None, "weights only")


CONFIGS: list[tuple[Any, str | None, str]] = [
    ("{", None, "not JSON"),
    ("[]", None, "no class_name"),
    ({"class_name": "Tower", "config": {}}, None, "Tower"),
    ({"class_name": "Sequential", "config": {}}, None, "no list of layers"),
    ({"class_name": "Sequential", "config": {"layers": []}}, None, "no layers"),
    ({"class_name": "Sequential", "config": {"layers": [{}]}}, None, "layer number 1"),
    (
        {"class_name": "Sequential", "config": {"layers": [{"class_name": "A", "config": {}}]}},
        None,
        "has no name",
    ),
]


@pytest.mark.parametrize(("config", "layer", "part"), CONFIGS)
def test_damaged_configurations(keras: Any, config: Any, layer: str | None, part: str) -> None:
    text = config if isinstance(config, str) else json.dumps(config)
    refused(keras.write(text, {}), layer, part)


@pytest.mark.parametrize("shape", [[None, 4], [4, 4, 4, 4], [0], ["a"]])
def test_input_shapes(keras: Any, shape: list[Any]) -> None:
    model = keras.sequential(keras.input(*shape), keras.dense("fc", 3))
    refused(keras.write(model, {}), "data", "input shape")
    model = keras.sequential(keras.dense("fc", 3))
    refused(keras.write(model, {}), "fc_input", "shape of the model's input")


def test_branches_sharing_and_several_ends(keras: Any) -> None:
    layers = [keras.input(4), keras.dense("a", 4), keras.dense("b", 4), keras.dense("c", 4)]
    model = keras.functional(*layers, sources={"c": ["a"]})
    refused(keras.save(model), "b", "not on the way")
    model = keras.functional(*layers, sources={"c": ["a", "b"]})
    refused(keras.save(model), "c", "2 inputs")
    model = keras.functional(*layers, sources={"a": ["c"]})
    refused(keras.save(model), "a", "not on the way")
    model = keras.functional(*layers, sources={"a": ["nowhere"]})
    refused(keras.save(model), "a", "not on the way")
    joined = keras.functional(*layers[:3], keras.layer("Add", "c"), sources={"c": ["b"]})
    refused(keras.save(joined), "c", "one input only")
    joined = keras.functional(*layers[:3], keras.layer("Concatenate", "c", axis=0))
    refused(keras.save(joined), "c", "axis")
    model = keras.functional(*layers)
    model["config"]["layers"][2]["inbound_nodes"] *= 2
    refused(keras.save(model), "b", "shared layers")
    model = keras.functional(*layers)
    model["config"]["output_layers"] = [["b", 0, 0]]
    refused(keras.save(model), "c", "not on the way")
    model["config"]["output_layers"] = [["c", 0, 0], ["d", 0, 0]]
    refused(keras.save(model), None, "no layer is named 'd'")
    model["config"]["output_layers"] = []
    refused(keras.save(model), None, "0 outputs")
    model = keras.functional(keras.input(4), keras.input(4, name="more"), *layers[1:])
    model["config"]["layers"][1]["inbound_nodes"] = []
    model["config"]["layers"][2]["inbound_nodes"] = [[["data", 0, 0, {}]]]
    refused(keras.save(model), "more", "not on the way")
    both = keras.functional(*layers)
    both["config"]["output_layers"] = [["b", 0, 0], ["c", 0, 0]]
    refused(keras.save(keras.functional(keras.input(4), both)), "model", "2 outputs")
    for nodes, part in (([], "not connected"), ([{"args": []}], "inbound"), ([[3]], "inbound")):
        model = keras.functional(*layers)
        model["config"]["layers"][3]["inbound_nodes"] = nodes
        refused(keras.save(model), "c", part)


def test_dense_on_an_image(keras: Any) -> None:
    model = keras.sequential(keras.input(4, 4, 2), keras.dense("fc", 3))
    weights = {"fc": {"kernel": np.ones((2, 3), np.float32), "bias": np.ones(3, np.float32)}}
    refused(keras.write(model, weights), "fc", "Flatten")


def norm(keras: Any, **more: Any) -> Any:
    config = {"axis": [-1], "epsilon": 0.001, "center": True, "scale": True}
    return keras.layer("BatchNormalization", "norm", **(config | more))


def test_batch_normalization(keras: Any) -> None:
    start = [keras.input(8, 8, 2), keras.conv("conv", 4)]
    refused(keras.save(keras.sequential(*start, norm(keras))), "norm", "no quantizer follows")
    model = keras.sequential(*start, norm(keras), keras.conv("next", 2))
    refused(keras.save(model), "norm", "no quantizer follows")
    act = keras.act("act", keras.relu())
    for fields, part in (
        ({"axis": [1]}, "axis 1"),
        ({"axis": "last"}, "axis 'last'"),
        ({"epsilon": -9.0}, "not positive"),
        ({"epsilon": None}, "not positive"),
    ):
        model = keras.sequential(*start, norm(keras, **fields), act)
        refused(keras.save(model), "norm", part)
    model = keras.sequential(*start, norm(keras), keras.act("act", "quantized_bits(1,alpha=1)"))
    refused(keras.save(model), "norm", "1 bit")
    model = keras.sequential(
        keras.input(8, 8, 2),
        keras.conv("conv", 4, keras.bits(4, alpha="auto")),
        keras.layer("ReLU", "relu", max_value=None),
        norm(keras),
        act,
    )
    refused(keras.save(model), "norm", "after a ReLU")


def test_average_that_nothing_rounds(keras: Any) -> None:
    pool = keras.pool("AveragePooling2D", "mean", 3)
    model = keras.sequential(keras.input(9, 9, 2), pool, keras.conv("conv", 2))
    refused(keras.save(model), "mean", "not a binary fraction", "QActivation")


def test_real_scales_that_nothing_rounds(keras: Any) -> None:
    last = keras.dense("last", 2)
    first = keras.dense("fc", 3, keras.bits(4, alpha="auto"))
    refused(
        keras.save(keras.sequential(keras.input(4), first, last)), "fc", "at most 32", "QActivation"
    )


def test_wide_sums_that_nothing_rounds(keras: Any) -> None:
    first, last = keras.dense("fc", 3, keras.bits(24)), keras.dense("last", 2)
    path = keras.save(keras.sequential(keras.input(4), first, last))
    text = refused(path, "fc", "at most 32", "put a QActivation", input_type=parse_type("u16.8"))
    assert "bias" not in text


@pytest.mark.parametrize("behind", ["Flatten", "QDense"])
def test_a_bias_without_a_quantizer_inside(behind: str, keras: Any) -> None:
    last = keras.dense("last", 2) if behind == "QDense" else keras.layer("Flatten", "f")
    rest = [] if behind == "QDense" else [keras.dense("last", 2)]
    first = keras.dense("fc", 3, bias_quantizer=None)
    model = keras.sequential(keras.input(4), first, last, *rest)
    weights = keras.random_weights(model, np.random.default_rng(3))
    weights["fc"]["bias"] *= np.float32(1e-3)
    text = refused(keras.write(model, weights), "fc", "its bias has no quantizer", "bias_quantizer")
    assert "QActivation" in text
    # Each of both ways out works.
    model["config"]["layers"][1]["config"]["bias_quantizer"] = keras.bits(8, 1)
    load(keras.write(model, weights))
    model["config"]["layers"][1]["config"]["bias_quantizer"] = None
    model["config"]["layers"].insert(2, keras.act("a", keras.relu()))
    load(keras.write(model, weights))


@pytest.mark.parametrize(
    ("kind", "config", "part"),
    [
        ("ReLU", {"negative_slope": 0.1}, "negative_slope"),
        ("ReLU", {"threshold": 1.0}, "threshold"),
        ("ReLU", {"max_value": -1.0}, "max_value"),
        ("Reshape", {"target_shape": [3, 2]}, "does not hold"),
        ("Reshape", {"target_shape": [-1, -1]}, "several unknown"),
        ("Reshape", {"target_shape": [1, 1, 1, 4]}, "target_shape"),
        ("Reshape", {"target_shape": 4}, "target_shape"),
        ("Flatten", {"data_format": "channels_first"}, "channels_first"),
        ("Softmax", {"axis": 1}, "axis 1"),
        ("MaxPooling2D", {"pool_size": [2, 2], "strides": None}, "not an image"),
        ("AveragePooling2D", {"pool_size": [2, 0], "strides": None}, "pool_size"),
        ("QActivation", {}, "'activation'"),
        ("Activation", {"activation": "softplus"}, "softplus"),
    ],
)
def test_layers_without_weights(keras: Any, kind: str, config: Any, part: str) -> None:
    model = keras.sequential(
        keras.input(4), keras.layer(kind, "odd", **config), keras.dense("fc", 3)
    )
    weights = {"fc": {"kernel": np.ones((4, 3), np.float32), "bias": np.ones(3, np.float32)}}
    refused(keras.write(model, weights), "odd", part)


def test_softmax_before_the_end(keras: Any) -> None:
    softmax = keras.layer("Softmax", "soft", axis=-1)
    model = keras.sequential(keras.input(4), softmax, keras.dense("fc", 3))
    refused(keras.save(model), "soft", "before the end")


def test_input_type_with_a_scale(keras: Any) -> None:
    model = keras.sequential(keras.input(4), keras.dense("fc", 3))
    qtype = QType(False, 8, 0, Rounding.HALF_EVEN, Overflow.SATURATE, 0.1)
    refused(keras.save(model), None, "has a scale", input_type=qtype)


def test_shape_of_channels_with_scales(keras: Any) -> None:
    model = keras.sequential(
        keras.input(6, 6, 1),
        keras.conv("conv", 4, keras.bits(4, alpha="auto")),
        keras.layer("Reshape", "shape", target_shape=[36, 2, 2]),
        keras.act("act", keras.relu()),
    )
    refused(keras.save(model), "shape", "scales of their own")


ODD = [
    None,
    True,
    -1,
    0,
    2.5,
    float("nan"),
    10**30,
    "",
    "x",
    [],
    [[]],
    {},
    [None],
    {"class_name": 1},
]


def mutated(value: Any, rng: np.random.Generator) -> Any:
    """A copy of a JSON value with one random part replaced or left out."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.9:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[rng.integers(len(keys))]
        copy = dict(value) if isinstance(value, dict) else list(value)
        if rng.random() < 0.1:
            del copy[key]
        else:
            copy[key] = mutated(copy[key], rng)
        return copy
    return ODD[rng.integers(len(ODD))]


@pytest.mark.parametrize("functional", [False, True])
def test_damaged_configurations_never_crash(keras: Any, functional: bool) -> None:
    """Whatever a field of the configuration is, the answer is a graph or a message."""
    make = keras.functional if functional else keras.sequential
    model = make(
        keras.input(6, 6, 1),
        keras.conv("conv", 2),
        norm(keras),
        keras.layer("ReLU", "relu", max_value=1.0),
        keras.act("act", keras.relu()),
        keras.pool("MaxPooling2D", "pool"),
        keras.layer("Reshape", "reshape", target_shape=[18]),
        keras.dense("fc", 3, activation="softmax"),
    )
    weights = keras.random_weights(model, np.random.default_rng(0))
    assert load(keras.write(model, weights)).nodes
    rng = np.random.default_rng(1)
    failed = 0
    for _ in range(150):
        path = keras.write(mutated(model, rng), weights)
        try:
            load(path)
        except UserError as error:
            failed += 1
            assert str(path) in str(error)
    assert failed > 40


@pytest.mark.parametrize("kind", ["HDense", "HGQ>HQuantize", "HGQ>PFlatten"])
def test_files_of_the_first_hgq(kind: str, keras: Any) -> None:
    model = keras.functional(keras.input(4), keras.layer(kind, "odd"), keras.dense("fc", 2))
    refused(keras.write(model, {}), "odd", "layer of HGQ 1, whose files are not read", "HGQ2")
