"""Multiplying layers lose their biases, and one requantization follows each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling
from hwgen.passes.mac import bias_into_requantize, ensure_requantize

from .networks import chain
from .promises import kept

BYTE = QType(True, 8, 2, Rounding.HALF_UP, Overflow.SATURATE)
X = Tensor("x", (3, 3, 2), BYTE)
WEIGHTS = np.arange(-8, 10).reshape(3, 3, 2, 1) * np.array([1, -3, 5])
QUANTIZER = ops.Requantize.scaled(BYTE, shift=4)


def conv(**attributes: Any) -> ops.Conv2D:
    return ops.Conv2D(WEIGHTS, BYTE, **attributes)


@pytest.mark.parametrize("frac", [None, 4, 7, 1])
def test_a_bias_is_added_by_a_requantization(frac: int | None) -> None:
    """With the products' fraction, stated or not; finer, coarser."""
    biased = conv(bias=np.array([9, -1, 0]), bias_frac=frac)
    after = kept(bias_into_requantize, chain(X, ("y", biased)))
    assert [(n.name, type(n.op)) for n in after.nodes] == [
        ("y_mac", ops.Conv2D),
        ("y", ops.Requantize),
    ]
    assert isinstance(after.nodes[0].op, ops.Conv2D)
    assert after.nodes[0].op.bias_frac is None


def test_a_rescale_takes_the_bias() -> None:
    one = np.array([1 << 30])
    rescale = ops.Rescale(Scaling.TFLM_DOUBLE, one, np.array([34]), BYTE, np.array([1, 2, 3]))
    layers = (("conv", conv(bias=np.array([10, 20, -30]))), ("y", rescale))
    after = kept(bias_into_requantize, chain(X, *layers))
    assert [type(n.op) for n in after.nodes] == [ops.Conv2D, ops.Rescale]
    assert isinstance(after.nodes[1].op, ops.Rescale)
    assert after.nodes[1].op.bias.tolist() == [11, 22, -27]


@pytest.mark.parametrize("outputs", [("y",), ("a", "y")])
def test_one_that_keeps_all_follows_where_there_is_none(outputs: tuple[str, ...]) -> None:
    """Behind a product that a pool reads, and behind one that is an output as well."""
    nodes = (Node("a", conv(), ("x",)), Node("y", QUANTIZER, ("a",)))
    if len(outputs) == 1:
        nodes = (nodes[0], Node("y", ops.MaxPool((1, 1), (1, 1)), ("a",)))
    after = kept(ensure_requantize, Graph("n", (X,), nodes, outputs).verify())
    assert [n.name for n in after.nodes] == ["a_mac", "a", "y"]
    assert isinstance(after.nodes[1].op, ops.Requantize)


def test_products_that_are_requantized_stay() -> None:
    graph = chain(X, ("a", conv()), ("y", QUANTIZER))
    assert ensure_requantize(graph).nodes == graph.nodes


def test_products_too_wide_for_a_stream_are_refused() -> None:
    wide = QType(True, 28, 0, Rounding.HALF_UP, Overflow.SATURATE)
    graph = chain(
        Tensor("x", (3, 3, 2), wide), ("a", conv()), ("b", ops.MaxPool((1, 1), (1, 1))),
        ("y", QUANTIZER),
    )  # fmt: skip
    with pytest.raises(UserError) as error:
        ensure_requantize(graph)
    text = "layer 'a': its exact result has 37 bits, streams take at most 32; quantize it"
    assert str(error.value) == text
