"""Layers that the tiled engine carries out as convolutions and pools: golden in its model."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random

import numpy as np
import pytest

from hwgen.contract.engine import EngineShape
from hwgen.contract.isa import Opcode
from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Op, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling
from hwgen.passes import legalize
from hwgen.plan.tiled.network.fit import Steps, floor_line, symmetric_line
from hwgen.plan.tiled.network.requant import CARRIED_OUT
from hwgen.plan.tiled.options import TiledOptions
from hwgen.plan.tiled.plan import plan_tiled
from tests.helpers.result_model import rounded
from tests.helpers.tiled import check_engine_model
from tests.helpers.tiled_graphs import random_tiled_graph

SMALL = EngineShape(4, 8, 4 << 10, 32, 64, 8, 32)
ENGINES = {"small": SMALL, "default": EngineShape(), "two units": replace(SMALL, tiles=2)}


def byte(signed: bool = True, rounding: Rounding = Rounding.HALF_UP) -> QType:
    return QType(signed, 8, 0, rounding, Overflow.SATURATE)


def checked(shape: tuple[int, ...], steps: list[Op], signed: bool = True) -> None:
    """A chain is golden on every engine, whether tensors stay on chip or not."""
    x = Tensor("x", shape, byte(signed))
    names = ["x", *(f"layer{n}" for n in range(len(steps)))]
    nodes = tuple(
        Node(name, op, (before,)) for before, name, op in zip(names, names[1:], steps, strict=False)
    )
    graph = legalize(Graph("chain", (x,), nodes, (names[-1],)), CARRIED_OUT)
    for engine in ENGINES.values():
        for resident in (1, 2):
            plan = plan_tiled(graph, engine, resident, units=engine.tiles)
            check_engine_model(plan)
            check_engine_model(plan.outside())


def convolution(channels: int, outputs: int, groups: int, **more) -> list[Op]:
    rng = np.random.default_rng(5)
    weights = rng.integers(-128, 128, (3, 3, channels // groups, outputs))
    return [
        ops.Conv2D(weights, byte(), padding="same", groups=groups, **more),
        ops.Requantize.scaled(byte(), rng.integers(1, 9, outputs), 0, 12),
    ]


@pytest.mark.parametrize(
    ("channels", "outputs", "groups"), [(12, 8, 4), (10, 10, 2), (6, 18, 6), (5, 10, 5), (1, 7, 1)]
)
@pytest.mark.parametrize("more", [{}, {"stride": (2, 1)}, {"dilation": (1, 2)}])
def test_groups_and_depth_multipliers(channels: int, outputs: int, groups: int, more: dict) -> None:
    checked((9, 7, channels), convolution(channels, outputs, groups, **more))


@pytest.mark.parametrize(
    ("start", "size", "step"),
    [((0, 0, 3), (9, 7, 5), (1, 1, 1)), ((2, 1, 0), (5, 3, 11), (1, 2, 1)),
     ((1, 0, 1), (4, 7, 5), (2, 1, 2)), ((8, 6, 10), (1, 1, 1), (1, 1, 1))],
)  # fmt: skip
def test_slices(start: tuple, size: tuple, step: tuple) -> None:
    for before in ([], convolution(11, 11, 11)):
        checked((9, 7, 11), [*before, ops.Slice(start, size, step)])


def test_slices_of_vectors() -> None:
    checked((40,), [ops.Slice((3,), (17,), (2,))])


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("pads", [((1, 2), (3, 0)), ((0, 0), (0, 9)), ((6, 0), (0, 0))])
def test_borders(pads: tuple, signed: bool) -> None:
    pool = ops.MaxPool((2, 2), (1, 1))
    checked((5, 4, 6), [ops.Pad(pads, 77), pool], signed)


@pytest.mark.parametrize("factor", [(2, 2), (3, 1), (1, 4)])
def test_repeated_pixels(factor: tuple[int, int]) -> None:
    checked((7, 5, 9), [ops.Upsample(factor)])
    checked((7, 5, 9), [*convolution(9, 9, 1), ops.Upsample(factor), *convolution(9, 4, 1)])


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    "rounding",
    [Rounding.HALF_AWAY, Rounding.HALF_TO_ZERO, Rounding.TO_ZERO, Rounding.FROM_ZERO,
     Rounding.HALF_UP, Rounding.CEIL],
)  # fmt: skip
@pytest.mark.parametrize("kernel", [(7, 7), (6, 6), (3, 2), (5, 4)])
def test_averages(kernel: tuple[int, int], rounding: Rounding, signed: bool) -> None:
    pool = ops.AvgPool(kernel, kernel, type=byte(signed, rounding))
    checked((kernel[0], 2 * kernel[1], 5), [pool], signed)


def test_ties_to_even_are_refused_where_the_divisor_is_even() -> None:
    checked((7, 7, 5), [ops.AvgPool((7, 7), (7, 7), type=byte(True, Rounding.HALF_EVEN))])
    with pytest.raises(UserError, match="no multiply, add and shift of the tiled engine equals it"):
        checked((6, 6, 5), [ops.AvgPool((6, 6), (6, 6), type=byte(True, Rounding.HALF_EVEN))])


@pytest.mark.parametrize("seed", range(20))
def test_lines_give_what_they_were_made_of(seed: int) -> None:
    """Also where most is clipped, or one side of zero is flat."""
    rng = Random(seed)
    sums = np.arange(rng.choice([-3000, 0, -2]), rng.choice([3000, 1, 40]))
    divisor = rng.randint(1, 60)
    added = rng.choice([0, divisor // 2, divisor - 1])
    quotient = (np.abs(sums) + added) // divisor * np.sign(sums)
    quotient = np.clip(quotient, rng.choice([-128, -3, 0]), rng.choice([127, 2]))
    ends = int(quotient.min()), int(quotient.max())
    steps = Steps.of(lambda s: quotient[s - sums[0]], (int(sums[0]), int(sums[-1])), ends)
    found = floor_line(steps) or symmetric_line(steps, 0, int(quotient[-sums[0]]))
    assert found is not None
    got = [
        rounded(int(s) * found.mult + found.bias, found.shift, found.rounding) + found.offset
        for s in sums
    ]
    assert np.array_equal(np.clip(got, quotient.min(), quotient.max()), quotient)


@pytest.mark.parametrize("tiles", [1, 2])
def test_elements_are_read_under_another_shape(tiles: int) -> None:
    """A tensor that several layers read, as it is and under other shapes, the input among them."""
    nodes = (
        Node("lines", ops.Reshape((9, 6)), ("x",)),
        Node("few", ops.Slice((2, 1), (5, 5), (1, 1)), ("lines",)),
        Node("pool", ops.MaxPool((2, 2), (1, 1), "same"), ("x",)),
        Node("flat", ops.Flatten(), ("pool",)),
        Node("part", ops.Slice((1,), (25,), (1,)), ("flat",)),
        Node("square", ops.Reshape((5, 5)), ("part",)),
        Node("both", ops.Concat(), ("few", "square")),
    )
    graph = Graph("shapes", (Tensor("x", (3, 6, 3), byte()),), nodes, ("both", "pool"))
    plan = plan_tiled(graph.verify(), replace(SMALL, tiles=tiles), 2, units=tiles)
    check_engine_model(plan)
    known = plan.task_graph.stored
    assert {t.name: t.of for t in known.values() if t.of} == {
        "lines": "x", "flat": "pool", "square": "part",
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(24))
def test_random_networks(seed: int) -> None:
    graph = random_tiled_graph(Random(seed))
    engine = replace(SMALL, feature_bytes=32 << 10) if seed % 3 else EngineShape()
    for tiles in (1, 2 << seed % 3):
        plan = plan_tiled(graph, replace(engine, tiles=tiles), 1 + seed % 3, units=tiles)
        check_engine_model(plan)
        check_engine_model(plan.outside())


@pytest.mark.parametrize("tiles", [1, 2])
def test_parts_of_a_concatenation_leave_by_columns_where_it_does_not_stay(tiles: int) -> None:
    x = Tensor("x", (6, 5, 20), byte())
    pool = Node("pool", ops.MaxPool((3, 3), (1, 1), "same"), ("x",))
    both = Node("both", ops.Concat(), ("x", "pool"))
    again = Node("again", ops.MaxPool((2, 2), (1, 1)), ("both",))
    outside = 0
    for nodes in ((pool, both), (pool, both, again)):
        graph = Graph("joined", (x,), nodes, (nodes[-1].name,))
        plan = plan_tiled(graph, replace(SMALL, tiles=tiles), 2, units=tiles)
        for this in (plan, plan.outside()):
            check_engine_model(this)
            if "both" not in this.program.tensors:
                continue
            first, size = this.program.tensors["both"], 6 * 5 * 40
            stored = [
                d
                for d in this.program.descriptors
                if d["op"] == Opcode.STORE and 0 <= d["address"] - first < size
            ]
            assert all(d["bytes"] <= 20 for d in stored)
            assert sum(d["rows"] * d["bytes"] for d in stored) == size
            outside += 1
    assert outside == 3, "all but that of the network which goes on, on chip"


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("resident", [1, 2, 3, 4])
def test_rows_that_no_window_reads_have_their_places(stride: int, resident: int) -> None:
    """Steps beyond a window's reach, in strips of columns: tiles that wait keep their rows."""
    rng = np.random.default_rng(1)
    steps = (stride, stride)
    conv = ops.Conv2D(rng.integers(-128, 128, (1, 1, 64, 64)), byte(), steps, "same")
    nodes = (
        Node("conv", conv, ("x",)),
        Node("y", ops.Requantize.scaled(byte(), 1, 0, 9), ("conv",)),
    )
    graph = legalize(Graph("strided", (Tensor("x", (24, 40, 64), byte()),), nodes, ("y",)))
    strips = 0
    for kib, tiles in product((16, 24, 40), (1, 2)):
        engine = TiledOptions(array="8x8", tiles=tiles, buffer_kib=kib).engine()[0]
        plan = plan_tiled(graph, engine, resident, units=tiles)
        strips += plan.placement.tilings[0].columns < plan.placement.problems[0].size[1]
        check_engine_model(plan)
    assert strips


