"""Convolutions whose taps come straight from the ring of rows: data, cycles, beats with gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import legalize
from hwgen.plan.dataflow.assembly import assemble
from hwgen.plan.dataflow.buffers import size_buffers
from hwgen.plan.dataflow.rules import MacRule, conv2d
from hwgen.plan.dataflow.rules.conv2d import RingConvUnit
from hwgen.plan.dataflow.stages import stages_of
from tests.helpers.graphs import random_case
from tests.helpers.pysim import (
    check_against_model,
    check_beats,
    golden,
    pattern,
    random_frames,
    run_plan,
)

LONGEST = 2500


@pytest.fixture(autouse=True)
def all_are_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv2d, "WIDE", 0)
    monkeypatch.setattr(conv2d, "WIDE_DEPTHWISE", 0)


def network(
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    padding="same",
    size: tuple[int, int] = (5, 4),
    channels: int = 4,
    depthwise: bool = False,
) -> Graph:
    """One convolution of bytes with a zero point, its sums given as they are."""
    modes = (Rounding.FLOOR, Overflow.SATURATE)
    byte = QType(True, 8, 0, *modes, scale=0.5, zero_point=-3)
    weights = np.random.default_rng(5).integers(
        -8, 8, (*kernel, 1 if depthwise else channels, channels if depthwise else 3)
    )
    groups = channels if depthwise else 1
    op = ops.Conv2D(
        weights, QType(True, 4, 0, *modes), stride, padding, dilation=dilation, groups=groups
    )
    nodes = (
        Node("layer", op, ("x",)),
        Node("sums", ops.Requantize.scaled(QType(True, 20, 0, *modes)), ("layer",)),
    )
    x = Tensor("x", (*size, channels), byte)
    return legalize(Graph("wide", (x,), nodes, ("sums",)).verify())


NETWORKS = {
    "plain": network((3, 3)),
    "no_padding": network((3, 2), padding="valid"),
    "point": network((1, 1)),
    "row": network((1, 3)),
    "column": network((3, 1)),
    "stride": network((3, 3), (2, 2)),
    "stride_beyond_the_kernel": network((2, 1), (3, 2), padding="valid", size=(8, 7)),
    "dilation": network((3, 2), dilation=(2, 3), size=(6, 5)),
    "one_pixel": network((3, 3), size=(1, 1)),
    "depthwise": network((3, 3), depthwise=True),
    "depthwise_stride": network((3, 3), (2, 1), depthwise=True, channels=6),
    "depthwise_dilation": network((2, 3), dilation=(3, 2), size=(8, 8), depthwise=True),
}


def plans(graph: Graph) -> Iterator:
    """Every way to read the ring: chunks, rows in parallel or not, several chunks to a word."""
    stages = stages_of(graph)
    (stage,) = stages
    assert isinstance(stage.rule, MacRule) and stage.rule.reads_ring(stage)
    seen = set()
    for choice in stage.rule.foldings(stage):
        read = stage.rule.ring_chunk(stage, choice.pe, choice.simd)
        outs = -(-stage.output.hwc[2] // choice.pe)
        if (read, min(outs, 2)) in seen:
            continue
        seen.add((read, min(outs, 2)))
        yield size_buffers(assemble(graph, stages, {stage.name: choice}, {"x": 1}))
    assert len(seen) > 1


@pytest.mark.parametrize("name", NETWORKS)
def test_every_way_to_read(name: str) -> None:
    graph = NETWORKS[name]
    for number, plan in enumerate(plans(graph)):
        print(plan.to_json())
        assert any(isinstance(unit, RingConvUnit) for unit in plan.units)
        x = random_frames(plan, 2, number)
        check_against_model(plan, x)
        if number % 3:
            continue
        source, sink = pattern("bursty", number), pattern("random", number + 1)
        check_beats(plan, run_plan(plan, x, source, sink), golden(plan, x))


def test_words_of_several_chunks() -> None:
    """Where few lanes would bring the input too late, a word has several chunks."""
    graph = network((3, 3), (2, 2), size=(9, 9), channels=8, depthwise=True)
    stages = stages_of(graph)
    (stage,) = stages
    assert isinstance(stage.rule, MacRule)
    plan = assemble(graph, stages, {stage.name: stage.rule.folding(stage, 2, 3, 1)}, {"x": 1})
    (unit,) = (unit for unit in plan.units if isinstance(unit, RingConvUnit))
    assert unit.input.lanes in (4, 8) and unit.pe == 2
    check_against_model(plan, random_frames(plan, 3, 1))


@pytest.mark.parametrize("batch", range(6))
def test_random_networks(batch: int) -> None:
    kind = ("chain", "branching", "runtime")[batch % 3]
    found = 0
    for seed in range(batch * 1000, batch * 1000 + 300):
        case = random_case(seed, kind)
        if not any(isinstance(unit, RingConvUnit) for unit in case.plan.units):
            continue
        if case.plan.timing(case.frames).ends[-1] > LONGEST:
            continue
        print(case)
        x = random_frames(case.plan, case.frames, seed)
        check_against_model(case.plan, x)
        found += 1
        if found == 5:
            return
    raise AssertionError(f"only {found} cases")
