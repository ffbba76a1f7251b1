"""Borders of zeros go into the convolutions that read them; factors get the size of products."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import remove_dead
from hwgen.passes.border import pad_into_conv, repeat_factors

from .networks import chain
from .promises import kept

BYTE = QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE)
X = Tensor("x", (4, 5, 2), BYTE)
CONV = ops.Conv2D(np.arange(-9, 27).reshape(3, 3, 2, 2), BYTE, padding=((1, 0), (0, 0)))
BORDER = ((1, 2), (0, 1))


def test_a_border_of_zeros_becomes_padding() -> None:
    after = kept(pad_into_conv, chain(X, ("border", ops.Pad(BORDER)), ("y", CONV)))
    assert after.nodes[-1].inputs == ("x",)
    assert isinstance(after.nodes[-1].op, ops.Conv2D)
    assert after.nodes[-1].op.pads(X) == ((2, 2), (0, 1))
    assert [n.name for n in kept(remove_dead, after).nodes] == ["y"]


@pytest.mark.parametrize("pad", [ops.Pad(BORDER, 7), ops.Pad(((2, 0), (0, 0)))])
def test_other_borders_stay(pad: ops.Pad) -> None:
    """One that is no zero, and one with which a window would lie in the border alone."""
    graph = chain(X, ("border", pad), ("y", CONV))
    assert kept(pad_into_conv, graph).nodes == graph.nodes


def test_a_border_keeps_its_other_readers() -> None:
    nodes = chain(X, ("border", ops.Pad(BORDER)), ("y", CONV)).nodes
    outputs = ("y", "other")
    graph = Graph("n", (X,), (*nodes, Node("other", ops.Flatten(), ("border",))), outputs).verify()
    after = kept(pad_into_conv, graph)
    assert remove_dead(after).nodes == after.nodes
    assert [n.inputs for n in after.nodes] == [("x",), ("x",), ("border",)]


def test_a_factor_of_one_pixel_is_repeated() -> None:
    pool = Node("factor", ops.MaxPool((4, 5), (4, 5)), ("x",))
    graph = Graph("n", (X,), (pool, Node("y", ops.Mul(), ("x", "factor"))), ("y",)).verify()
    after = kept(repeat_factors, graph)
    assert [n.name for n in after.nodes] == ["factor", "y_repeated", "y"]
    assert isinstance(after.nodes[1].op, ops.Upsample)
    assert after.nodes[1].op.factor == (4, 5)
    assert repeat_factors(after).nodes == after.nodes
