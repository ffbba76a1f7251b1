"""Each rule of the legal graph has graphs that break it and nothing else."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest

from hwgen.ir import Graph, Node, Tensor, legal, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes.shift import common_shift
from tests.helpers.random_graphs import GRAPHS

BYTE = QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE)
NEAREST = QType(True, 8, 0, Rounding.HALF_UP, Overflow.SATURATE)
SCALED = QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE, 0.5, 3)
WIDE = QType(True, 40, 0, Rounding.FLOOR, Overflow.SATURATE)
X = Tensor("x", (4, 4, 2), BYTE)


def graph(*nodes: Node, x: Tensor = X, outputs: tuple[str, ...] = ()) -> Graph:
    """Layers that end in the last one, if nothing else is said."""
    return Graph("net", (x,), nodes, outputs or (nodes[-1].name,))


def node(name: str, op: Any, *inputs: str) -> Node:
    return Node(name, op, inputs)


def conv(**attributes: Any) -> ops.Conv2D:
    return ops.Conv2D(np.ones((1, 1, 2, 2), np.int64), BYTE, **attributes)


def requantize(qtype: QType = NEAREST, **numbers: Any) -> ops.Requantize:
    return ops.Requantize.scaled(qtype, **({"shift": 1} | numbers))


FLAT = node("flat", ops.Flatten(), "x")
DENSE = ops.Dense(np.ones((32, 3), np.int64), BYTE, bias=np.array([1, 2, 3]))
POOL = ops.MaxPool((4, 4), (4, 4))
NORM = ops.BatchNorm(np.ones(2), np.zeros(2), BYTE)

BROKEN: dict[legal.Rule, list[tuple[str, Graph]]] = {
    legal.WELL_FORMED: [
        ("a", graph(node("a", POOL, "x"), node("a", POOL, "x"))),
        ("a", graph(node("a", POOL, "b"), node("b", POOL, "x"))),
        ("a", graph(node("a", DENSE, "x"))),
        ("b", graph(node("a", requantize(WIDE), "x"), node("b", ops.Flatten(), "a"))),
        ("a", graph(node("a", requantize(WIDE), "x"))),
    ],
    legal.LEADS_TO_AN_OUTPUT: [("a", graph(node("a", POOL, "x"), node("b", POOL, "x")))],
    legal.NO_RELU: [("a", graph(node("a", ops.Relu(), "x")))],
    legal.NO_BATCH_NORM: [("a", graph(node("a", NORM, "x")))],
    legal.NO_AVG_POOL: [("a", graph(node("a", ops.AvgPool((2, 2), (2, 2), type=BYTE), "x")))],
    legal.NO_BIAS: [
        ("a", graph(node("a", conv(bias=np.array([1, 2])), "x"), node("b", requantize(), "a"))),
        ("a", graph(FLAT, node("a", DENSE, "flat"), node("b", requantize(), "a"))),
    ],
    legal.STORED_INTEGERS: [
        (
            "a",
            graph(
                node("a", conv(), "x"),
                node("b", requantize(), "a"),
                x=Tensor("x", (4, 4, 2), SCALED),
            ),
        )
    ],
    legal.REQUANTIZED: [
        ("a", graph(node("a", conv(), "x"))),
        ("a", graph(node("a", conv(), "x"), node("b", POOL, "a"), node("c", requantize(), "b"))),
        (
            "a",
            graph(
                node("a", conv(), "x"),
                node("b", requantize(), "a"),
                node("c", requantize(shift=2), "a"),
                outputs=("b", "c"),
            ),
        ),
        ("a", graph(node("a", conv(), "x"), node("b", requantize(), "a"), outputs=("a", "b"))),
    ],
    legal.ONE_SHIFT: [("a", graph(node("a", requantize(mult=[3, 1], shift=[1, 2]), "x")))],
    legal.SAID_ONCE: [
        ("a", graph(node("a", requantize(mult=[3, 3]), "x"))),
        ("a", graph(node("a", requantize(bias=[0, 0]), "x"))),
    ],
    legal.SHORTEST_SHIFT: [("a", graph(node("a", requantize(mult=6, bias=4, shift=3), "x")))],
    legal.FREE_ROUNDING: [("a", graph(node("a", requantize(mult=2, shift=0), "x")))],
    legal.ONE_SHAPE: [("b", graph(node("a", POOL, "x"), node("b", ops.Mul(), "x", "a")))],
}


@pytest.mark.parametrize("rule", legal.RULES, ids=lambda rule: rule.sentence[:40])
def test_a_rule_is_broken_alone(rule: legal.Rule) -> None:
    assert BROKEN[rule]
    for layer, broken in BROKEN[rule]:
        assert [(v.rule, v.layer) for v in legal.illegal(broken)] == [(rule, layer)]
        with pytest.raises(AssertionError, match=rf"not legal: layer '{layer}': ."):
            legal.check_legal(broken)


def test_every_violation_is_named() -> None:
    """Also two in one layer."""
    bad = graph(node("a", conv(bias=np.array([1, 2])), "x"), node("b", requantize(shift=0), "a"))
    bad = Graph("net", bad.inputs, (*bad.nodes, node("c", ops.Relu(), "b")), ("a", "c"))
    found = [(v.layer, v.rule) for v in legal.illegal(bad)]
    assert found == [
        ("a", legal.NO_BIAS),
        ("a", legal.REQUANTIZED),
        ("b", legal.FREE_ROUNDING),
        ("c", legal.NO_RELU),
    ]


@pytest.mark.parametrize("kind", sorted(GRAPHS))
def test_random_graphs_of_the_architectures_are_legal(kind: str) -> None:
    """What gateware is tested with. C code is tested with them before common_shift as well."""
    form = {legal.ONE_SHIFT, legal.SAID_ONCE, legal.SHORTEST_SHIFT, legal.FREE_ROUNDING}
    for seed in range(3):
        print(f"seed {seed}")
        made = GRAPHS[kind](Random(seed))
        assert {v.rule for v in legal.illegal(made)} <= form
        assert not legal.illegal(common_shift(made))
