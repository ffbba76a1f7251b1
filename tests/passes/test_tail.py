"""A last softmax or argmax is left to the host."""

from __future__ import annotations

import pytest

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes.tail import without_tail

from .networks import chain

BYTE = QType(True, 8, 0, Rounding.HALF_UP, Overflow.SATURATE)
PROBABILITY = QType(False, 8, 0, Rounding.HALF_UP, Overflow.SATURATE, 2.0**-8, 0)
X = Tensor("x", (1, 1, 4), BYTE)
SOFTMAX = ops.Softmax(1 << 30, 24, PROBABILITY)


def test_outputs_are_what_softmaxes_read() -> None:
    graph = chain(X, ("scores", ops.Flatten()), ("soft", SOFTMAX))
    nodes = (*graph.nodes, Node("other", ops.Pad(((1, 0), (0, 0)), 0), ("x",)))
    after = without_tail(Graph("n", (X,), nodes, ("other", "soft"), ("A note.",)))
    assert after.outputs == ("other", "scores")
    assert [n.name for n in after.nodes] == ["scores", "other"]
    assert after.notes == ("A note.", "left to the host: soft")


def test_an_argmax_and_the_softmax_before_it_are_left() -> None:
    """Under any shape: the host finds the largest of what they read."""
    graph = chain(
        X, ("scores", ops.Flatten()), ("soft", SOFTMAX), ("class", ops.ArgMax()),
        ("one", ops.Reshape((1, 1, 1))),
    )  # fmt: skip
    after = without_tail(graph)
    assert (after.outputs, [n.name for n in after.nodes]) == (("scores",), ["scores"])
    assert after.notes[-1] == "left to the host: one, class, soft"


def test_a_softmax_that_layers_read_too_stays_for_them() -> None:
    """And what stands before it is one output, though it is asked for twice."""
    graph = chain(X, ("scores", ops.Flatten()), ("soft", SOFTMAX), ("class", ops.Flatten()))
    nodes = (*graph.nodes, Node("pair", ops.Concat(), ("soft", "soft")))
    after = without_tail(Graph("n", (X,), nodes, ("scores", "soft", "pair")))
    assert after.outputs == ("scores", "pair")
    assert [n.name for n in after.nodes] == ["scores", "soft", "class", "pair"]


def test_a_network_that_ends_otherwise_is_refused() -> None:
    with pytest.raises(UserError, match="not end in a softmax or an argmax: nothing is left to"):
        without_tail(chain(X, ("soft", SOFTMAX), ("y", ops.MaxPool((1, 1), (1, 1)))))
