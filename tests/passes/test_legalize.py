"""The whole list: passes keep the golden output and what earlier ones left; the end is legal."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen import passes
from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, execute, legal, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling
from hwgen.passes import LEAVES, PASSES, legalize, remove_dead
from hwgen.plan.dataflow.stages import stages_of
from tests.helpers.runtime_graphs import GatedNetwork, SoftmaxNetwork, runtime_network

from .networks import chain, network, qtype
from .promises import broken, kept, legalized

FIXTURES = Path(__file__).parents[1] / "importers" / "fixtures"
NO_NETWORKS = ("refused_", "float_model", "pair_weights")
MODELS = [
    file
    for folder in (FIXTURES, Path(hwgen.__file__).parent / "models")
    for file in sorted(folder.iterdir())
    if file.suffix in (".h5", ".json", ".keras", ".onnx", ".tflite")
    and not file.name.startswith(NO_NETWORKS)
]
BYTE = QType(True, 8, 0, Rounding.HALF_UP, Overflow.SATURATE)


def random_graph(seed: int) -> Graph:
    """conv - [batch norm | relu | pool] - quantizer - [pools] - dense, with random attributes."""
    rng = np.random.default_rng(seed)
    x = Tensor("x", (6, 6, 2), qtype(rng, 5, 3, bool(rng.integers(2))))
    weight = QType(True, 4, 3, Rounding.HALF_EVEN, Overflow.SATURATE)
    cout = int(rng.integers(1, 5))
    bias = rng.integers(-40, 40, cout) if rng.integers(2) else None
    conv = ops.Conv2D(
        rng.integers(-7, 8, (3, 3, 2, cout)), weight, (1, 1), "same",
        bias, int(rng.integers(2, 9)) if bias is not None else None,
    )  # fmt: skip
    nodes = [Node("conv", conv, ("x",))]

    def add(name: str, op: Any) -> None:
        nodes.append(Node(name, op, (nodes[-1].name,)))

    if rng.integers(2):
        add("early_pool", ops.MaxPool((2, 2), (2, 2)))
    if rng.integers(2):
        add("relu", ops.Relu(None))
    out = qtype(rng, 6, int(rng.integers(0, 4)), bool(rng.integers(2)))
    if rng.integers(2):
        scale = rng.normal(0, 1, cout) * (rng.random(cout) < 0.8)
        add("norm", ops.BatchNorm(scale, rng.normal(0, 1, cout), out))
    else:
        acc = Graph("g", (x,), tuple(nodes), (nodes[-1].name,)).tensors[nodes[-1].name]
        down = acc.type.frac - out.frac
        mult = rng.integers(1, 4, cout) << max(0, -down)
        add("quantizer", ops.Requantize.scaled(out, mult, rng.integers(-9, 9, cout), max(0, down)))
    if rng.integers(2):
        kernel = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        add("average", ops.AvgPool(kernel, kernel, type=qtype(rng, 7, out.frac + 1)))
    add("flatten", ops.Flatten())
    size = Graph("g", (x,), tuple(nodes), (nodes[-1].name,)).tensors["flatten"].size
    add("dense", ops.Dense(rng.integers(-7, 8, (size, 3)), weight, rng.integers(-9, 9, 3), 4))
    return Graph("random", (x,), tuple(nodes), ("dense",)).verify()


def frames(graph: Graph, seed: int) -> np.ndarray[Any, Any]:
    x = graph.inputs[0]
    rng = np.random.default_rng(seed)
    some = rng.integers(x.type.min, x.type.max + 1, (20, *x.shape))
    ends = [np.full((1, *x.shape), value) for value in (x.type.min, x.type.max)]
    return np.concatenate([some, *ends])


@pytest.mark.parametrize("seed", range(60))
def test_every_pass_keeps_the_output(seed: int) -> None:
    print(f"seed {seed}")
    graph = random_graph(seed)
    x = frames(graph, seed)
    expected = execute(graph, {"x": x})["dense"]
    for name, step in PASSES:
        graph = step(graph).verify()
        assert np.array_equal(execute(graph, {"x": x})["dense"], expected), name
    assert stages_of(graph)
    assert stages_of(legalized(random_graph(seed)))


@pytest.mark.parametrize("file", MODELS, ids=lambda file: file.name)
def test_networks_of_files_become_legal(file: Path) -> None:
    legalized(hwgen.load(file))


@pytest.mark.parametrize("kind", ["chain", "gated", "softmax"])
def test_random_networks_become_legal(kind: str) -> None:
    kinds = {"gated": GatedNetwork, "softmax": SoftmaxNetwork}
    done = 0
    for seed in range(700, 725):
        print(f"seed {seed}")
        graph = (
            network(seed)
            if kind == "chain"
            else runtime_network(Random(seed), tuple(Scaling), kinds[kind])
        )
        try:
            legalized(graph)
        except UserError:
            continue
        done += 1
    assert done > 15, f"only {done} of 25 networks were legalized"


def test_every_rule_is_left_by_a_pass() -> None:
    """But for those of a graph that is well-formed, which is asked of every one."""
    left = [rule for rules in LEAVES.values() for rule in rules]
    assert sorted(left, key=id) == sorted(set(legal.RULES) - {legal.WELL_FORMED}, key=id)
    assert LEAVES.keys() <= {step for _, step in PASSES}


def test_a_pass_that_breaks_a_rule_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = chain(Tensor("x", (4, 4, 2), BYTE), ("act", ops.Relu()), ops.Flatten())
    kinder = tuple(item for item in PASSES if item[1] is not passes.relu_into_requantize)
    monkeypatch.setattr(passes, "PASSES", kinder)
    with pytest.raises(AssertionError, match="not legal: layer 'act': relu: None is left"):
        legalize(graph)


def test_layers_that_lead_nowhere_are_removed() -> None:
    x = Tensor("x", (4, 4, 2), BYTE)
    pool, reads = ops.MaxPool((1, 1), (1, 1)), ("x", "n0", "n1", "n2", "n3")
    nodes = [Node(f"n{n}", pool, (name,)) for n, name in enumerate(reads)]
    graph = Graph("dead", (x,), tuple(nodes), ("n1", "n2")).verify()
    assert broken(legal.LEADS_TO_AN_OUTPUT, graph) == ["n4"]
    assert [n.name for n in kept(remove_dead, graph).nodes] == ["n0", "n1", "n2"]
