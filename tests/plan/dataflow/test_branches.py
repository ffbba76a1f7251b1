"""Branches: the queue on the short way round is as deep as it must be, and no deeper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Op, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import legalize
from hwgen.plan.dataflow.plan import DataflowPlan
from hwgen.plan.dataflow.planner import plan_dataflow
from hwgen.plan.dataflow.rules.join import ConcatUnit
from hwgen.plan.dataflow.units import ForkUnit
from tests.helpers.graphs import random_case
from tests.helpers.pysim import check_against_model, check_beats, golden, pattern, run_plan
from tests.helpers.pysim import random_frames as frames_of

S6 = QType(True, 6, 3, Rounding.HALF_EVEN, Overflow.SATURATE)


def residual(join: Op, outputs: int) -> Graph:
    """A convolution, two more on the long way round, and their sum or concatenation."""
    rng = np.random.default_rng(3)

    def conv(cin: int, cout: int) -> ops.Conv2D:
        return ops.Conv2D(rng.integers(-8, 8, (3, 3, cin, cout)), S6, padding="same")

    requant = ops.Requantize.scaled(S6, shift=6)
    nodes = [
        Node("a_mac", conv(1, 2), ("x",)), Node("a", requant, ("a_mac",)),
        Node("b_mac", conv(2, 3), ("a",)), Node("b", requant, ("b_mac",)),
        Node("c_mac", conv(3, outputs), ("b",)), Node("c", requant, ("c_mac",)),
        Node("join", join, ("a", "c")),
        Node("y", ops.Requantize.scaled(S6, shift=1), ("join",)),
    ]  # fmt: skip
    graph = Graph("residual", (Tensor("x", (6, 7, 1), S6),), tuple(nodes), ("y",))
    return legalize(graph.verify())


def fork_of(plan: DataflowPlan) -> tuple[int, ForkUnit]:
    (found,) = [(i, u) for i, u in enumerate(plan.units) if isinstance(u, ForkUnit)]
    return found


@pytest.mark.parametrize(("join", "outputs"), [(ops.Add(), 2), (ops.Concat(), 4)])
def test_one_less_stalls_and_the_computed_depth_never_does(join: Op, outputs: int) -> None:
    plan = plan_dataflow(residual(join, outputs), multipliers=40)
    index, fork = fork_of(plan)
    x = frames_of(plan, 6, 1)
    timing = check_against_model(plan, x)
    assert timing is None or timing.interval == plan.timing().interval
    deepest = max(range(len(fork.fifos)), key=lambda n: fork.fifos[n])
    assert fork.fifos[deepest] > 6, "the short way does not wait for rows"
    less = fork.with_capacity(f"fifo{deepest}", fork.fifos[deepest] - 1)
    shallow = replace(plan, units=(*plan.units[:index], less, *plan.units[index + 1 :]))
    assert shallow.interval(6) > plan.timing().interval


def test_gaps_do_not_stop_it() -> None:
    plan = plan_dataflow(residual(ops.Add(), 2), multipliers=40)
    x = frames_of(plan, 3, 2)
    for kinds in (("bursty", "always"), ("always", "rare"), ("random", "bursty")):
        source, sink = (pattern(kind, seed) for seed, kind in enumerate(kinds))
        check_beats(plan, run_plan(plan, x, source, sink), golden(plan, x))


def test_an_output_that_is_read_inside() -> None:
    """One branch of the fork goes to the output port."""
    requant = ops.Requantize.scaled(S6, mult=3, shift=2)
    nodes = (
        Node("a", requant, ("x",)),
        Node("b", ops.MaxPool((2, 2), (1, 1), "same"), ("a",)),
        Node("y", ops.Add(), ("a", "b")),
        Node("z", ops.Concat(), ("y", "y")),
    )
    graph = Graph("twice", (Tensor("x", (4, 5, 3), S6),), nodes, ("z",)).verify()
    plan = plan_dataflow(graph)
    check_against_model(plan, frames_of(plan, 4, 3))
    assert [len(u.fifos) for u in plan.units if isinstance(u, ForkUnit)] == [2, 2]


def test_lanes_of_a_concatenation_divide_all_inputs() -> None:
    found = 0
    for seed in range(15):
        case = random_case(seed, "branching")
        for unit in case.plan.units:
            if isinstance(unit, ConcatUnit):
                assert all(s.channels % unit.output.lanes == 0 for s in unit.inputs)
                found += 1
    assert found > 10


def test_names_do_not_meet() -> None:
    """A layer may bear the name that a fork would have."""
    nodes = (
        Node("x_fork", ops.Requantize.identity(Tensor("x", (3,), S6), (-9, 9)), ("x",)),
        Node("input", ops.Requantize.identity(Tensor("x", (3,), S6), (-8, 8)), ("x_fork",)),
        Node("input_fork", ops.Add(), ("x", "input")),
    )
    graph = Graph("names", (Tensor("x", (3,), S6),), nodes, ("input_fork",)).verify()
    plan = plan_dataflow(graph)
    names = [unit.name for unit in plan.units]
    assert len(set(names)) == len(names)
    check_against_model(plan, frames_of(plan, 3, 3))


def test_inputs_that_can_not_be_joined() -> None:
    a, b = Tensor("a", (2, 2, 3), S6), Tensor("b", (2, 3, 3), S6)
    other = Tensor("c", (2, 2, 3), replace(S6, frac=2))
    for op, inputs, text in (
        (ops.Add(), [a], "two inputs or more"),
        (ops.Add(), [a, b], "one shape"),
        (ops.Add(), [a, Tensor("d", (2, 2, 3), replace(S6, frac=0, scale=0.5))], "without scale"),
        (ops.Concat(), [a, b], "differ in channels only"),
        (ops.Concat(), [a, other], "one type"),
    ):
        with pytest.raises(UserError, match=text):
            op.infer("y", inputs)


def test_sums_of_different_fractions() -> None:
    """Against plain Python numbers."""
    types = [QType(True, 5, 2, Rounding.FLOOR, Overflow.WRAP),
             QType(False, 7, 4, Rounding.FLOOR, Overflow.WRAP)]  # fmt: skip
    inputs = [Tensor(str(n), (3,), t) for n, t in enumerate(types)]
    arrays = [np.array([[-16, 15, 3]]), np.array([[127, 0, 9]])]
    out = ops.Add().infer("y", inputs)
    got = ops.Add().golden(arrays, inputs)
    want = [a / 4 + b / 16 for a, b in zip(*(x[0].tolist() for x in arrays), strict=True)]
    assert [value / 2**out.type.frac for value in got[0].tolist()] == want
    assert out.range == (-16 * 4, 15 * 4 + 127)