def test_sums_that_are_not_requantized_are_refused() -> None:
    x, y = Tensor("x", (4, 4, 2), byte()), Node("y", ops.MaxPool((1, 1), (1, 1)), ("x",))
    total = Node("total", ops.Add(), ("x", "y"))
    graph = legalize(Graph("bare", (x,), (y, total), ("total",)).verify(), CARRIED_OUT)
    with pytest.raises(UserError, match=r"'total': the tiled .* every sum .*; quantize the sum"):
        plan_tiled(graph, SMALL, 1)
    # Halves, rounded to even.
    rule = ops.Rescale(Scaling.FP32_HALF_EVEN, np.array([1 << 23]), np.array([24]), byte())
    ruled = Graph("ruled", (x,), (y, total, Node("z", rule, ("total",))), ("z",))
    graph = legalize(ruled.verify(), CARRIED_OUT)
    assert isinstance(graph.nodes[-1].op, ops.Rescale)
    check_engine_model(plan_tiled(graph, SMALL, 1))


@pytest.mark.parametrize("kinds", ["qq", "qm", "mq", "mm", "wm", "qw", "ww"])
@pytest.mark.parametrize("second_first", [False, True])
def test_branches_that_are_requantized_alike(kinds: str, second_first: bool) -> None:
    """By one shift for all channels: while one branch is cut, what requantizes the other one is
    not taken for a table of their sum. q: to bytes; m: and through a staircase; w: to 10 bits, and
    through it."""
    rng = np.random.default_rng(5)
    wide = QType(True, 10, 0, Rounding.FLOOR, Overflow.SATURATE)
    steps = ops.MultiThreshold(np.array([-9, -2, 0, 4, 11]), np.array([-7, -3, 0, 1, 5, 9]), byte())
    branches = []
    for n, kind in enumerate(kinds):
        scaled = ops.Requantize.scaled(wide if kind == "w" else byte(), shift=4)
        branch = [
            Node(f"conv{n}", ops.Conv2D(rng.integers(-8, 8, (1, 1, 4, 4)), byte()), ("x",)),
            Node(f"scaled{n}", scaled, (f"conv{n}",)),
        ]
        if kind != "q":
            branch.append(Node(f"steps{n}", steps, (f"scaled{n}",)))
        branches.append(branch)
    operands = tuple(branch[-1].name for branch in branches)
    nodes = [node for branch in branches[:: -1 if second_first else 1] for node in branch]
    nodes += [Node("sum", ops.Add(), operands)]
    nodes += [Node("y", ops.Requantize.scaled(byte(), shift=1), ("sum",))]
    graph = Graph("branches", (Tensor("x", (5, 5, 4), byte()),), tuple(nodes), ("y",)).verify()
    check_engine_model(plan_tiled(legalize(graph, CARRIED_OUT), SMALL, 2))
