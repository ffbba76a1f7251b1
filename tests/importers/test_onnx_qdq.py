"""ONNX Runtime's QDQ rules: what it takes into integers, and what is refused instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import hwgen
from hwgen.errors import UserError
from hwgen.importers import limits, load
from hwgen.importers.onnx import pairs
from hwgen.importers.onnx.work import Value
from hwgen.ir import Graph, Tensor, execute
from hwgen.ir.ops import Requantize
from hwgen.numeric import Overflow, QType, Rounding
from tests.helpers.onnx_files import OnnxFile
from tests.helpers.refusals import refusal

NODE = helper.make_node
Array = np.ndarray[Any, Any]


def qdq(x: str, out: str, scale: str = "s", zero: str = "z") -> list[Any]:
    """QuantizeLinear and DequantizeLinear."""
    return [
        NODE("QuantizeLinear", [x, scale, zero], [f"{out}_q"], f"q_{out}"),
        NODE("DequantizeLinear", [f"{out}_q", scale, zero], [out], f"dq_{out}"),
    ]


CONSTANTS: dict[str, Any] = {
    "s": np.float32(0.05), "z": np.int8(3), "s2": np.float32(0.07), "z2": np.int8(-5),
    "least": np.int8(-128), "s3": np.float32(0.02), "u": np.uint8(0),
    "w": np.arange(-54, 54, dtype=np.int8).reshape(3, 4, 3, 3), "sw": np.float32(0.01),
    "zw": np.int8(0), "zero": np.float32(0), "six": np.float32(6),
    "m": np.arange(-128, 128, dtype=np.int8).reshape(64, 4), "flat": np.array([1, -1]),
}  # fmt: skip
START = qdq("x", "a")
WEIGHTS = [NODE("DequantizeLinear", ["w", "sw", "zw"], ["wd"], "dq_w"),
           NODE("DequantizeLinear", ["m", "sw", "zw"], ["md"], "dq_m")]  # fmt: skip
CONV = [*START, *WEIGHTS, NODE("Conv", ["a", "wd"], ["r"], "conv")]


def make(
    path: Path, nodes: list[Any], outputs: tuple[str, ...] = ("y",), shape: Any = (1, 4, 4, 4),
    extra: dict[str, Any] | None = None, inputs: tuple[str, ...] = ("x",),
) -> Path:  # fmt: skip
    """A file of those nodes with the constants that they read."""
    used = {name for node in nodes for name in node.input}
    constants = {k: v for k, v in (CONSTANTS | (extra or {})).items() if k in used}
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in inputs]
    results = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs]
    stored = [numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items()]
    opsets = [helper.make_opsetid(n, v) for n, v in (("", 21), ("com.microsoft", 1), ("my.ops", 1))]
    graph = helper.make_graph(nodes, "made", values, results, stored)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def end(r: str = "r", scale: str = "s2", zero: str = "z2") -> list[Any]:
    """The last quantizer."""
    return qdq(r, "y", scale, zero)


def act(kind: str, *bounds: str) -> Any:
    """An activation of r."""
    return NODE(kind, ["r", *bounds], ["t"], "act")


TAKEN: dict[str, list[Any]] = {
    "conv": [*CONV, *end()],
    "relu that the type has": [*CONV, act("Relu"), *end("t", "s2", "least")],
    "clip that the type has": [*CONV, act("Clip", "zero", "six"), *end("t", "s3", "least")],
    "max pool between": [
        *CONV, act("Relu"), NODE("MaxPool", ["t"], ["v"], kernel_shape=[2, 2]),
        *end("v", "s2", "least"),
    ],
    "reshape before": [
        *START, *WEIGHTS, NODE("Reshape", ["a", "flat"], ["f"]), NODE("MatMul", ["f", "md"], ["r"]),
        *end(),
    ],
    "two readers that are equal": [*CONV, *end(), *qdq("r", "other", "s2", "z2")],
    "clip of integers": [
        START[0], NODE("Clip", ["a_q", "low", "high"], ["c"]),
        NODE("DequantizeLinear", ["c", "s", "z"], ["a"]), *CONV[2:], *end(),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_what_runs_in_integers(name: str, tmp_path: Path) -> None:
    extra = {"low": np.int8(-8), "high": np.int8(7)}
    graph = load(make(tmp_path / "m.onnx", TAKEN[name], extra=extra))
    assert sum(node.op.op_name in ("conv2d", "dense") for node in graph.nodes) == 1
    clips = [n.op.clip for n in graph.nodes if isinstance(n.op, Requantize)]
    assert clips == ([(-8, 7)] if name == "clip of integers" else [])


FLOAT = "ONNX Runtime computes it in float32, in an order of additions that is not fixed, because "
BETWEEN = FLOAT + "real arithmetic or a bound stands between it and its quantizer"
HUGE = np.array([0, 0, 9000, 9000, 0, 0, 9000, 9000])
REFUSED: dict[str, tuple[list[Any], str]] = {
    "relu inside of the type": ([*CONV, act("Relu"), *end("t")], BETWEEN),
    "clip inside of the type": (
        [*CONV, act("Clip", "zero", "six"), *end("t", "s2", "least")], BETWEEN,
    ),
    "relu behind a pool": (
        [*CONV, NODE("MaxPool", ["r"], ["v"], kernel_shape=[2, 2]), NODE("Relu", ["v"], ["t"]),
         *end("t", "s2", "least")],
        FLOAT + "a Relu stands behind a pool or reshape",
    ),
    "average and relu": (
        [*START, NODE("GlobalAveragePool", ["a"], ["r"]), act("Relu"), *end("t")], BETWEEN,
    ),
    "flatten": (
        [*START, *WEIGHTS, NODE("Flatten", ["a"], ["f"]), NODE("MatMul", ["f", "md"], ["r"], "mm"),
         *end()],
        FLOAT + "a Flatten stands before it; a Reshape may",
    ),
    "flatten behind": (
        [*START, NODE("GlobalAveragePool", ["a"], ["g"]), NODE("Flatten", ["g"], ["r"]), *end()],
        FLOAT + "a Flatten stands behind it",
    ),
    "resize": (
        [*START, NODE("Resize", ["a", "", "by"], ["e"], nearest_mode="floor",
                      coordinate_transformation_mode="asymmetric"),
         *WEIGHTS, NODE("Conv", ["e", "wd"], ["r"]), *end()],
        FLOAT + "a Resize stands before it",
    ),
    "two readers": ([*CONV, *end(), *qdq("r", "other")], FLOAT + "what it gives is read more than"),
    "an output too": ([*CONV, *end()], FLOAT + "what it gives is read more than once"),
    "another type": ([*CONV, *end("r", "s2", "u")], FLOAT + "its inputs and its output are stored"),
    "mean": (
        [*START, NODE("ReduceMean", ["a", "axes"], ["r"]), *end()],
        FLOAT + "a ReduceMean is not; a GlobalAveragePool would be",
    ),
    "average of a window with ties": (
        [*START, NODE("AveragePool", ["a"], ["r"], kernel_shape=[2, 2]), *end("r", "s", "z")],
        "equal sums may be rounded differently at this scale",
    ),
    "relu of integers": (
        [START[0], NODE("Relu", ["a_q"], ["y"], "act")],
        "layer 'act': takes the integers of a quantizer as numbers",
    ),
    "cast": (
        [*START, NODE("Cast", ["a"], ["i"], "to", to=TensorProto.INT32),
         NODE("Cast", ["i"], ["r"], to=TensorProto.FLOAT), *end()],
        "layer 'to': a cast of a tensor of float32 to int32 is not supported",
    ),
    "cast of integers": (
        [START[0], NODE("Cast", ["a_q"], ["i"], "to", to=TensorProto.UINT8),
         NODE("DequantizeLinear", ["i", "s", "u"], ["r"]), *end()],
        "layer 'to': a cast of a tensor of int8 to uint8 is not supported",
    ),
    "domain": (
        [*START, NODE("Relu", ["a"], ["r"], "act", domain="my.ops"), *end()],
        "layer 'act': my.ops Relu is not supported",
    ),
    "training": (
        [*START, NODE("BatchNormalization", ["a", *["four"] * 4], ["r", "n", "v"], "bn",
                      training_mode=1), *end()],
        "layer 'bn': training_mode is not supported",
    ),
    "second producer": (
        [*START, NODE("Relu", ["a"], ["r"]), NODE("Neg", ["a"], ["r"], "second"), *end()],
        "layer 'second': gives 'r', which the file has from elsewhere already",
    ),
    "sum of 16 bits": (
        [*qdq("x", "a", "s", "wide"), NODE("Relu", ["a"], ["b"]), *qdq("b", "c", "s2", "wide"),
         NODE("Add", ["a", "c"], ["r"]), *end("r", "s2", "wide")],
        "layer 'q_y': a sum of integers of more than 8 bits is not supported with these scales",
    ),
    "border": (
        [*START, NODE("Pad", ["a", "huge"], ["r"], "pad"), *end()],
        "layer 'pad': its output of shape [18004, 18004, 4] would have 1296576064 elements",
    ),
    "constants": (
        [NODE("Add", ["column", "row"], ["k"], "sum"), *START, NODE("Add", ["a", "k"], ["r"]),
         *end()],
        "layer 'sum': a constant of shape [65536, 65536] would have 4294967296 elements",
    ),
    "gathered": (
        [NODE("Gather", ["row", "index"], ["k"], "take"), *START, NODE("Add", ["a", "k"], ["r"]),
         *end()],
        "layer 'take': a constant of shape",
    ),
}  # fmt: skip
EXTRA: dict[str, Any] = {
    "by": np.array([1, 1, 2, 2], np.float32), "axes": np.array([2, 3]), "wide": np.int16(0),
    "four": np.ones(4, np.float32), "image": np.array([1, 8, 2, 4]), "huge": HUGE,
    "column": np.ones((1 << 16, 1), np.float32), "row": np.ones((1, 1 << 16), np.float32),
    "index": np.zeros(1 << 10, np.int64),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, tmp_path: Path) -> None:
    nodes, reason = REFUSED[name]
    outputs = ("y", "r") if name == "an output too" else ("y",)
    path = make(tmp_path / "m.onnx", nodes, outputs, extra=EXTRA)
    with pytest.raises(UserError) as caught:
        load(path)
    assert reason in str(caught.value) and str(path) in str(caught.value)


def test_a_type_is_needed_for_weights_as_ever_without_a_zero_point(tmp_path: Path) -> None:
    """A quantizer without a zero point is that of uint8, with zero point 0."""
    weights = np.linspace(-1, 2, 108, dtype=np.float32).reshape(3, 4, 3, 3)
    graph = load(make(tmp_path / "m.onnx", [
        NODE("QuantizeLinear", ["x", "s"], ["q"]), NODE("DequantizeLinear", ["q", "s"], ["a"]),
        NODE("QuantizeLinear", ["wf", "sw"], ["wq"]),
        NODE("DequantizeLinear", ["wq", "sw"], ["wd"]),
        NODE("Conv", ["a", "wd"], ["r"], "conv"), *end("r", "s2", "u"),
    ], extra={"wf": weights}))  # fmt: skip
    op: Any = graph.nodes[0].op
    codes = np.clip(np.rint(weights / np.float32(0.01)), 0, 255)
    assert np.array_equal(op.weights, codes.transpose(2, 3, 1, 0))


def test_real_numbers_of_what_is_left_out_are_refused(tmp_path: Path) -> None:
    graph = load(make(tmp_path / "m.onnx", [*START, NODE("GlobalAveragePool", ["a"], ["y"])]))
    x = np.ones((1, 4, 4, 4), np.int64)
    assert hwgen.run(graph, {graph.inputs[0].name: x})[graph.outputs[0]].tolist() == [[[[-32]]] * 4]
    with pytest.raises(UserError, match="real outputs are not known"):
        hwgen.run(graph, {graph.inputs[0].name: x / 2}, real=True)
    from hwgen.ir import graph_from_json, graph_to_json

    again = graph_from_json(graph_to_json(graph))
    assert again.without_reals == graph.without_reals == graph.outputs


def test_not_enough_memory_names_file_and_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "m.onnx", TAKEN["conv"])

    def full(*shape: Any) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr("hwgen.importers.onnx.linear.canonical", full)
    monkeypatch.setattr("hwgen.importers.onnx.linear.shaped", full)
    with pytest.raises(UserError, match=r"m\.onnx, layer 'conv': there is not enough memory"):
        load(path)
    monkeypatch.setattr("hwgen.importers.onnx.read_model", full)
    with pytest.raises(UserError, match=r"m\.onnx: there is not enough memory to read it"):
        load(path)


def test_edges_of_any_format_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make(tmp_path / "m.onnx", TAKEN["conv"])
    monkeypatch.setattr(limits, "MAX_ELEMENTS", 63)
    with pytest.raises(UserError, match="64 elements, at most 63 are supported"):
        load(path)


def stored_value(scale: float, zero: int) -> Value:
    qtype = QType(True, 8, 0, Rounding.HALF_EVEN, Overflow.SATURATE, float(scale), zero)
    edge = Tensor("v", (1,), qtype)
    return Value(edge, np.zeros((1, 1), int), np.array([scale], np.float32), zero)


def cases(seed: int, count: int, ties: bool) -> list[tuple[tuple[Value, Value], QType]]:
    """Scales and zero points of sums; ``ties``: small multiples of one number."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        if ties:
            unit = rng.choice([2**-6, 0.05, 0.0437, 1 / 255])
            scales = unit * rng.choice([0.25, 0.5, 1, 2, 3, 4, 5, 6, 7], 3)
        else:
            scales = np.exp(rng.uniform(np.log(0.01), np.log(0.1), 3))
            scales[2] = scales[:2].max() * rng.uniform(0.8, 2)
        a, b, out = (float(np.float32(s)) for s in scales)
        zeros = [int(z) for z in rng.integers(-128, 128, 3)]
        parts = (stored_value(a, zeros[0]), stored_value(b, zeros[1]))
        found.append((parts, stored_value(out, zeros[2]).edge.type))
    return found


