"""TensorFlow Lite files: golden equals each runtime, and what is damaged is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from hwgen import api
from hwgen.errors import UserError
from hwgen.flow import tools
from hwgen.flow.c_engine import CEngine
from hwgen.importers import RUNTIMES, load
from hwgen.ir import Graph, execute, graph_from_json, graph_to_json
from hwgen.passes import legalize
from tests.helpers import oracle_inputs
from tests.helpers.refusals import refusal

FIXTURES = Path(__file__).parent / "fixtures"
MODELS = sorted(FIXTURES.glob("tflite_*.tflite"))
REFUSED = {
    "float": "layer 'conv_2d_0': tensor 'serving_default_input_1:0' is float32: the model is not",
    "float16": "is float32: the model is not quantized (its weights are float16)",
    "weights": "is float32: the model is not quantized",
    "dynamic": "has a shape that is not fixed: [1, -1, 6, 2]",
}


def inputs_of(graph: Graph, frozen: Any) -> dict[str, Any]:
    """The frozen inputs of a graph, without the batch."""
    arrays = [frozen[f"x{n}"] for n in range(len(graph.inputs))]
    return {t.name: x.reshape(len(x), *t.shape) for t, x in zip(graph.inputs, arrays, strict=True)}


LACKS = {("tflite_unit_largest", "tflm")}
"""Files with an operator that a runtime does not have."""
RUNS = [(path, runtime) for path in MODELS for runtime in RUNTIMES
        if (path.stem, runtime) not in LACKS]  # fmt: skip


@pytest.mark.parametrize("path, runtime", RUNS, ids=lambda value: getattr(value, "stem", value))
def test_golden_equals_the_runtime(path: Path, runtime: str) -> None:
    frozen = np.load(path.with_suffix(".npz"))
    graph = load(path, runtime=runtime)
    real = frozen["x0"].dtype.kind == "f"
    got = api.run(graph, inputs_of(graph, frozen), real=real)
    for number, name in enumerate(graph.outputs):
        wanted = frozen[f"{runtime}.y{number}"].reshape(got[name].shape)
        assert np.array_equal(got[name], wanted)
        assert len(np.unique(wanted)) > 15  # not saturated


@pytest.mark.parametrize("runtime", ["xnnpack", "reference"])
def test_a_network_of_int16_that_tflm_lacks_an_operator_for(runtime: str) -> None:
    frozen = np.load(FIXTURES / "int16.npz")
    graph = load(FIXTURES / "int16.tflite", runtime=runtime)
    got = api.run(graph, inputs_of(graph, frozen), real=True)[graph.outputs[0]]
    assert np.array_equal(got, frozen[f"{runtime}.y0"].reshape(got.shape))


def test_runtimes_differ() -> None:
    frozen = np.load(FIXTURES / "tflite_depthwise.npz")
    outputs = [frozen[f"{runtime}.y0"] for runtime in RUNTIMES]
    assert not np.array_equal(outputs[0], outputs[1])


def test_borders_of_real_numbers_become_integers() -> None:
    graph = load(FIXTURES / "tflite_residual_floats.tflite")
    assert str(graph.inputs[0].type).startswith("s8*") and graph.inputs[0].shape == (9, 8, 3)
    assert graph.outputs == ("softmax_8",)
    notes = " ".join(graph.notes)
    assert "quantize_0" in notes and "dequantize_9" in notes and "tflm" in notes


def test_what_multiplies_by_inverse_scales_is_kept() -> None:
    path = FIXTURES / "tflite_unit_floats.tflite"
    graph = load(path, runtime="xnnpack")
    names = tuple(t.name for t in graph.inputs)
    assert graph.inverted == names == ("t0", "t4", "t8")
    value = graph_to_json(legalize(graph))
    assert graph_from_json(value).inverted == names
    assert not load(path, runtime="reference").inverted and not load(path).inverted
    with pytest.raises(UserError, match="inverted: expected names of inputs"):
        graph_from_json(value | {"inverted": ["relu_1"]})


def test_several_inputs_and_outputs() -> None:
    graph = load(FIXTURES / "tflite_two_heads.tflite")
    assert [t.name for t in graph.inputs] == ["input_1", "input_2"], "serving_default_input_1:0"
    assert [graph.tensors[name].shape for name in graph.outputs] == [(27,), (2,)]


CASES = ["argmax", "causal_conv1d", "hard_swish", "leaky_relu", "resize_bilinear", "split"]


@pytest.mark.parametrize("runtime", ["tflm", "reference"])
@pytest.mark.parametrize("name", CASES)
def test_networks_of_users(name: str, runtime: str, shared: Callable[[str], Path]) -> None:
    graph = load(shared(f"cases/20_{name}.tflite"), runtime=runtime)
    x, y = (np.load(shared(f"cases/20_{name}.{array}.npy")) for array in "xy")
    got = execute(graph, {graph.inputs[0].name: x.astype(np.int64)})[graph.outputs[0]]
    assert np.array_equal(got.reshape(y.shape), y)


SHARED = json.loads((Path(__file__).parent / "shared_tflite.json").read_text())


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", SHARED)
def test_real_models_equal_the_runtime(
    name: str, runtime: str, shared: Callable[[str], Path]
) -> None:
    graph = load(shared(f"models/tflite/{name}"), runtime=runtime)
    (x,) = graph.inputs
    values = oracle_inputs.frames(
        (1, *x.shape), x.type.min, x.type.max, oracle_inputs.FRAMES, oracle_inputs.SEED
    )
    got = execute(graph, {x.name: values[:, 0]})
    assert oracle_inputs.digest([got[graph.outputs[0]]]) == SHARED[name][runtime]


SCORES = json.loads((Path(__file__).parent / "shared_scores.json").read_text())


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", SCORES)
def test_scores_are_the_runtime_s(name: str, runtime: str, shared: Callable[[str], Path]) -> None:
    """Every sample's outputs, and with them the accuracy; golden itself on the first of them."""
    if not tools.c_compiler().found:
        pytest.skip("no C compiler: golden alone takes minutes")
    graph = load(shared(f"models/tflite/{name}"), runtime=runtime)
    (x,), (out,) = graph.inputs, graph.outputs
    entry = SCORES[name]
    with np.load(shared(f"data/{entry['data']}")) as samples:
        values, wanted = samples[entry["inputs"]].astype(np.int64), samples[entry["labels"]]
    values = values.reshape(-1, *x.shape) - entry["less"]
    got = CEngine(graph).execute({x.name: values})[out]
    score = entry["runtimes"][runtime]
    assert oracle_inputs.digest([got]) == score["digest"]
    assert int((got.argmax(axis=1) == wanted).sum()) == score["right"]
    assert len(wanted) == score["of"]
    assert np.array_equal(execute(graph, {x.name: values[:50]})[out], got[:50])


