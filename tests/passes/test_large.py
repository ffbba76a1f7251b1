"""Results and slopes beyond what floats and int64 hold: equal after the passes, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Op, Tensor, execute, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling
from hwgen.passes import legalize
from hwgen.plan.dataflow.planner import plan_dataflow

X = Tensor("x", (2,), QType(True, 8, 0, Rounding.FLOOR, Overflow.WRAP))
EVERY = {"x": np.repeat(np.arange(-128, 128)[:, None], 2, 1)}


def graph_of(op: Op, x: Tensor = X) -> Graph:
    return Graph("one", (x,), (Node("y", op, ("x",)),), ("y",)).verify()


def byte(overflow: Overflow = Overflow.SATURATE, frac: int = 0) -> QType:
    return QType(True, 8, frac, Rounding.HALF_EVEN, overflow)


def assert_legal(graph: Graph) -> Graph:
    """Passes leave every result as it is."""
    legal = legalize(graph)
    wanted, got = execute(graph, EVERY)["y"], execute(legal, EVERY)["y"]
    assert np.array_equal(got, wanted)
    return legal


@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("bias", [3, 1 << 20, 1_234_567])
def test_rescales_of_more_than_64_bits(overflow: Overflow, bias: int) -> None:
    """A constant channel beside one that is none; what wraps keeps the low bits of a float64."""
    for mult, shift in ((1 << 52, 0), ((1 << 53) - 1, 3), (5 << 50, 12)):
        op = ops.Rescale(Scaling.DOUBLE_HALF_AWAY, np.array([mult]), np.array([shift]),
                         byte(overflow), np.array([bias]), offset=7)  # fmt: skip
        assert_legal(graph_of(op))
        nodes = (Node("none", ops.Dense(np.zeros((2, 2), np.int64), byte()), ("x",)),
                 Node("y", op, ("none",)))  # fmt: skip
        assert_legal(Graph("constant", (X,), nodes, ("y",)).verify())


def test_an_offset_of_more_than_32_bits_is_refused() -> None:
    for offset in (1 << 31, -(1 << 31) - 1, 1 << 70):
        op = ops.Rescale(
            Scaling.TFLM_DOUBLE, np.array([1 << 30]), np.array([31]), byte(), offset=offset
        )
        with pytest.raises(UserError, match=f"'y': offset {offset} does not fit 32 bits"):
            graph_of(op)


def norm(scale: float, offset: float, qtype: QType) -> ops.BatchNorm:
    return ops.BatchNorm(np.array([scale, 0.5]), np.array([offset, 0.25]), qtype)


@pytest.mark.parametrize("scale", [1e306, -1e306, 1e-300, -1e-300, 5e-324, 2.0**-600])
@pytest.mark.parametrize("frac", [0, -256, 256])
def test_slopes_of_any_size(scale: float, frac: int) -> None:
    """Too steep for a multiplier, or so flat that only the sign of a number is left."""
    graph = graph_of(norm(scale, 0.0, QType(True, 8, frac, Rounding.FLOOR, Overflow.SATURATE)))
    try:
        assert_legal(graph)
    except UserError as error:
        assert "'y': channel" in str(error) and "multiplier of 64 bits" in str(error)
        assert abs(scale) > 1 or frac


def test_a_flat_slope_that_steps_at_zero() -> None:
    flat = ops.BatchNorm(np.array([2.0**-600, 2.0**-700]), np.zeros(2),
                         QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE))  # fmt: skip
    legal = assert_legal(graph_of(flat))
    assert execute(legal, EVERY)["y"][127:130, 0].tolist() == [-1, 0, 0]


@pytest.mark.parametrize(("scale", "offset"), [(1e307, 0.0), (1e304, 1.7e308), (0.0, 1e308)])
def test_batch_norms_that_are_not_finite_are_refused(scale: float, offset: float) -> None:
    wide = Tensor("x", (2,), QType(True, 8, -10, Rounding.FLOOR, Overflow.WRAP))
    tiny = QType(True, 8, 0, Rounding.HALF_EVEN, Overflow.SATURATE, scale=1e-10)
    for x, out in ((wide, byte()), (X, tiny)):
        if x is wide and not scale:
            continue
        with pytest.raises(UserError, match="'y': scale and offset are too large"):
            graph_of(norm(scale, offset, out), x)


@pytest.mark.parametrize("overflow", [Overflow.WRAP, Overflow.SATURATE_ZERO])
def test_a_batch_norm_that_wraps_numbers_of_more_than_62_bits(overflow: Overflow) -> None:
    graph = graph_of(norm(0.0, 1e30, byte(overflow)))
    with pytest.raises(
        UserError, match=f"'y': results beyond 62 bits whose overflow is {overflow}"
    ):
        legalize(graph)
    assert_legal(graph_of(norm(0.0, 1e30, byte())))


@pytest.mark.parametrize("scaling", [Scaling.FP32_HALF_EVEN, Scaling.DOUBLE_HALF_AWAY])
def test_results_beyond_a_significand_get_no_hardware(scaling: Scaling) -> None:
    """A float has no low bits there; the rescaler would have."""
    wide = QType(True, 32, 0, Rounding.FLOOR, Overflow.SATURATE)
    x = Tensor("x", (2,), wide)
    mult = np.array([(1 << scaling.precision) - 1])
    for kind, shift, fits in (
        (replace_width(wide, 8), 5, True),
        (QType(True, 8, 0, Rounding.FLOOR, Overflow.WRAP), 5, False),
        (QType(True, 8, 0, Rounding.FLOOR, Overflow.WRAP), scaling.precision + 24, True),
    ):
        graph = graph_of(ops.Rescale(scaling, mult, np.array([shift]), kind), x)
        if fits:
            assert plan_dataflow(legalize(graph))
            continue
        with pytest.raises(UserError, match=f"'y': {scaling} rounds its products to"):
            plan_dataflow(legalize(graph))


def replace_width(qtype: QType, width: int) -> QType:
    return QType(qtype.signed, width, 0, qtype.rounding, qtype.overflow)