ALL = np.arange(-128, 128)


def through_a_file(path: Path, parts: tuple[Value, Value], qtype: QType, kind: str) -> Graph:
    types = {"s": parts[0].edge.type, "s2": parts[1].edge.type, "s3": qtype}
    extra = {name: np.float32(t.scale) for name, t in types.items()}
    extra |= {name.replace("s", "z"): np.int8(t.zero_point) for name, t in types.items()}
    nodes = [*qdq("x", "a"), *qdq("x2", "b", "s2", "z2"), NODE(kind, ["a", "b"], ["r"]),
             NODE("QuantizeLinear", ["r", "s3", "z3"], ["y"])]  # fmt: skip
    return load(make(path, nodes, shape=(1, 1, 256, 256), extra=extra, inputs=("x", "x2")))


def all_pairs() -> tuple[Array, Array]:
    x, y = np.meshgrid(ALL, ALL, indexing="ij")
    return x[np.newaxis, :, :, np.newaxis], y[np.newaxis, :, :, np.newaxis]


@pytest.mark.parametrize(("kind", "ties"), [("Add", False), ("Mul", False), ("Mul", True)])
def test_every_sum_and_product_has_integers(kind: str, ties: bool, tmp_path: Path) -> None:
    rules: dict[str, Callable[..., Array]] = {
        "Add": lambda *given: pairs.fused_sum(*given)[1],
        "Mul": pairs.fused_product,
    }
    x, y = all_pairs()
    for parts, qtype in cases(3, 12, ties):
        graph = through_a_file(tmp_path / "m.onnx", parts, qtype, kind)
        got = execute(graph, {"x": x, "x2": y})[graph.outputs[0]]
        wanted = rules[kind](parts, (ALL[:, np.newaxis], ALL), qtype)
        assert np.array_equal(got[0, :, :, 0], wanted)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["Add", "Mul"])
