"""One shift for all channels, in the shortest form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.ir import Tensor, graph_from_json, graph_to_json, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes.shift import common_shift

from .networks import chain
from .promises import kept

BYTE = QType(True, 8, 0, Rounding.HALF_EVEN, Overflow.SATURATE)
X = Tensor("x", (4, 4, 2), BYTE)


def scaled(mult: Any, bias: Any, shift: Any) -> ops.Requantize:
    return ops.Requantize.scaled(BYTE, mult, bias, shift)


def test_every_rule_of_the_form_is_brought_about() -> None:
    graph = chain(X, scaled([3, 5], [1, 0], [2, 4]), scaled([6, 6], 4, 2), scaled(1, 0, 0))
    after = kept(common_shift, graph)
    first = common_shift(after).nodes[0].op
    assert isinstance(first, ops.Requantize)
    assert first.mult.tolist() == [12, 5]


@pytest.mark.parametrize(
    ("numbers", "becomes"),
    [
        (([3, 5], [1, 0], [2, 4]), ([12, 5], [4, 0], 4)),
        (([6, 6], [4, 8], 3), ([3], [2, 4], 2)),
        (([4, 8], 0, 2), ([1, 2], [0], 0)),
        ((0, 0, 5), ([0], [0], 0)),
        (([1, 1], [0, 1], 1), ([1], [0, 1], 1)),
        (([-4, 12], [6, 2], 4), ([-2, 6], [3, 1], 3)),
    ],
)
def test_the_shortest_form(numbers: tuple[Any, ...], becomes: tuple[Any, ...]) -> None:
    (node,) = kept_form(chain(X, ("y", scaled(*numbers)))).nodes
    op = node.op
    assert (op.mult.tolist(), op.bias.tolist(), op.shift.tolist()) == (*becomes[:2], [becomes[2]])
    assert op.type.rounding is (Rounding.HALF_EVEN if becomes[2] else Rounding.FLOOR)


def kept_form(graph: Any) -> Any:
    """What the pass makes, equal on every integer of both channels."""
    after = common_shift(graph).verify()
    values = np.arange(-128, 128)[:, np.newaxis].repeat(2, axis=1)
    before, now = graph.nodes[0].op, after.nodes[0].op
    assert np.array_equal(before.golden([values], [X]), now.golden([values], [X]))
    return after


def test_a_pivot_keeps_its_bias_on_both_sides() -> None:
    op = ops.Requantize(
        np.array([2]), np.array([4]), np.array([3]), BYTE,
        pivot=np.array([1, 2]), below=np.array([6, 6]),
    )  # fmt: skip
    (node,) = kept_form(chain(X, ("y", op))).nodes
    assert node.op.below.tolist() == [3] and node.op.bias.tolist() == [2]


def test_integers_of_any_size_are_written_and_read() -> None:
    """Shifts far apart give multipliers that no 64 bits hold: a package holds them too."""
    graph = kept_form(chain(X, ("y", scaled([1 << 40, 1], [0, 1 << 59], [0, 60]))))
    assert graph.nodes[0].op.mult.tolist() == [1 << 100, 1]
    again = graph_from_json(graph_to_json(graph))
    for name in ("mult", "bias", "shift"):
        assert np.array_equal(getattr(again.nodes[0].op, name), getattr(graph.nodes[0].op, name))
