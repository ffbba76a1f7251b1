"""Inputs and outputs bear the names of the model file, in all that is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen import api
from hwgen.importers import load
from hwgen.importers.ends import input_names, with_output_names
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan.dataflow.plan import DataflowPlan
from tests.helpers.tflite_files import TfFile

BYTE = QType(True, 8, 0, Rounding.HALF_EVEN, Overflow.SATURATE)


def onnx_file(folder: Path, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Path:
    """The sum of all inputs, quantized once for each output."""
    floats = TensorProto.FLOAT
    nodes: list[Any] = []
    for name in inputs:
        nodes.append(helper.make_node("QuantizeLinear", [name, "s", "z"], [f"{name}!q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}!q", "s", "z"], [f"{name}!r"]))
    real = f"{inputs[0]}!r"
    for name in inputs[1:]:
        total = [f"{name}!{part}" for part in ("sum", "sum!q", "sum!r")]
        nodes.append(helper.make_node("Add", [real, f"{name}!r"], total[:1], name="scores"))
        nodes.append(helper.make_node("QuantizeLinear", [total[0], "s", "z"], total[1:2]))
        nodes.append(helper.make_node("DequantizeLinear", [total[1], "s", "z"], total[2:]))
        real = total[2]
    for number, name in enumerate(outputs):
        nodes.append(helper.make_node("QuantizeLinear", [real, f"s{number}", "z"], [f"{name}!q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}!q", f"s{number}", "z"], [name]))
    stored = [
        numpy_helper.from_array(np.float32(0.5), "s"),
        numpy_helper.from_array(np.int8(0), "z"),
    ]
    stored += [numpy_helper.from_array(np.float32(2.0**n), f"s{n}") for n in range(len(outputs))]
    x = [helper.make_tensor_value_info(name, floats, [1, 4]) for name in inputs]
    y = [helper.make_tensor_value_info(name, floats, [1, 4]) for name in outputs]
    graph = helper.make_graph(nodes, "made", x, y, stored)
    path = folder / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def buses(graph: Graph) -> list[str]:
    plan = api.plan(graph)
    assert isinstance(plan, DataflowPlan)
    return [port.bus for port in (*plan.inputs, *plan.outputs)]


def test_names_of_an_onnx_file(tmp_path: Path) -> None:
    path = onnx_file(tmp_path, ("left.1", "left_1", "clk"), ("scores", "2nd"))
    graph = load(path)
    assert [x.name for x in graph.inputs] == ["left_1", "left_1_", "clk"]
    assert graph.outputs == ("scores", "m_2nd")
    assert buses(graph) == [
        "s_axis_left_1", "s_axis_left_1_", "s_axis_clk", "m_axis_scores", "m_axis_m_2nd",
    ]  # fmt: skip
    x = {tensor.name: np.full((1, 4), n + 1) for n, tensor in enumerate(graph.inputs)}
    got = api.run(graph, x)
    assert np.array_equal(got["scores"][0], [3] * 4) and np.array_equal(got["m_2nd"][0], [2] * 4)


def test_one_of_a_kind_needs_no_name(tmp_path: Path) -> None:
    graph = load(onnx_file(tmp_path, ("image",), ("logits",)))
    assert [x.name for x in graph.inputs] == ["input"] == input_names(["image"])
    assert buses(graph) == ["s_axis", "m_axis"] and "logits" not in graph.outputs
    assert buses(load(onnx_file(tmp_path, ("image",), ("a", "b")))) == [
        "s_axis", "m_axis_a", "m_axis_b",
    ]  # fmt: skip


@pytest.mark.parametrize("signed", [False, True])
def test_names_of_a_tensorflow_lite_file(signed: bool, tmp_path: Path) -> None:
    """Those of its signature, else those of its tensors; an input has the name of an operator."""
    file = TfFile()
    a, b = (file.input((1, 4), scale=0.5) for _ in range(2))
    total = file.operator("ADD", [a, b], file.tensor((1, 4), scale=1), "AddOptions")
    file.outputs += [total, file.operator("RELU", [total], file.tensor((1, 4), scale=1))]
    if signed:
        file.signature = {"add_0": a, "right side": b, "sum": total, "rectified": total + 1}
    graph = load(file.write(tmp_path / "m.tflite"))
    names = ["add_0", "right_side", "sum", "rectified"] if signed else ["t0", "t1", "t2", "t3"]
    assert [*(x.name for x in graph.inputs), *graph.outputs] == names
    assert [node.title for node in graph.nodes if node.name in names] == ["t2", "t3"]


def test_a_layer_inside_gives_way_to_an_output() -> None:
    nodes = [Node(name, ops.Requantize.scaled(BYTE), (source,))
             for name, source in (("x", "input"), ("y", "x"), ("z", "y"))]  # fmt: skip
    graph = Graph("g", (Tensor("input", (4,), BYTE),), tuple(nodes), ("y", "z", "input"),
                  without_reals=("z",))  # fmt: skip
    named = with_output_names(graph, ["x", "input", "mine"])
    assert named.outputs == ("x", "input_", "input") and named.without_reals == ("input_",)
    assert [node.name for node in named.nodes] == ["x_", "x", "input_"]
    assert [node.title for node in named.nodes] == ["x", "y", "z"]
    assert with_output_names(graph, [None] * 3).outputs == graph.outputs
