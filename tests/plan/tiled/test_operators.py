"""Operators of model files on the tiled engine: what is planned gives golden; what is not is
refused with the reason, and the way out works (docs/tiled.md has the table)."""

from __future__ import annotations

from pathlib import Path

import pytest

import hwgen
from hwgen.contract.engine import EngineShape
from hwgen.errors import UserError
from hwgen.ir import Graph
from hwgen.passes import legalize
from tests.plan.tiled.test_program import check_graph

FIXTURES = Path(__file__).parents[2] / "importers" / "fixtures"
SHAPE = EngineShape(8, 8, 8 << 10, 64, 64, 8, 64)

DONE = {
    "activations": "t18", "hard_swishes": "t7", "leaks": "t35", "means": "t13",
    "constants": "t24", "moves": "t30", "extremes": "t5", "slices": "t12", "nibbles": "t8",
    "rows": "t4",
}  # fmt: skip
REFUSED = {
    ("bilinear", "t1"): "as a vector into dense layers only",
    ("broadcasts", "t9"): "does not reshape",
    ("constants", "t2"): "looks up functions of 8 bits, the same for all channels",
    ("extremes", "t1"): "does not carry out argmax",
    ("leaks", "t7"): "stores 8 bits",
    ("moves", "t1"): "as a vector into dense layers only",
    ("moves", "t5"): "does not reshape",
    ("moves", "t15"): "does not reshape",
    ("transposed", "t4"): "does not reshape",
    ("short_ends", "t1"): "stores 8 bits, 't0' has 16",
    ("short_ends", "t6"): "a softmax of 8 bits, this one gives 16",
}


def alone(name: str, output: str) -> Graph:
    """The part of a file's network that one of its outputs needs."""
    graph = hwgen.load(FIXTURES / f"tflite_unit_{name}.tflite")
    needed = {output}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    inputs = tuple(tensor for tensor in graph.inputs if tensor.name in needed)
    nodes = tuple(node for node in graph.nodes if node.name in needed)
    return Graph(graph.name, inputs, nodes, (output,)).verify()


@pytest.mark.parametrize("name", DONE)
def test_what_is_planned_gives_golden(name: str) -> None:
    check_graph(alone(name, DONE[name]), SHAPE, 2)


@pytest.mark.parametrize(("name", "output"), REFUSED)
def test_what_is_refused_has_its_reason_and_a_way_out(name: str, output: str) -> None:
    graph = alone(name, output)
    with pytest.raises(UserError, match=REFUSED[name, output]) as refusal:
        hwgen.plan(graph, arch="tiled")
    assert "use --arch dataflow" in str(refusal.value.hint)
    titles = {node.title for node in legalize(graph).nodes}
    assert refusal.value.layer in titles | {tensor.name for tensor in graph.inputs}
    assert hwgen.plan(graph, arch="dataflow")
