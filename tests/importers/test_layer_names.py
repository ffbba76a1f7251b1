"""Every node knows the layer of the user's file that it is a part of, through all passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.emit.parts import model_hash
from hwgen.importers.tflite.file import TfModel, TfOperator, TfTensor
from hwgen.importers.tflite.names import layer_name
from hwgen.ir import Graph, graph_from_json, graph_to_json, ops
from hwgen.passes import legalize
from tests.importers.test_onnx_qdq import CONV, NODE, START, WEIGHTS, end, make, qdq

MODELS = Path(hwgen.__file__).parent / "models"
FIXTURES = Path(__file__).parent / "fixtures"

LAYERS = {
    MODELS / "mnist_cnn.h5": ["conv1", "conv2", "dense1", "dense2"],
    # The file numbers operators, Keras layers of a kind: operator 5 is its conv2d_4.
    MODELS / "resnet_tiny_int8.tflite": [
        "conv2d", *(f"conv2d_{n}" for n in range(1, 8)), "dense",
    ],
    MODELS / "cnn_qdq.onnx": ["Conv_4", "Conv_11", "Gemm_19", "Gemm_25"],
    FIXTURES / "onnx_qlinear.onnx": [
        "QLinearConv_0", "QLinearConv_1", "QGemm_6", "QLinearMatMul_7",
    ],
}  # fmt: skip
"""What multiplies, in its order."""


def products(graph: Graph) -> list[str]:
    return [n.title for n in graph.nodes if isinstance(n.op, (ops.Conv2D, ops.Dense))]


@pytest.mark.parametrize("model", LAYERS, ids=lambda path: path.name)
def test_products_bear_the_users_names(model: Path) -> None:
    graph = hwgen.load(model)
    legal = legalize(graph)
    assert products(graph) == products(legal) == LAYERS[model]
    assert {node.title for node in legal.nodes} <= {node.title for node in graph.nodes}
    assert not any("Quant" in node.title for node in legal.nodes if "QLinear" not in node.title)


def test_a_sum_and_its_quantizer_are_one_layer() -> None:
    graph = legalize(hwgen.load(FIXTURES / "onnx_qdq_residual.onnx"))
    (total,) = (node for node in graph.nodes if isinstance(node.op, ops.Add))
    own = [node.name for node in graph.nodes if node.title == "Add_13"]
    assert total.title == "Add_13" and total.name in own and len(own) > 1
    assert graph.title_of([own[-1], own[0]]) == "Add_13"


def test_a_group_is_called_after_what_multiplies() -> None:
    graph = legalize(hwgen.load(MODELS / "mnist_cnn.h5"))
    assert graph.title_of(["pool1", "conv2_mac", "relu2"]) == "conv2"
    assert graph.title_of(["pool2", "relu1"]) == "relu1"  # the graph's order
    assert graph.title_of([]) is None


def test_names_are_kept_and_change_no_identity() -> None:
    graph = legalize(hwgen.load(MODELS / "resnet_tiny_int8.tflite"))
    again = graph_from_json(graph_to_json(graph))
    assert [node.title for node in again.nodes] == [node.title for node in graph.nodes]
    plain = replace(graph, nodes=tuple(replace(node, layer=None) for node in graph.nodes))
    assert model_hash(plain) == model_hash(graph)
    assert graph_to_json(plain) != graph_to_json(graph)


HALF = NODE("DequantizeLinear", ["k", "s", "z"], ["half"], "dq_half")
BIAS = NODE("DequantizeLinear", ["b32", "s32", "z32"], ["added"], "dq_bias")
OPERATORS: dict[str, tuple[list[Any], list[str]]] = {
    "a function with quantizers of its own": (
        [*CONV, *qdq("r", "b", "s2", "z2"), NODE("Sigmoid", ["b"], ["t"], "curve"), *end("t")],
        ["conv", "curve"],
    ),
    "a function alone": (
        [*START, NODE("HardSigmoid", ["a"], ["t"], "curve"), *end("t")], ["curve"],
    ),
    "a bound with quantizers of its own": (
        [*CONV, *qdq("r", "b", "s2", "z2"), NODE("Relu", ["b"], ["t"], "bound"), *end("t")],
        ["conv", "bound"],
    ),
    "a bound in the convolution's quantizer": (
        [*CONV, NODE("Relu", ["r"], ["t"], "bound"), *end("t", "s2", "least")], ["conv"],
    ),
    "a gate": (
        [*START, NODE("HardSigmoid", ["a"], ["h"], "curve"), *qdq("h", "g"),
         NODE("Mul", ["a", "g"], ["t"], "gate"), *end("t")],
        ["curve", "gate"],
    ),
    "a constant first": (
        [*START, HALF, NODE("Mul", ["half", "a"], ["t"], "scaled"), *end("t")], ["scaled"],
    ),
    "a sum that ONNX Runtime computes with its product": (
        [*START, *WEIGHTS, BIAS, NODE("Reshape", ["a", "flat"], ["f"], "view"),
         NODE("MatMul", ["f", "md"], ["m_"], "mm"), NODE("Add", ["m_", "added"], ["r"], "bias"),
         *end()],
        ["mm"],
    ),
}  # fmt: skip
"""Operators of a file between quantizers, and the layers of the graph that they become."""


@pytest.mark.parametrize("name", OPERATORS)
def test_layers_are_called_after_what_they_compute(name: str, tmp_path: Path) -> None:
    nodes, wanted = OPERATORS[name]
    extra = {
        "k": np.int8(30), "b32": np.arange(4, dtype=np.int32), "z32": np.int32(0),
        "s32": np.float32(0.05) * np.float32(0.01),
    }  # fmt: skip
    graph = hwgen.load(make(tmp_path / "m.onnx", nodes, extra=extra))
    for stage in (graph, legalize(graph)):
        assert list(dict.fromkeys(node.title for node in stage.nodes)) == wanted


@pytest.mark.parametrize(
    ("kind", "names", "layer"),
    [
        # MLPerf Tiny's: the converter's own marks, and a layer that shares a constant.
        ("CONV_2D", ["model/conv2d/Conv2D", "model/activation/Relu;model/conv2d_2/Conv2D1"],
         "conv2d"),
        ("DEPTHWISE_CONV_2D",
         ["m/bn_5/FusedBatchNormV3;m/depthwise_conv2d_2/depthwise;m/depthwise_conv2d_2/BiasAdd;"
          "m/depthwise_conv2d_3/depthwise;m/depthwise_conv2d_2/BiasAdd/ReadVariableOp/resource1"],
         "depthwise_conv2d_2"),
        ("CONV_2D", ["", "f/bn/FusedBatchNormV3;f/conv2d_7/Conv2D;f/conv2d_4/Conv2D"], "conv2d_4"),
        ("FULLY_CONNECTED", ["sequential/dense_2/MatMul", "StatefulPartitionedCall:0"], "dense_2"),
        ("ADD", ["m/bn/FusedBatchNormV3", "m/re_lu_2/Relu;m/add/add"], "add"),
        ("MAX_POOL_2D", ["", "m/inner/max_pooling2d/MaxPool"], "max_pooling2d"),
        ("RELU", ["", "Relu"], "Relu"),
        ("SOFTMAX", ["", "StatefulPartitionedCall:0"], "softmax_3"),
    ],
)  # fmt: skip
def test_names_that_converters_leave(kind: str, names: list[str], layer: str) -> None:
    tensors = tuple(
        TfTensor(n, name, (1,), "INT8", (1.0,), (0,), 0, None)
        for n, name in enumerate(["x", *names])
    )
    op = TfOperator(3, kind, (0, 1), (len(names),), None)
    assert layer_name(TfModel(tensors, (op,), (0,), (len(names),)), op) == layer
