"""ONNX files: golden equals ONNX Runtime, QONNX and Deeploy, and what is damaged is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwgen
from hwgen.errors import UserError
from hwgen.importers import load
from hwgen.ir import Graph, execute
from hwgen.numeric import QType, parse_type, quantize
from tests.helpers import oracle_inputs
from tests.helpers.refusals import refusal

FIXTURES = Path(__file__).parent / "fixtures"
MODELS = sorted(FIXTURES.glob("onnx_*.onnx"))
REAL_UNIT = 32
QONNX = "qonnx.custom_op.general"
SHARED = json.loads((Path(__file__).parent / "shared_onnx.json").read_text())
SHARED_INPUTS = {
    "qonnx/TFC_2W2A.onnx": ("u8.8", 0, 255, (1, 1, 28, 28)),
    "qonnx/qkeras_jettagging.onnx": ("s8.4", -128, 127, (1, 16)),
}
DEEPLOY = [
    "Kernels/Add_Regular_RQ",
    "Kernels/DW_2D_RQ",
    "Kernels/GEMM_Batch_RQ",
    "Kernels/Regular_2D_RQ",
    "MLPerf/ImageClassification",
    "miniMobileNet",
]


def integers(real: Any, qtype: QType) -> Any:
    """Integers of real outputs."""
    unit = 2.0**-qtype.frac if qtype.scale is None else np.asarray(qtype.scale)
    return np.rint(real / unit).astype(np.int64) + qtype.zero_point


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_golden_equals_the_runtime(path: Path) -> None:
    frozen = np.load(path.with_suffix(".npz"))
    graph = load(path)
    (edge,) = graph.inputs
    x = frozen["x"][:, 0].astype(np.int64)
    if edge.type.scale is not None and "qlinear" not in path.stem:
        # The quantizer at the input, in float32.
        real = (x / REAL_UNIT).astype(np.float32) / np.float32(edge.type.scale)
        x = np.rint(real).astype(np.int64) + edge.type.zero_point
        x = np.clip(x, edge.type.min, edge.type.max)
    got = hwgen.run(graph, x)[graph.outputs[0]]
    wanted = frozen["y"][:, 0]
    if wanted.dtype.kind == "f":
        wanted = integers(wanted, graph.tensors[graph.outputs[0]].type)
    assert np.array_equal(got, wanted)
    assert len(np.unique(wanted)) > 15  # not saturated


@pytest.mark.parametrize("name", SHARED)
def test_real_qonnx_models_equal_the_runtime(name: str, shared: Callable[[str], Path]) -> None:
    kind, low, high, shape = SHARED_INPUTS[name]
    graph = load(shared(f"models/{name}"), input_type=parse_type(kind))
    frames = oracle_inputs.frames(shape, low, high, oracle_inputs.FRAMES, oracle_inputs.SEED)
    got = hwgen.run(graph, frames[:, 0])[graph.outputs[0]]
    assert oracle_inputs.digest([got]) == SHARED[name]


@pytest.mark.parametrize("name", DEEPLOY)
def test_integer_models_equal_their_stored_outputs(
    name: str, shared: Callable[[str], Path]
) -> None:
    folder = shared(f"models/deeploy/{name}")
    graph = load(folder / "network.onnx")
    inputs, outputs = (np.load(folder / f"{n}.npz") for n in ("inputs", "outputs"))
    arrays = [inputs[key] for key in inputs][: len(graph.inputs)]
    given = {
        t.name: a.reshape(1, *graph.arrangement(t.name).shape).astype(np.int64)
        for t, a in zip(graph.inputs, arrays, strict=True)
    }
    (got,) = hwgen.run(graph, given)[graph.outputs[0]]
    wanted = outputs[next(iter(outputs))]
    assert np.array_equal(got, wanted[0] if len(wanted) == 1 else wanted)


def make(
    path: Path,
    nodes: list[Any],
    constants: dict[str, Any],
    shape: tuple[Any, ...] = (1, 4),
    outputs: tuple[str, ...] = ("y",),
) -> Path:
    """A file with one real input x."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    ys = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    stored = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    graph = helper.make_graph(nodes, "made", [x], ys, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def quant(x: str, out: str, **attributes: Any) -> Any:
    """A Quant node of four bits with scale 1/4."""
    chosen = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"} | attributes
    return helper.make_node("Quant", [x, "s", "z", "b"], [out], f"q_{out}", domain=QONNX, **chosen)


