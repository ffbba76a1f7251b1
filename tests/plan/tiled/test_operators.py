"""Operators of model files on the tiled engine: what is planned gives golden; what is not is
refused with the reason, and the way out works (docs/tiled.md has the table)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.contract.engine import EngineShape
from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import legalize
from hwgen.plan.tiled.network.parts import LeftOut
from hwgen.plan.tiled.network.requant import CARRIED_OUT
from hwgen.plan.tiled.network.widths import TooNarrow
from tests.plan.tiled.test_program import check_graph

FIXTURES = Path(__file__).parents[2] / "importers" / "fixtures"
NETWORK = Path(hwgen.__file__).parent / "plan" / "tiled" / "network"
DOCUMENT = NETWORK.parents[3] / "docs" / "tiled.md"
SHAPE = EngineShape(8, 8, 8 << 10, 64, 64, 8, 64)

DONE = [
    ("tflite_unit_activations", "t18"), ("tflite_unit_hard_swishes", "t7"),
    ("tflite_unit_leaks", "t35"), ("tflite_unit_means", "t13"), ("tflite_unit_constants", "t24"),
    ("tflite_unit_constants", "t18"), ("tflite_unit_constants", "t20"),
    ("tflite_unit_moves", "t30"), ("tflite_unit_extremes", "t5"), ("tflite_unit_slices", "t12"),
    ("tflite_unit_nibbles", "t8"), ("tflite_unit_rows", "t4"),
    ("onnx_unit_curves", "QuantizeLinear_47"), ("tflite_unit_slices", "t8"),
    ("tflite_unit_moves", "t1"), ("tflite_unit_moves", "t5"),
    ("tflite_unit_broadcasts", "t5"), ("tflite_unit_broadcasts", "t9"),
    ("tflite_unit_constants", "t2"), ("tflite_unit_leaks", "t7"), ("tflite_unit_leaks", "t21"),
    ("tflite_unit_means", "t17"), ("tflite_squeeze", "mul_5"),
    ("tflite_curves", "mean_6"), ("tflite_unit_broadcasts", "t28"),
    ("tflite_unit_moves", "t15"), ("tflite_unit_transposed", "t4"),
]  # fmt: skip
REFUSALS = (UserError.__name__, TooNarrow.__name__, LeftOut.__name__)
REFUSED = {
    ("extremes", "t1"): "no unit for argmax",
    ("leaks", "t19"): "no multiply, add and shift",
    ("short_ends", "t1"): "stores 8 bits, 't0' has 16",
    ("short_ends", "t6"): "a softmax of 8 bits, this one gives 16",
}


def alone(name: str, output: str) -> Graph:
    """The part of a file's network that one of its outputs needs."""
    suffix = name.partition("_")[0]
    graph = hwgen.load(FIXTURES / f"{name}.{suffix}")
    needed = {output}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    inputs = tuple(tensor for tensor in graph.inputs if tensor.name in needed)
    nodes = tuple(node for node in graph.nodes if node.name in needed)
    return Graph(graph.name, inputs, nodes, (output,)).verify()


@pytest.mark.parametrize(("name", "output"), DONE)
def test_what_is_planned_gives_golden(name: str, output: str) -> None:
    check_graph(alone(name, output), SHAPE, 2)


@pytest.mark.parametrize(("name", "output"), REFUSED)
def test_what_is_refused_has_its_reason_and_a_way_out(name: str, output: str) -> None:
    graph = alone(f"tflite_unit_{name}", output)
    with pytest.raises(UserError, match=REFUSED[name, output]) as refusal:
        hwgen.plan(graph, arch="tiled")
    assert "use --arch dataflow" in str(refusal.value.hint)
    titles = {node.title for node in legalize(graph, CARRIED_OUT).nodes}
    assert refusal.value.layer in titles | {tensor.name for tensor in graph.inputs}
    assert hwgen.plan(graph, arch="dataflow")


