"""Foldings are the best there are: against a search over every possible one."""

from __future__ import annotations

from itertools import product
from math import ceil
from random import Random

import numpy as np
import pytest

import hwgen
from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan.dataflow.folding import choose_for_interval, choose_for_multipliers
from hwgen.plan.dataflow.planner import plan_dataflow
from hwgen.plan.dataflow.stages import Stage, stages_of
from tests.helpers.graphs import mac_stages
from tests.helpers.random_graphs import random_graph

S8 = QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE)
SHIPPED = "hwgen/models/mnist_cnn.h5"


def every_choice(stage: Stage) -> list[tuple[int, int]]:
    """(multipliers, cycles) of every pe, simd and number of pixels, reckoned anew.

    A frame's cycles: windows (in groups of pixels, row by row) times folds of taps and outputs;
    or the beats in which the results leave through as few requantizers as keep up.
    """
    op = stage.op
    assert isinstance(op, (ops.Conv2D, ops.Dense))
    outputs, taps = op.weights.shape[-1], op.weights[..., 0].size
    rows, columns, _ = stage.output.hwc
    simds = range(1, taps + 1) if op.accumulator is None else [min(op.accumulator.group, taps)]
    found = []
    for pe, simd, pixels in product(range(1, outputs + 1), simds, range(1, 9)):
        if pixels > 1 and (pe < outputs or isinstance(op, ops.Dense) or pixels > columns):
            continue
        tap_folds = ceil(taps / simd)
        fits = [n for n in range(1, pe + 1) if (pe == outputs or pe % n == 0)
                and pixels * ceil(pe / n) <= tap_folds]  # fmt: skip
        lanes = fits[0] if fits else pe
        compute = rows * ceil(columns / pixels) * tap_folds * ceil(outputs / pe)
        out_beats = rows * columns * ceil(outputs / lanes)
        found.append((pe * simd * pixels, max(compute, out_beats)))
    return found


def best_interval(choices: list[list[tuple[int, int]]], floor: int, budget: int) -> int | None:
    """The smallest interval that a budget allows, tried one by one."""
    for interval in sorted({c for options in choices for _, c in options} | {floor}):
        if interval >= floor and (cost := cheapest(choices, interval)) and cost <= budget:
            return interval
    return None


def cheapest(choices: list[list[tuple[int, int]]], interval: int) -> int | None:
    """Fewest multipliers with which every stage keeps to an interval."""
    costs = [[m for m, c in options if c <= interval] for options in choices]
    return sum(min(quick) for quick in costs) if all(costs) else None


def small_graphs(count: int) -> list[Graph]:
    graphs = []
    for seed in range(10_000):
        graph = random_graph(Random(seed))
        macs = mac_stages(graph)
        # Without ArgMax or pools alone, which bound the interval by themselves.
        if macs and all(s.op.weights.size < 400 for s in macs):  # pyright: ignore
            graphs.append(graph)
        if len(graphs) == count:
            return graphs
    raise AssertionError


def floor_of(graph: Graph) -> int:
    """Pixels of the largest edge; channels too where they come one by one, into an ArgMax."""
    floor = 1
    for stage in stages_of(graph):
        for tensor in (stage.input, stage.output):
            rows, columns, channels = tensor.hwc
            serial = isinstance(stage.op, ops.ArgMax) and tensor is stage.input
            floor = max(floor, rows * columns * (channels if serial else 1))
    return floor


@pytest.mark.parametrize("number", range(40))
def test_against_every_choice(number: int) -> None:
    graph = small_graphs(number + 1)[number]
    rng = Random(number)
    stages = stages_of(graph)
    choices = [every_choice(stage) for stage in mac_stages(graph)]
    least = sum(min(m for m, _ in options) for options in choices)
    floor = floor_of(graph)
    for budget in (least, least + 1, least + rng.randint(2, 40)):
        interval = best_interval(choices, floor, budget)
        assert interval is not None
        chosen = choose_for_multipliers(stages, budget).values()
        assert max([floor, *(f.cycles for f in chosen)]) <= interval
        assert sum(f.multipliers for f in chosen) == cheapest(choices, interval)
        again = choose_for_interval(stages, interval).values()
        assert sum(f.multipliers for f in again) == cheapest(choices, interval)
    with pytest.raises(UserError, match=f"at least {least} "):
        choose_for_multipliers(stages, least - 1)


def test_a_folding_that_does_not_divide_wins() -> None:
    """Five outputs of one tap with four multipliers: three at a time, two folds."""
    weights = np.ones((1, 1, 1, 5), np.int64)
    conv = Node("conv", ops.Conv2D(weights, S8), ("x",))
    requant = Node("y", ops.Requantize.scaled(S8), ("conv",))
    graph = Graph("five", (Tensor("x", (4, 4, 1), S8),), (conv, requant), ("y",)).verify()
    (folding,) = choose_for_multipliers(stages_of(graph), 4).values()
    assert (folding.pe, folding.multipliers, folding.cycles) == (3, 3, 32)


@pytest.mark.parametrize(
    ("budget", "interval"), [(32, 10_976), (64, 5_488), (128, 2_744), (400, 784)]
)
def test_shipped_network(budget: int, interval: int) -> None:
    graph = hwgen.plan(hwgen.load(SHIPPED), multipliers=9).graph
    stages = stages_of(graph)
    choices = [every_choice(stage) for stage in mac_stages(graph)]
    chosen = choose_for_multipliers(stages, budget).values()
    assert max(f.cycles for f in chosen) == interval == best_interval(choices, 784, budget)
    assert sum(f.multipliers for f in chosen) == cheapest(choices, interval)


def test_impossible_budgets() -> None:
    graph = small_graphs(1)[0]
    for multipliers in (0, -5):
        with pytest.raises(UserError, match=f"{multipliers} multipliers are too few"):
            plan_dataflow(graph, multipliers=multipliers)
    for interval in (0, -1, floor_of(graph) - 1):
        with pytest.raises(UserError, match="below what the streams allow") as error:
            plan_dataflow(graph, interval=interval)
        assert f"--interval {floor_of(graph)}" in str(error.value)


def test_a_softmax_is_a_floor() -> None:
    """No folding makes it quicker; what multiplies gets no more than keeps up with it."""
    qtype = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE)
    result = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-8, -128)
    weights = np.ones((1, 1, 6, 5), np.int64)
    nodes = (
        Node("conv", ops.Conv2D(weights, qtype), ("x",)),
        Node("logits", ops.Requantize.scaled(qtype), ("conv",)),
        Node("soft", ops.Softmax(1 << 30, 23, result), ("logits",)),
    )
    graph = Graph("pixels", (Tensor("x", (3, 2, 6), qtype),), nodes, ("soft",)).verify()
    floor = 6 * (3 * 5 + 45)
    plan = plan_dataflow(graph, multipliers=30)
    assert plan.multipliers == 1 and plan.requant_multipliers == 1
    assert plan.interval_bound == floor == plan.timing().interval
    assert plan_dataflow(graph, interval=floor).multipliers == 1
    with pytest.raises(UserError, match=f"{floor} at best") as error:
        plan_dataflow(graph, interval=floor - 1)
    assert error.value.layer == "soft" and f"--interval {floor}" in str(error.value)