QUANT = {"s": np.float32(0.25), "z": np.float32(0), "b": np.float32(4)}
WEIGHTS = {"w": np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)}


def test_a_quantizer_at_the_input_gives_its_type(tmp_path: Path) -> None:
    graph = load(make(tmp_path / "m.onnx", [
        quant("x", "a"), quant("w", "v"), helper.make_node("MatMul", ["a", "v"], ["y"], "mm"),
    ], QUANT | WEIGHTS))  # fmt: skip
    assert str(graph.inputs[0].type) == "s4.2"
    real = np.random.default_rng(3).normal(0, 1, (50, 4)).astype(np.float32)
    codes = np.clip(np.rint(real / 0.25), -8, 7)
    weights = np.clip(np.rint(WEIGHTS["w"] / 0.25), -8, 7)
    got = execute(graph, {"input": quantize(real, graph.inputs[0].type)})
    assert np.array_equal(got[graph.outputs[0]], codes @ weights)


@pytest.mark.parametrize("bits", [2, 5])
def test_old_truncation_keeps_the_scale(tmp_path: Path, bits: int) -> None:
    constants = QUANT | {"b": np.float32(6), "o": np.float32(bits), "w": np.eye(4, dtype="f4")}
    graph = load(make(tmp_path / "m.onnx", [
        quant("x", "a"),
        helper.make_node("Trunc", ["a", "s", "z", "b", "o"], ["t"], "tr", domain=QONNX,
                         rounding_mode="FLOOR"),
        quant("w", "v"), helper.make_node("MatMul", ["t", "v"], ["y"], "mm"),
    ], constants))  # fmt: skip
    codes = np.arange(-32, 32).reshape(-1, 4)
    got = execute(graph, {"input": codes})[graph.outputs[0]]
    assert np.array_equal(got, (codes >> (6 - bits)) * 4)