@pytest.mark.parametrize("ties", [False, True])
def test_rules_of_pairs_equal_the_runtime(kind: str, ties: bool) -> None:
    ort = pytest.importorskip("onnxruntime")
    rules: dict[str, Callable[..., Array]] = {
        "Add": lambda *given: pairs.fused_sum(*given)[1],
        "Mul": pairs.fused_product,
    }
    x, y = (a.reshape(256, 256).astype(np.int8) for a in all_pairs())
    for parts, qtype in cases(5, 100, ties):
        types = [parts[0].edge.type, parts[1].edge.type, qtype]
        named = {f"s{n}": np.float32(t.scale) for n, t in enumerate(types)}
        named |= {f"z{n}": np.int8(t.zero_point) for n, t in enumerate(types)}
        node = NODE(f"QLinear{kind}", ["x", "s0", "z0", "y", "s1", "z1", "s2", "z2"], ["r"],
                    domain="com.microsoft")  # fmt: skip
        values = [helper.make_tensor_value_info(n, TensorProto.INT8, [256, 256]) for n in "xy"]
        out = helper.make_tensor_value_info("r", TensorProto.INT8, None)
        stored = [numpy_helper.from_array(np.asarray(v), n) for n, v in named.items()]
        graph = helper.make_graph([node], "pairs", values, [out], stored)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
        session = ort.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        wanted = session.run(None, {"x": x, "y": y})[0]
        assert np.array_equal(rules[kind](parts, (ALL[:, np.newaxis], ALL), qtype), wanted)


@pytest.mark.parametrize("opset", [11, 12])
def test_pools_of_old_versions_part_an_operator_from_its_quantizer(
    opset: int, tmp_path: Path
) -> None:
    file = OnnxFile()
    y = file.op("Conv", file.pair("x", 0.05), file.weights(4, 3, 2, 2), file.real([1, 2, 3, 4]))
    y = file.pair(file.op("MaxPool", y, kernel_shape=[2, 2]), 0.07)
    path = file.save(tmp_path / "m.onnx", (1, 3, 6, 6), y, opset=opset)
    if opset < 12:
        assert "a MaxPool of a version of the operators before 12" in refusal(path)
    else:
        load(path)
