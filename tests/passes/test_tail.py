"""A last softmax is left to the host."""

from __future__ import annotations

import pytest

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes.tail import without_softmax

from .networks import chain

BYTE = QType(True, 8, 0, Rounding.HALF_UP, Overflow.SATURATE)
PROBABILITY = QType(False, 8, 0, Rounding.HALF_UP, Overflow.SATURATE, 2.0**-8, 0)
X = Tensor("x", (1, 1, 4), BYTE)
SOFTMAX = ops.Softmax(1 << 30, 24, PROBABILITY)


def test_outputs_are_what_softmaxes_read() -> None:
    graph = chain(X, ("scores", ops.Flatten()), ("soft", SOFTMAX))
    nodes = (*graph.nodes, Node("other", ops.ArgMax(), ("x",)))
    after = without_softmax(Graph("n", (X,), nodes, ("other", "soft"), ("A note.",)))
    assert after.outputs == ("other", "scores")
    assert [n.name for n in after.nodes] == ["scores", "other"]
    assert after.notes == ("A note.", "left to the host: soft")


def test_a_softmax_that_layers_read_too_stays_for_them() -> None:
    """And what stands before it is one output, though it is asked for twice."""
    graph = chain(X, ("scores", ops.Flatten()), ("soft", SOFTMAX), ("class", ops.ArgMax()))
    after = without_softmax(Graph("n", (X,), graph.nodes, ("scores", "soft", "class")))
    assert after.outputs == ("scores", "class")
    assert [n.name for n in after.nodes] == ["scores", "soft", "class"]


def test_a_network_that_ends_otherwise_is_refused() -> None:
    with pytest.raises(UserError, match="does not end in a softmax: nothing is left to the host"):
        without_softmax(chain(X, ("soft", SOFTMAX), ("y", ops.ArgMax())))
