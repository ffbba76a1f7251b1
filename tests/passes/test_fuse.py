"""Activations and requantizations become few."""

from __future__ import annotations

import numpy as np

from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes.fuse import (
    drop_identities,
    fuse_requantize,
    hoist_requantize,
    relu_into_requantize,
    simplify,
)

from .networks import chain
from .promises import kept

BYTE = QType(True, 8, 0, Rounding.HALF_UP, Overflow.SATURATE)
X = Tensor("x", (4, 4, 2), BYTE)
HALF = ops.Requantize.scaled(QType(True, 6, 0, Rounding.HALF_UP, Overflow.SATURATE), shift=1)
SAME = ops.Requantize.identity(X)
POOL = ops.MaxPool((2, 2), (2, 2))


def kinds(graph: Graph) -> list[str]:
    return [type(node.op).__name__ for node in graph.nodes]


def test_a_relu_is_a_requantization_that_clips() -> None:
    after = kept(relu_into_requantize, chain(X, ("a", ops.Relu(50)), ("y", ops.Relu())))
    assert [n.op.clip for n in after.nodes if isinstance(n.op, ops.Requantize)] == [
        (0, 50),
        (0, 127),
    ]
    assert [n.name for n in after.nodes] == ["a", "y"]


def test_two_in_a_row_become_one() -> None:
    after = kept(fuse_requantize, chain(X, ("a", ops.Requantize.identity(X, (0, 90))), ("y", HALF)))
    assert [n.name for n in after.nodes] == ["y"]
    assert isinstance(after.nodes[0].op, ops.Requantize)
    assert after.nodes[0].op.clip == (0, 31)  # 90 saturates


def test_one_with_another_reader_stays() -> None:
    nodes = (Node("a", SAME, ("x",)), Node("b", HALF, ("a",)), Node("c", POOL, ("a",)))
    graph = Graph("n", (X,), nodes, ("b", "c")).verify()
    assert kept(fuse_requantize, graph).nodes == nodes


def test_one_behind_a_maximum_moves_before_it() -> None:
    after = kept(hoist_requantize, chain(X, ("a", POOL), ("y", HALF)))
    assert kinds(after) == ["Requantize", "MaxPool"]
    assert [n.name for n in after.nodes] == ["a_requant", "y"]
    falling = chain(X, ("a", POOL), ("y", ops.Requantize.scaled(BYTE, mult=-1)))
    assert kept(hoist_requantize, falling).nodes == falling.nodes


def test_identities_disappear_but_behind_products() -> None:
    conv = ops.Conv2D(np.ones((1, 1, 2, 2), np.int64), BYTE)
    graph = chain(X, ("a", SAME), ("conv", conv))
    acc = graph.tensors["conv"]
    graph = Graph(
        "n",
        (X,),
        (*graph.nodes, Node("q", ops.Requantize.identity(acc), ("conv",)),
         Node("p", POOL, ("q",)), Node("y", ops.Requantize.identity(acc), ("p",))),
        ("y",),
    ).verify()  # fmt: skip
    after = kept(drop_identities, graph)
    # The output keeps its name: the pool takes it.
    assert [n.name for n in after.nodes] == ["conv", "q", "y"]
    assert kinds(after) == ["Conv2D", "Requantize", "MaxPool"]


def test_simplify_goes_on_until_nothing_changes() -> None:
    clip = ops.Requantize.identity(X, (-90, 90))
    after = kept(simplify, chain(X, ("a", clip), ("b", POOL), ("c", SAME), ("y", HALF)))
    assert kinds(after) == ["Requantize", "MaxPool"]
    assert simplify(after).nodes == after.nodes
