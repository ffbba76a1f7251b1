"""Elements in another order, lines through many integers, and networks of integers."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

import hwgen
from hwgen.errors import UserError
from hwgen.importers import load
from hwgen.importers.onnx.real import line
from hwgen.importers.permutation import moved
from hwgen.ir import Graph, Node, Tensor, execute
from hwgen.numeric import Overflow, QType, Rounding, parse_type
from tests.importers.test_onnx import make as make_quant
from tests.importers.test_onnx import quant
from tests.importers.test_onnx_qdq import CONV, NODE, START, end, make, qdq

SEED = 11
Array = np.ndarray[Any, Any]


def elements(order: Array, shape: tuple[int, ...]) -> tuple[Array, list[str]]:
    """What a movement gives of an edge that counts its elements, and the ops that it takes."""
    edge = Tensor("x", shape, QType(False, 16, 0, Rounding.FLOOR, Overflow.SATURATE))
    nodes: list[Node] = []

    def add(name: str, op: Any, *inputs: Tensor) -> Tensor:
        nodes.append(Node(name, op, tuple(t.name for t in inputs)))
        return op.infer(name, inputs)

    out = moved(add, "m", edge, order)
    graph = Graph("g", (edge,), tuple(nodes), (out.name,)).verify()
    (result,) = execute(graph, {"x": np.arange(edge.size).reshape(1, *shape)})[out.name]
    return result, [node.op.op_name for node in nodes]


@pytest.mark.parametrize("axes", list(permutations(range(4)))[1:])
def test_every_permutation_of_four_axes(axes: tuple[int, ...]) -> None:
    order = np.arange(120).reshape(2, 3, 4, 5).transpose(axes).reshape(1, 24, 5)
    result, kinds = elements(order, (6, 4, 5))
    assert np.array_equal(result, order)
    assert set(kinds) <= {"slice", "reshape", "concat"} and kinds.count("slice") <= 10


@pytest.mark.parametrize("index", [
    np.s_[1:5:2, :, ::2], np.s_[:, 2:, 1:3], np.s_[2:3, 1:2, 3:4], np.s_[:, ::3, :],
])  # fmt: skip
def test_some_of_the_elements(index: Any) -> None:
    order = np.arange(120).reshape(6, 4, 5)[index]
    result, kinds = elements(order, (6, 4, 5))
    assert np.array_equal(result, order) and kinds == ["slice"]
    turned = order.transpose(2, 0, 1)
    assert np.array_equal(elements(turned, (6, 4, 5))[0], turned)


A = np.arange(120).reshape(6, 4, 5)
PICKED: dict[str, Array] = {
    "channels turned": A[..., [2, 0, 1]],
    "channels from the last": A[..., ::-1],
    "rows from the last": A[::-1],
    "columns twice": A[:, [1, 1, 0]],
    "more than there are": A[..., [0, 1, 2, 3, 4, 0]],
    "rows and channels": A[[5, 5, 0]][..., ::-2],
    "of a vector": np.array([3, 1, 0, 2, 5, 4]),
    "fewer of a vector": np.array([0, 1, 3]),
}


@pytest.mark.parametrize("name", PICKED)
def test_rows_columns_and_channels_in_any_order(name: str) -> None:
    order = PICKED[name]
    result, kinds = elements(order, A.shape if order.ndim == 3 else (6,))
    assert np.array_equal(result, order)
    assert kinds.count("slice") <= sum(order.shape)


MIXED = np.random.default_rng(SEED).permutation(120).reshape(6, 4, 5)


@pytest.mark.parametrize(("order", "reason"), [
    (MIXED, "no transposition gives, which is not supported; take whole rows"),
    (MIXED.reshape(-1)[:60].reshape(6, 2, 5), "no slice"),
    (np.arange(200)[::-1], "by 200 slices; at most 128"),
    (np.arange(200 * 200).reshape(200, 200).T, "by 200 slices; at most 128"),
])  # fmt: skip
def test_orders_that_are_refused(order: Array, reason: str) -> None:
    shape = A.shape if order.ndim == 3 else (order.size,)
    with pytest.raises(UserError, match=reason):
        elements(order, shape)


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1.0, 0.37113, 1.0307])
@pytest.mark.parametrize("zero", [0, 5])
def test_lines_through_all_integers(ratio: float, zero: int) -> None:
    qtype = QType(True, 16, 0, Rounding.HALF_EVEN, Overflow.SATURATE, 0.5, zero)
    codes = np.arange(-9000, 9001)
    values = np.clip(np.rint(codes * ratio).astype(np.int64) + zero, -1000, 4000)
    op = line(codes, values, qtype, ratio)
    assert op is not None and np.array_equal(op.golden([codes], []), values)
    assert line(codes, np.where(codes < 0, codes // 3, codes), qtype, 1.0) is None


def test_quantizers_without_a_domain(tmp_path: Path) -> None:
    """As old exports of Brevitas have them."""
    weights = np.random.default_rng(SEED).normal(0, 1, (4, 3)).astype(np.float32)
    constants = {"s": np.float32(0.25), "z": np.float32(0), "b": np.float32(4), "w": weights}
    results = []
    for domain in ("qonnx.custom_op.general", ""):
        nodes = [quant("x", "a"), quant("w", "k"), NODE("MatMul", ["a", "k"], ["r"]),
                 quant("r", "y")]  # fmt: skip
        for node in nodes:
            node.domain = domain if node.op_type == "Quant" else ""
        graph = load(make_quant(tmp_path / "m.onnx", nodes, constants))
        x = np.arange(-8, 8).repeat(4).reshape(16, 4)
        results.append(hwgen.run(graph, x)[graph.outputs[0]])
    assert np.array_equal(*results) and len(np.unique(results[0])) > 5


W4 = np.arange(-54, 54).reshape(3, 4, 3, 3) % 8
WAYS: dict[str, tuple[list[Any], str]] = {
    "mean": (
        [*START, NODE("ReduceMean", ["a"], ["r"], axes=[2, 3]), *end()],
        "export GlobalAveragePool in its place; or give scales that are powers of two",
    ),
    "16 bits": (
        [*qdq("x", "a", "s", "z16"), *CONV[2:], *qdq("r", "y", "s2", "z16")],
        "quantize to 8 bits; or give scales that are powers of two",
    ),
    "one addend for all columns": (
        [*START, NODE("DequantizeLinear", ["m", "sw", "zw"], ["md"]),
         NODE("Reshape", ["a", "flat"], ["f"]), NODE("MatMul", ["f", "md"], ["p"]),
         NODE("Add", ["p", "addend"], ["r"]), *end()],
        "real arithmetic or a bound stands between it and its quantizer",
    ),
    "4 bits": (
        [*START, NODE("DequantizeLinear", ["w4", "sw", "z4"], ["wd"]),
         NODE("Conv", ["a", "wd"], ["r"], "conv"), *end()],
        "store the same weights as int8",
    ),
    "softmax in float32": (
        [*START, NODE("Softmax", ["a"], ["r"], "soft", axis=1), *qdq("r", "y", "s2", "u")],
        "ONNX Runtime computes it in float32, because its inputs and its output are stored in "
        "different types; put QuantizeLinear",
    ),
    "second largest": (
        [*START, NODE("TopK", ["a", "two"], ["y", "i"], "top", axis=1)],
        "only the largest element is supported",
    ),
    "wide levels": (
        [*qdq("x", "a", "s", "z16"), NODE("Sigmoid", ["a"], ["r"]), *qdq("r", "y", "tiny", "z16")],
        "quantize it to 12 bits or fewer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_refusals_say_what_to_do(name: str, tmp_path: Path) -> None:
    nodes, way = WAYS[name]
    from ml_dtypes import int4

    extra = {"z16": np.int16(0), "w4": W4.astype(int4), "z4": np.array(0, int4),
             "two": np.array([2]), "tiny": np.float32(2**-16),
             "addend": np.array([0.3], np.float32)}  # fmt: skip
    path = make(tmp_path / "m.onnx", nodes, extra=extra)
    if name == "mean":  # axes as an attribute are of version 17
        import onnx

        model = onnx.load(path)
        model.opset_import[0].version = 17
        onnx.save(model, path)
    with pytest.raises(UserError) as caught:
        load(path)
    assert way in str(caught.value)


def windows(x: Array) -> Array:
    """The largest of each 2 x 2."""
    return x.reshape(len(x), 3, 3, 2, 2, 2).max(axis=(3, 5))


KERNEL = np.random.default_rng(SEED).integers(-8, 8, (5, 3, 1, 1)).astype(np.float32)


def products(x: Array) -> Array:
    """A convolution of one pixel."""
    return np.einsum("oi,nihw->nohw", KERNEL[..., 0, 0], x)


INTEGER: dict[str, tuple[list[Any], Any]] = {
    "Conv": ([NODE("Conv", ["x", "k"], ["y"])], lambda x: products(x)),
    "Pad": (
        [NODE("Pad", ["x", "pads"], ["y"])],
        lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2), (0, 1))),
    ),
    "MaxPool": ([NODE("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])], windows),
    "Slice": ([NODE("Slice", ["x", "one", "four", "two"], ["y"])], lambda x: x[:, :, 1:4]),
    "Identity": ([NODE("Identity", ["x"], ["y"])], lambda x: x),
    "ReduceSum of an image": ([NODE("ReduceSum", ["x", "image"], ["y"])],
                              lambda x: x.sum(axis=(2, 3), keepdims=True)),
    "ReduceSum of channels": ([NODE("ReduceSum", ["x", "one"], ["y"], keepdims=0)],
                              lambda x: x.sum(axis=1)),
    "ReduceSum": ([NODE("ReduceSum", ["x"], ["y"], keepdims=0)], lambda x: x.sum(axis=(1, 2, 3))),
    "ReduceSum of nothing": ([NODE("ReduceSum", ["x"], ["y"], noop_with_empty_axes=1)],
                             lambda x: x),
    "Conv plus a number": ([NODE("Conv", ["x", "k"], ["c"]), NODE("Add", ["c", "mul"], ["y"])],
                           lambda x: products(x) + 3),
    "Conv times a number": ([NODE("Conv", ["x", "k"], ["c"]), NODE("Mul", ["mul", "c"], ["y"])],
                            lambda x: products(x) * 3),
    "Conv and a bound": (
        [NODE("Conv", ["x", "k"], ["c"]), NODE("Sub", ["c", "add"], ["d"]),
         NODE("Relu", ["d"], ["y"])],
        lambda x: np.maximum(products(x) - 7, 0)),
    "iHardswish": (
        [NODE("iHardswish", ["x"], ["y"], domain="my.ops", one_over_six=11, three=48, six=96)],
        lambda x: x * np.clip(x + 48, 0, 96) * 11,
    ),
    "RequantShift": (
        [NODE("Conv", ["x", "k"], ["c"]),
         NODE("RequantShift", ["c", "mul", "add"], ["y"], domain="my.ops", signed=1,
              div=numpy_helper.from_array(np.array(16)), n_levels_out=256)],
        lambda x: np.clip((products(x) * 3 + 7 + 8) // 16, -128, 127),
    ),
}  # fmt: skip
STORED: dict[str, Any] = {
    "k": KERNEL, "pads": np.array([0, 0, 1, 0, 0, 0, 2, 1]), "one": np.array([1]),
    "four": np.array([4]), "two": np.array([2]), "image": np.array([2, 3]),
    "mul": np.array([3], np.float32), "add": np.array([7], np.float32),
}  # fmt: skip


@pytest.mark.parametrize("name", INTEGER)
def test_networks_of_integers_without_quantizers(name: str, tmp_path: Path) -> None:
    nodes, reference = INTEGER[name]
    for node in nodes:
        node.domain = "PACTOps" if node.domain else ""
    path = make(tmp_path / "network.onnx", nodes, shape=(1, 3, 6, 4), extra=STORED)
    x = np.random.default_rng(SEED).integers(-128, 128, (20, 3, 6, 4))
    graph = load(path, input_type=parse_type("s8.0"))
    got = hwgen.run(graph, x)[graph.outputs[0]]
    wanted = reference(x)
    assert got.shape == wanted.shape and np.array_equal(got, wanted)
    # An example beside the network says the same.
    np.savez(tmp_path / "inputs.npz", x=x[:1])
    again = load(path)
    assert again.inputs[0].type == graph.inputs[0].type and not again.unstated


def test_real_numbers_are_no_integers(tmp_path: Path) -> None:
    path = make(
        tmp_path / "m.onnx", INTEGER["Conv"][0], extra={"k": KERNEL / 2}, shape=(1, 3, 6, 4)
    )
    with pytest.raises(UserError, match="the model is not quantized"):
        load(path, input_type=parse_type("s8.0"))
