"""Orders of a tile's loops: they all give the golden integers, and move what they are to move."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

import hwgen
from hwgen.contract.engine import EngineShape
from hwgen.contract.engine_model import EngineModel
from hwgen.contract.isa import Opcode
from hwgen.ir import Graph, execute
from hwgen.passes import legalize
from hwgen.plan.tiled.mapping.stationarity import Stationarity, suits
from hwgen.plan.tiled.network.requant import CARRIED_OUT
from hwgen.plan.tiled.plan import TiledPlan, plan_tiled
from hwgen.plan.tiled.schedule.tile_order import tile_order
from tests.helpers.tiled import RESNET
from tests.helpers.tiled_layers import random_layers, square
from tests.plan.tiled.test_program import as_bytes

SHAPES = {
    "4x4": EngineShape(4, 4, 8 << 10, 64, 128, 16, 32),
    "few psums": EngineShape(4, 8, 8 << 10, 32, 32, 4, 64),
    "8x4": EngineShape(8, 4, 16 << 10, 128, 256, 8, 32),
    "16x16": EngineShape(),
}


def check(graph: Graph, plan: TiledPlan) -> EngineModel:
    """The program gives the golden output."""
    edge = graph.inputs[0]
    x = np.random.default_rng(1).integers(edge.range[0], edge.range[1] + 1, (1, *edge.shape))
    golden = execute(graph, {edge.name: x})[graph.outputs[0]]
    engine_model = EngineModel(plan.shape, plan.program.memory.copy())
    start = plan.program.tensors[plan.task_graph.sources[0]]
    engine_model.memory[start : start + edge.size] = as_bytes(x, 1)
    engine_model.run(plan.program.start)
    result = plan.task_graph.stored[plan.task_graph.results[0]]
    place = plan.program.tensors[result.name]
    got = engine_model.memory[place : place + result.bytes]
    assert np.array_equal(got, as_bytes(golden[0], result.bits // 8))
    return engine_model


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("stationarity", [None, *Stationarity])
@pytest.mark.parametrize("seed", range(6))
def test_every_order_gives_golden(
    seed: int, stationarity: Stationarity | None, shape: EngineShape
) -> None:
    print(f"seed {seed}")
    graph = legalize(random_layers(seed), CARRIED_OUT)
    plan = plan_tiled(graph, shape, 2, preferred=stationarity)
    held = 0
    for s, t in zip(plan.placement.problems, plan.placement.tilings, strict=True):
        # Psums of all cout blocks, and a block of their weights while the next one comes.
        room = shape.psum_words > 32 and 2 * 9 * s.cout_blocks <= shape.weight_words
        if stationarity is not None and suits(stationarity, s.task, s.size) and room:
            assert t.stationarity is stationarity
            held += 1
    assert stationarity is None or (held > 0) == (shape.psum_words > 32)
    check(graph, plan)


@pytest.mark.parametrize("stationarity", [Stationarity.WEIGHT, Stationarity.INPUT])
def test_sums_are_kept_between_tiles_in_every_order(stationarity: Stationarity) -> None:
    """Weights of several blocks of input channels, one after the other."""
    graph = legalize(square(24, 8), CARRIED_OUT)
    plan = plan_tiled(graph, EngineShape(4, 4, 8 << 10, 64, 256, 16, 32), 2, preferred=stationarity)
    computes = [d for d in plan.program.descriptors if d["op"] == Opcode.COMPUTE]
    assert {d["accumulate"] for d in computes} == {d["no_writeback"] for d in computes} == {0, 1}
    check(graph, plan)


def test_each_ifmap_value_is_read_once() -> None:
    """Input-stationary: also where input channels come in blocks, and for all blocks of outputs."""
    shape = EngineShape(4, 4, 8 << 10, 256, 256, 16, 32)
    plan = plan_tiled(legalize(square(8, 8), CARRIED_OUT), shape, 1, preferred=Stationarity.INPUT)
    (tiling,) = plan.placement.tilings
    cout_blocks, cin_blocks = 2, 2
    assert tiling.cout_blocks == cout_blocks
    tiles = [t.tile for t in tile_order(plan.placement.problems[0], tiling)]
    spans = [(range(*t.rows), len(range(*t.taps[2]))) for t in tiles]
    # The ifmap rows of a tile, which those beside it share.
    rows = sum((min(6, r.stop + 1) - max(0, r.start - 1)) * blocks for r, blocks in spans)
    assert plan.buffer_traffic[0].ifmaps == rows * 6
    # Each sum is moved for all its steps but the first one, also those beside the tile.
    scanned = sum((len(r) + 2) * blocks for r, blocks in spans) * 8
    steps = scanned * 9 * cout_blocks
    assert plan.steps == (steps,)
    assert plan.buffer_traffic[0].psums_read == steps - scanned // cin_blocks * cout_blocks
    assert plan.buffer_traffic[0].weights == steps


def test_each_weight_is_read_once_for_all_pixels() -> None:
    plan = plan_tiled(
        legalize(square(8, 8), CARRIED_OUT), SHAPES["8x4"], 2, preferred=Stationarity.WEIGHT
    )
    words = 3 * 3 * 8 // 4
    (moved,) = plan.buffer_traffic
    tiles = [t.tile for t in tile_order(plan.placement.problems[0], plan.placement.tilings[0])]
    assert len(tiles) > 1
    assert moved.weights == sum(prod(b - a for a, b in tile.taps) for tile in tiles)
    assert moved.psums_read == moved.psums_written == 6 * 6 * (words - 1)
    other = plan_tiled(plan.graph, plan.shape, 2, preferred=Stationarity.OUTPUT)
    output, tiling = other.buffer_traffic[0], other.placement.tilings[0]
    parts = {t.tile.taps for t in tile_order(other.placement.problems[0], tiling)}
    # Sums are put aside between tiles that have some of the taps each.
    assert output.weights == 6 * 6 * words and output.psums_read == 6 * 6 * (len(parts) - 1)
    assert output.ifmaps == moved.ifmaps


def test_what_can_not_have_an_order_has_another() -> None:
    """Pools, windows, and steps of several pixels for ifmap words that stay."""
    graph = legalize(hwgen.load(RESNET), CARRIED_OUT)
    steps = 0
    for stationarity in Stationarity:
        plan = plan_tiled(graph, EngineShape(), 2, preferred=stationarity)
        found = {}
        for s, t in zip(plan.placement.problems, plan.placement.tilings, strict=True):
            possible = suits(stationarity, s.task, s.size)
            found.setdefault(possible, set()).add(t.stationarity)
            strided = max(s.task.stride) > 1 and max(s.task.kernel) > 1
            if stationarity is Stationarity.INPUT and strided:
                assert not possible
                steps += 1
        assert found[True] == {stationarity}
        assert stationarity is Stationarity.OUTPUT or Stationarity.OUTPUT in found[False]
    assert steps >= 2, "convolutions with steps of two"


def test_among_equal_cycles_the_least_traffic() -> None:
    """A word of weights is 16 ifmap words: where psums fit, weights stay."""
    graph = legalize(square(16, 16, 12), CARRIED_OUT)
    best, output = (
        plan_tiled(graph, EngineShape(), 2, preferred=o) for o in (None, Stationarity.OUTPUT)
    )
    assert best.placement.tilings[0].stationarity is Stationarity.WEIGHT
    # Of tilings within 1 % of the fewest cycles the one that moves least is taken.
    assert best.estimate().cycles <= output.estimate().cycles * 101 // 100
    moved = [sum(p.buffer_traffic[0].bytes(p.shape).values()) for p in (best, output)]
    assert moved[0] < moved[1]
    # What was expected of the search is what the descriptors say, but for padding.
    for plan in (best, output):
        about = plan.placement.tilings[0].buffer_bytes
        said = sum(plan.buffer_traffic[0].bytes(plan.shape).values())
        padding = (plan.steps[0] - plan.buffer_traffic[0].ifmaps) * plan.shape.word
        assert said + padding == about
