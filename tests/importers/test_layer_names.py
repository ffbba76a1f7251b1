"""Every node knows the layer of the user's file that it is a part of, through all passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import hwgen
from hwgen.emit.parts import model_hash
from hwgen.importers.tflite.file import TfModel, TfOperator, TfTensor
from hwgen.importers.tflite.names import layer_name
from hwgen.ir import Graph, graph_from_json, graph_to_json, ops
from hwgen.passes import legalize

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