def centered(least: int, signed: bool) -> Graph:
    """A padded convolution of bytes to which a number is added."""
    kind = {"rounding": Rounding.FLOOR, "overflow": Overflow.SATURATE}
    byte, wide = QType(signed, 8, 0, **kind), QType(True, 10, 0, **kind)
    weights = np.arange(36).reshape(3, 3, 2, 2) - 17
    nodes = (
        Node("less", ops.Requantize.scaled(wide, 1, -least), ("x",)),
        Node("conv", ops.Conv2D(weights, replace(byte, signed=True), (1, 1), "same"), ("less",)),
        Node("bytes", ops.Requantize.scaled(replace(byte, signed=True), shift=6), ("conv",)),
    )
    return Graph("centered", (Tensor("x", (4, 5, 2), byte),), nodes, ("bytes",)).verify()


@pytest.mark.parametrize(("zero", "signed"), [(131, False), (255, False), (-128, True), (90, True)])
def test_a_number_less_is_taken_from_sums(zero: int, signed: bool) -> None:
    check_graph(centered(zero, signed), SHAPE, 2)


@pytest.mark.parametrize(("zero", "signed"), [(-1, False), (256, False), (128, True)])
def test_padding_that_no_byte_stands_for_needs_wider_ones(zero: int, signed: bool) -> None:
    with pytest.raises(UserError, match="stores 8 bits, 'less' has 10"):
        hwgen.plan(centered(zero, signed), arch="tiled")


def test_a_small_number_more_is_a_tensor_of_its_own_where_there_is_a_border() -> None:
    kind = {"rounding": Rounding.FLOOR, "overflow": Overflow.SATURATE}
    graph = centered(-50, False)
    first, *rest = graph.nodes
    more = Node("less", ops.Requantize.scaled(QType(False, 8, 0, **kind), 1, 50), first.inputs)
    x = Tensor("x", (4, 5, 2), QType(False, 7, 0, **kind))
    check_graph(replace(graph, inputs=(x,), nodes=(more, *rest)).verify(), SHAPE, 2)


def test_sums_of_the_array_that_psums_do_not_hold_are_refused() -> None:
    """Golden's are small: what was taken from the values is added to them again."""
    kind = {"rounding": Rounding.FLOOR, "overflow": Overflow.SATURATE}
    wide, signed = QType(False, 16, 0, **kind), QType(True, 16, 0, **kind)
    weights = np.full((8, 8, 48, 4), 32767)
    nodes = (
        Node("less", ops.Requantize.scaled(signed, 1, -32768), ("x",)),
        Node("conv", ops.Conv2D(weights, signed, (1, 1), ((0, 0), (0, 0))), ("less",)),
        Node("out", ops.Requantize.scaled(signed, shift=28), ("conv",)),
    )
    graph = Graph("large", (Tensor("x", (8, 8, 48), wide),), nodes, ("out",)).verify()
    with pytest.raises(UserError, match="sums of 44 bits, the engine has 43"):
        hwgen.plan(graph, arch="tiled", bits="16,16")


def documented() -> list[str]:
    """What refusals say, of the table in docs/tiled.md."""
    table = DOCUMENT.read_text().partition("### What remains refused")[2].partition("\n#")[0]
    return [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]


def refusals() -> Iterator[str]:
    """The texts of all refusals of networks, without what is put into them."""
    for file in (*sorted(NETWORK.glob("*.py")), NETWORK.parents[1] / "host.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in REFUSALS:
                text = [n.value for n in ast.walk(call.args[0]) if isinstance(n, ast.Constant)]
                if text:  # else it repeats another one
                    yield "".join(map(str, text))


def test_the_document_has_every_refusal_and_no_other() -> None:
    said, known = list(refusals()), [*documented()]
    assert len(said) > 20
    elsewhere = {"smallest tile fits the buffers"}  # hwgen/plan/tiled/mapping
    for text in said:
        assert any(part in text for part in known), text
    for part in set(known) - elsewhere:
        assert any(part in text for text in said), part