@pytest.mark.parametrize(("kind", "reason"), REFUSED.items())
def test_other_numbers_are_refused(kind: str, reason: str) -> None:
    assert reason in refusal(FIXTURES / f"refused_{kind}.tflite")


def test_options_that_mean_nothing_are_refused() -> None:
    path = FIXTURES / "tflite_residual.tflite"
    assert "a weights file was given" in refusal(path, weights="w.h5")


def test_unknown_operators_are_named(tmp_path: Path) -> None:
    # The operator codes of the file: a byte each, found by their place in the table.
    import tflite

    content = bytearray((FIXTURES / "tflite_residual.tflite").read_bytes())
    model = tflite.Model.GetRootAsModel(content, 0)
    numbers = [model.OperatorCodes(n) for n in range(model.OperatorCodesLength())]
    softmax = next(c for c in numbers if c.BuiltinCode() == tflite.BuiltinOperator.SOFTMAX)
    for field in (4, 10):  # deprecated_builtin_code and builtin_code in the table
        offset = softmax._tab.Offset(field)
        if offset:
            content[softmax._tab.Pos + offset] = tflite.BuiltinOperator.ATAN2 & 127
            if field == 10:
                content[softmax._tab.Pos + offset] = tflite.BuiltinOperator.ATAN2
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    text = refusal(path)
    assert "layer 'atan2_7'" in text and "ATAN2 is not supported" in text


def test_truncated_files(tmp_path: Path) -> None:
    path = tmp_path / "cut.tflite"
    for source in (FIXTURES / "tflite_residual.tflite", FIXTURES / "tflite_shapes.tflite"):
        content = source.read_bytes()
        for size in range(64, len(content) - 16, 64):
            path.write_bytes(content[:size])
            refusal(path)


@pytest.mark.parametrize("source", MODELS[::3], ids=lambda path: path.stem)
def test_damaged_files_never_end_in_a_traceback(source: Path, tmp_path: Path) -> None:
    rng = Random(source.stem)
    content = source.read_bytes()
    path = tmp_path / "damaged.tflite"
    refused = 0
    for trial in range(400):
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 8])):
            damaged[rng.randrange(8, len(damaged))] = rng.choice([0, 1, 127, 128, 255])
        path.write_bytes(damaged)
        try:
            graph = load(path)
            if trial % 20 == 0:
                zeros = {t.name: np.full((1, *t.shape), t.type.zero_point) for t in graph.inputs}
                execute(graph, zeros)
        except UserError:
            refused += 1
    assert 20 < refused < 400, refused