NODE = helper.make_node
REFUSED: dict[str, tuple[list[Any], dict[str, Any], str]] = {
    "float weights": (
        [quant("x", "a"), NODE("MatMul", ["a", "w"], ["y"], "mm")],
        QUANT | WEIGHTS,
        "layer 'mm': weights 'w' are not quantized: float32",
    ),
    "float input": (
        [NODE("Sigmoid", ["x"], ["a"], "sg"), quant("w", "v"),
         NODE("MatMul", ["a", "v"], ["y"], "mm")],
        QUANT | WEIGHTS,
        "layer 'mm': its input is real numbers that no quantizer brought back",
    ),
    "dynamic scales": (
        [NODE("DynamicQuantizeLinear", ["x"], ["a", "as", "az"], "dyn"),
         NODE("MatMulInteger", ["a", "w8", "az"], ["y"])],
        {"w8": np.ones((4, 3), np.int8)},
        "layer 'dyn': DynamicQuantizeLinear computes a scale anew for every frame",
    ),
    "rows of zero points": (
        [NODE("QuantizeLinear", ["x", "s", "zr"], ["a"]),
         NODE("MatMulInteger", ["a", "w8", "zs"], ["y"], "mm")],
        QUANT | {"w8": np.ones((4, 3), np.int8), "zr": np.int8(0), "zs": np.zeros(2, np.int8)},
        "layer 'mm': zero points of rows are supported in weights only",
    ),
    "sums of real numbers": (
        [NODE("MatMulInteger", ["x", "w8"], ["y"], "mm")],
        {"w8": np.ones((4, 3), np.int8)},
        "layer 'mm': its input is no tensor of integers; put a QuantizeLinear before it",
    ),
    "unknown operator": (
        [quant("x", "a"), NODE("Einsum", ["a", "a"], ["y"], "ein", equation="ij,ij->ij")],
        QUANT,
        "layer 'ein': operator Einsum is not supported",
    ),
    "cycle": (
        [quant("x", "a"), NODE("Add", ["a", "y"], ["c"], "first"),
         NODE("Relu", ["c"], ["y"], "second")],
        QUANT,
        "layer 'first': input 'y' has no value",
    ),
    "negative scale": (
        [quant("x", "a"), NODE("Relu", ["a"], ["y"])],
        QUANT | {"s": np.float32(-1)},
        "scale",
    ),
    "bits": (
        [quant("x", "a"), NODE("Relu", ["a"], ["y"])],
        QUANT | {"b": np.float32(2.5)},
        "layer 'q_a': a bit width of 2.5 is not supported",
    ),
    "shapes": (
        [quant("x", "a"), quant("w", "v"), NODE("MatMul", ["a", "v"], ["y"], "mm")],
        QUANT | {"w": np.ones((5, 3), np.float32)},
        "layer 'mm': weights take 5 numbers, the input has shape [1, 4]",
    ),
    "softmax": (
        [quant("x", "a"), NODE("Softmax", ["a"], ["b0"], "sm"), quant("b0", "y")],
        QUANT,
        "a softmax is computed in integers between QuantizeLinear and DequantizeLinear only",
    ),
    "loop": (
        [quant("x", "a"), NODE("If", ["a"], ["y"], "branch", then_branch=helper.make_graph(
            [], "t", [], []), else_branch=helper.make_graph([], "e", [], []))],
        QUANT,
        "layer 'branch': control flow",
    ),
    "no quantizer": (
        [NODE("Relu", ["x"], ["y"])], {}, "the model is not quantized: it has no quantizer",
    ),
    "no such output": (
        [quant("x", "a")], QUANT, "no operator gives the output 'y'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_named(name: str, tmp_path: Path) -> None:
    nodes, constants, reason = REFUSED[name]
    assert reason in refusal(make(tmp_path / "m.onnx", nodes, constants))


def test_free_shapes_are_refused(tmp_path: Path) -> None:
    nodes = [quant("x", "a"), NODE("Relu", ["a"], ["y"])]
    path = make(tmp_path / "m.onnx", nodes, QUANT, (1, "length"))
    assert "it must be fixed" in refusal(path)
    assert load(make(path, nodes, QUANT, ("batch", 4))).inputs[0].shape == (4,)


def test_data_beside_the_file_must_be_there(tmp_path: Path) -> None:
    model = onnx.load(FIXTURES / "onnx_qlinear.onnx")
    path = tmp_path / "m.onnx"
    onnx.save(model, path, save_as_external_data=True, location="m.data", size_threshold=16)
    graph = load(path)
    assert isinstance(graph, Graph) and (tmp_path / "m.data").exists()
    (tmp_path / "m.data").unlink()
    text = refusal(path)
    assert "'m.data' beside the model, which can not be read" in text


def test_truncated_files(tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    for source in MODELS:
        content = source.read_bytes()
        # Behind the graph only versions of operators follow.
        for size in range(64, len(content) - 80, 64):
            path.write_bytes(content[:size])
            refusal(path)


@pytest.mark.parametrize("source", MODELS, ids=lambda path: path.stem)
def test_damaged_files_never_end_in_a_traceback(source: Path, tmp_path: Path) -> None:
    rng = Random(source.stem)
    content = source.read_bytes()
    path = tmp_path / "damaged.onnx"
    refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 8])):
            damaged[rng.randrange(4, len(damaged))] = rng.choice([0, 1, 127, 128, 255])
        path.write_bytes(damaged)
        try:
            load(path)
        except UserError:
            refused += 1
    assert refused > 20
