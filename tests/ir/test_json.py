"""The model description: every op there and back, every fault named by its path."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import (
    OPS,
    Accumulator,
    Graph,
    Node,
    Tensor,
    execute,
    graph_from_json,
    graph_to_json,
    load_json,
    ops,
)
from hwgen.numeric import Overflow, QType, Rounding, Scaling
from hwgen.passes import legalize
from tests.helpers.json_faults import NOT_JSON, mutated

PROBABILITY = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-8, -128)
S8 = QType(True, 8, 4, Rounding.HALF_EVEN, Overflow.SATURATE_SYMMETRIC)


def network() -> Graph:
    """Every op once, with arrays short enough for lists and long enough to be packed."""
    rng = np.random.default_rng(21)
    acc = QType(True, 20, 6, Rounding.CEIL, Overflow.WRAP)
    chain: list[tuple[str, Any]] = [
        ("conv", ops.Conv2D(rng.integers(-128, 128, (3, 3, 2, 4)), S8, (1, 1), "same",
                            rng.integers(-9, 9, 4), 9, Accumulator(acc, 3))),
        ("norm", ops.BatchNorm(rng.normal(size=4), rng.normal(size=4), S8, (-100, 100))),
        ("max", ops.MaxPool((2, 1), (2, 1), ((1, 0), (0, 0)))),
        ("sum", ops.SumPool((2, 2), (1, 1))),
        ("avg", ops.AvgPool((2, 2), (1, 1), "same", type=S8, count_padding=True)),
        ("shape", ops.Reshape((2, 2, 6))),
        ("flat", ops.Flatten()),
        ("dense", ops.Dense(rng.integers(-2, 2, (24, 3)), S8, np.array([1, -2, 3]))),
        ("requant", ops.Requantize.scaled(S8, [3, 4, 5], -1, [4, 5, 6], (-50, 50))),
        ("relu", ops.Relu(40)),
        ("stairs", ops.MultiThreshold(np.array([[-3, 0, 7]]), np.array([-1, 0, 2, 1]), S8)),
        ("cast", ops.Cast((S8, S8), np.array([0, -1, 1]))),
        ("image", ops.Reshape((1, 1, 3))),
        ("pad", ops.Pad(((1, 0), (0, 2)), 3)),
        ("up", ops.Upsample((1, 2))),
        ("twice", ops.Add()),
        ("product", ops.Mul()),
        ("rescale", ops.Rescale(Scaling.TFLM_DOUBLE, np.array([1 << 30]), np.array([40]), S8,
                                np.array([3]), -1, (-90, 90))),
        ("slice", ops.Slice((0, 1, 0), (1, 2, 3), (1, 2, 1))),
        ("soft", ops.Softmax(1 << 30, 5, PROBABILITY)),
        ("soft_too", ops.SoftmaxTable(np.float32(0.9) ** np.arange(256), PROBABILITY)),
        ("both", ops.Concat()),
        ("argmax", ops.ArgMax()),
    ]  # fmt: skip
    nodes, last, edges = [], "x", {}
    for name, op in chain:
        several = isinstance(op, (ops.Add, ops.Mul, ops.Concat))
        nodes.append(Node(name, op, (last, last) if several else (last,)))
        last = name
        edges[name] = op
    assert {op.op_name for op in edges.values()} == set(OPS), "an op is missing here"
    return Graph("net", (Tensor("x", (7, 3, 2), S8),), tuple(nodes), (last,), ("A note.",))


def test_every_op_comes_back() -> None:
    net = network().verify()
    text = json.dumps(graph_to_json(net))
    again = graph_from_json(json.loads(text))
    assert json.dumps(graph_to_json(again)) == text
    assert again.notes == net.notes and again.tensors == net.tensors
    values = np.random.default_rng(22).integers(-128, 128, (3, 7, 3, 2))
    names = list(net.tensors)
    before, after = (execute(g, {"x": values}, names) for g in (net, again))
    for name in names:
        assert np.array_equal(before[name], after[name]), name


@pytest.mark.parametrize("low", [0, -1, -(1 << 15), -(1 << 31), -(1 << 63)])
@pytest.mark.parametrize("high", [1, 255, 65535, (1 << 31) - 1, (1 << 63) - 1])
def test_packed_integers_of_every_size(low: int, high: int) -> None:
    kind = ops.Conv2D.attributes()["weights"]
    values = np.array([low, high] * 40).reshape(20, 4)
    packed = json.loads(json.dumps(kind.encode(values)))
    assert set(packed) == {"dtype", "shape", "base64"}
    assert np.array_equal(kind.decode(packed), values)


FAULTS: list[tuple[str, list[Any], Any]] = [
    ("$", [], [1]),
    ("format", ["format"], "onnx"),
    ("schema", ["schema"], 99),
    ("colour", ["colour"], 1),
    ("name", ["name"], 3),
    ("notes", ["notes"], 5),
    ("notes[0]", ["notes"], [5]),
    ("inputs", ["inputs"], {}),
    ("layers", ["layers"], None),
    ("outputs", ["outputs"], "argmax"),
    ("outputs[0]", ["outputs"], [1]),
    ("inputs[0]", ["inputs", 0], "x"),
    ("inputs[0].name", ["inputs", 0, "name"], ""),
    ("layers[1].name", ["layers", 1, "name"], "n" * 1001),
    ("layers[1].name", ["layers", 1, "name"], "a\ud800"),
    ("inputs[0].low", ["inputs", 0, "low"], 0),
    ("inputs[0].shape", ["inputs", 0, "shape"], [1, 2, 3, 4]),
    ("inputs[0].shape[0]", ["inputs", 0, "shape"], [True, 3, 2]),
    ("inputs[0].type", ["inputs", 0, "type"], "s8.4"),
    ("inputs[0].type", ["inputs", 0, "type", "scale"], [[1]]),
    ("layers[1]", ["layers", 1], []),
    ("layers[1].name", ["layers", 1, "name"], None),
    ("layers[1].op", ["layers", 1, "op"], ["relu"]),
    ("layers[1].inputs", ["layers", 1, "inputs"], "conv"),
    ("layers[1].inputs[0]", ["layers", 1, "inputs"], [3]),
    ("layers[0].weights", ["layers", 0, "weights"], [[[[1 << 63]]]]),
    ("layers[0].weights", ["layers", 0, "weights"], [[[[1 << 70]]]]),
    ("layers[0].weights", ["layers", 0, "weights"], "AAAA"),
    ("layers[0].weights.dtype", ["layers", 0, "weights", "dtype"], "complex64"),
    ("layers[0].weights", ["layers", 0, "weights", "shape"], [3, 3, 2]),
    ("layers[0].weights.shape", ["layers", 0, "weights", "shape"], None),
    ("layers[0].weights", ["layers", 0, "weights", "base64"], "!!!!"),
    ("layers[0].weights.order", ["layers", 0, "weights", "order"], "C"),
    ("layers[0].weight_type.frac", ["layers", 0, "weight_type", "frac"], None),
    ("layers[0].stride", ["layers", 0, "stride"], [1, 1, 1]),
    ("layers[0].padding[0][0]", ["layers", 0, "padding"], [[-1, 0], [0, 0]]),
    ("layers[0].bias_frac", ["layers", 0, "bias_frac"], 1.5),
    ("layers[0].accumulator.group", ["layers", 0, "accumulator", "group"], 0),
    ("layers[0].accumulator.signed", ["layers", 0, "accumulator", "signed"], True),
    ("layers[1].scale", ["layers", 1, "scale"], [1.0, float("nan"), 1.0, 1.0]),
    ("layers[1].clip", ["layers", 1, "clip"], [2, 1]),
    ("layers[4].count_padding", ["layers", 4, "count_padding"], 1),
    ("layers[5].shape[0]", ["layers", 5, "shape"], [0]),
    ("layers[6].axis", ["layers", 6, "axis"], 1),
    ("layers[9].maximum", ["layers", 9, "maximum"], True),
    ("layers[17].scaling", ["layers", 17, "scaling"], "half"),
    ("layers[17].offset", ["layers", 17, "offset"], 1 << 70),
    ("layers[17].bias", ["layers", 17, "bias"], 1 << 70),
    ("layers[17].bias", ["layers", 17, "bias"], [True, 2]),
    ("layers[17].mult", ["layers", 17, "mult"], [1.0]),
    ("layers[0].padding", ["layers", 0, "padding"], "full"),
    ("layers[0].groups", ["layers", 0, "groups"], 1.0),
    ("layers[0].raw", ["layers", 0, "raw"], 0),
    ("layers[18].start[1]", ["layers", 18, "start"], [0, -1, 0]),
    ("layers[0].raw", ["layers", 0, "raw"], 1),
]


@pytest.mark.parametrize(("path", "place", "value"), FAULTS)
def test_faults_are_named_by_their_path(path: str, place: list[Any], value: Any) -> None:
    model = json.loads(json.dumps(graph_to_json(network())))
    if not place:
        model = value
    else:
        inner = model
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
    with pytest.raises(UserError) as error:
        graph_from_json(model)
    assert error.value.reason.startswith(f"{path}: "), error.value.reason


@pytest.mark.parametrize(
    ("layer", "key"), [(0, "weights"), (2, "kernel"), (4, "type"), (8, "mult")]
)
def test_a_missing_attribute_is_named(layer: int, key: str) -> None:
    model = graph_to_json(network())
    del model["layers"][layer][key]
    with pytest.raises(UserError, match=rf"^layers\[{layer}\]\.{key}: is missing"):
        graph_from_json(model)


@pytest.mark.parametrize("fault", NOT_JSON)
def test_what_is_no_model_names_the_file(fault: str, tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_bytes(NOT_JSON[fault])
    said = r"model\.json: (not JSON|[$]: expected an object|format: is missing)"
    with pytest.raises(UserError, match=said) as error:
        load_json(file)
    assert str(error.value).isprintable()


def test_a_key_that_is_there_twice(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_text('{"format": "hwgen-model", "schema": 1, "schema": 1}')
    with pytest.raises(UserError, match=r"model\.json: the key 'schema' is stated twice"):
        load_json(file)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(graph_to_json(network())).encode())
    assert load_json(file).name == "net"


def test_a_fault_in_a_file_names_the_file_and_the_path(tmp_path: Path) -> None:
    model = graph_to_json(network())
    model["layers"][3]["stride"] = 0
    file = tmp_path / "model.json"
    file.write_text(json.dumps(model))
    with pytest.raises(UserError, match=r"model\.json: layers\[3\]\.stride: "):
        load_json(file)


def test_a_batch_norm_beyond_float64_is_refused() -> None:
    model = graph_to_json(network())
    model["layers"][1]["scale"] = [1e308] * 4
    with pytest.raises(UserError, match="layer 'norm': scale and offset are too large"):
        graph_from_json(model)


def test_models_with_a_fault() -> None:
    """They are refused by one message; what is taken runs on golden and through the passes."""
    good = json.loads(json.dumps(graph_to_json(network())))
    taken, cases = 0, 120
    for seed in range(cases):
        fault, text = mutated(good, Random(seed))
        print(f"seed {seed}: {fault}")
        try:
            graph = graph_from_json(json.loads(text))
        except UserError:
            continue
        taken += 1
        x = graph.inputs[0]
        execute(graph, {x.name: np.full((1, *x.shape), x.type.min)})
        try:
            legalize(graph)
        except UserError:
            continue
    assert 0 < taken < cases // 4
