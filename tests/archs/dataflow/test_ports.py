"""The accelerator at its ports: wrong TLAST, control and status, reset within a frame."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal

from hwgen.archs.dataflow.top import DataflowTop
from hwgen.gateware.stream.csr import MAGIC, REGISTERS, VERSION
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan.dataflow.plan import DataflowPlan
from hwgen.plan.dataflow.planner import plan_dataflow
from tests.helpers.axilite import Lite
from tests.helpers.pysim import (
    MODEL_HASH,
    Beat,
    Bench,
    Run,
    check_beats,
    golden,
    pack,
    pattern,
    random_frames,
    simulate,
)

OFFSET = {register.name: register.offset for register in REGISTERS}
LIMIT = 20_000


def small_network() -> Graph:
    """Convolution, overlapping pool, dense layer: rings, windows, partial sums, regrouping."""
    rng = np.random.default_rng(5)
    act = QType(False, 6, 3, Rounding.HALF_EVEN, Overflow.SATURATE)
    weight = QType(True, 4, 2, Rounding.HALF_EVEN, Overflow.SATURATE)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(weight.min, weight.max + 1, shape)

    nodes = (
        Node("conv", ops.Conv2D(weights(3, 3, 2, 3), weight, padding="same"), ("x",)),
        Node("act", ops.Requantize.scaled(act, shift=3, bias=[20, -9, 40]), ("conv",)),
        Node("pool", ops.MaxPool((2, 2), (1, 1)), ("act",)),
        Node("flat", ops.Flatten(), ("pool",)),
        Node("dense", ops.Dense(weights(3 * 4 * 3, 5), weight), ("flat",)),
        Node("out", ops.Requantize.scaled(replace(act, signed=True, width=12, frac=0)), ("dense",)),
    )  # fmt: skip
    return Graph("small", (Tensor("x", (4, 5, 2), act),), nodes, ("out",)).verify()


@pytest.fixture(scope="module")
def plan() -> DataflowPlan:
    return plan_dataflow(small_network(), multipliers=12)


async def status(ctx: Any, top: DataflowTop) -> int:
    """The error bits of STATUS: 1 short, 2 long."""
    return await Lite(top, "s_axi_").read(ctx, OFFSET["STATUS"]) >> 8


def cut(beats: list[Beat], size: int, rng: Random) -> list[Beat]:
    """A frame of another length: its first beats, or all of them and random ones after it."""
    words = [word for word, _ in beats]
    words = words[:size] + [rng.getrandbits(8) for _ in range(size - len(words))]
    return [(word, n == size - 1) for n, word in enumerate(words)]


@pytest.mark.parametrize("kind", ["always", "random", "bursty"])
@pytest.mark.parametrize(
    "change", [{1: -7}, {1: 5}, {0: -1, 1: 1}, {2: -3, 3: -19}, {1: 30, 2: -1, 3: 4}]
)
def test_frames_of_wrong_length(plan: DataflowPlan, change: dict[int, int], kind: str) -> None:
    """Short ones are completed with zeros, long ones dropped to their TLAST; the rest is right."""
    rng = Random(f"{change} {kind}")
    x = random_frames(plan, 5, 3)
    sent: list[Beat] = []
    want_x = x.reshape(5, plan.inputs[0].shape.pixels, plan.inputs[0].shape.channels).copy()
    per_pixel = plan.inputs[0].shape.beats // plan.inputs[0].shape.pixels
    for n, frame in enumerate(pack(x, plan.inputs[0].shape)):
        size = len(frame) + change.get(n, 0)
        sent += cut(frame, size, rng)
        for beat in range(size, len(frame)):
            first = beat % per_pixel * plan.inputs[0].shape.lanes
            want_x[n, beat // per_pixel, first : first + plan.inputs[0].shape.lanes] = 0
    top = DataflowTop(plan, MODEL_HASH)
    bench = Bench(top)

    async def process(ctx: Any) -> None:
        assert await status(ctx, top) == 0
        outputs = 5 * plan.outputs[0].shape.beats
        await bench.stream(ctx, sent, outputs, LIMIT, pattern(kind, 1), pattern(kind, 2))
        short, long = min(change.values()) < 0, max(change.values()) > 0
        assert await status(ctx, top) == short + 2 * long
        lite = Lite(top, "s_axi_")
        assert await lite.read(ctx, OFFSET["FRAMES"]) == 5
        await lite.write(ctx, OFFSET["CONTROL"], 3)
        assert await status(ctx, top) == 0

    simulate(top, process)
    check_beats(plan, bench.run, golden(plan, want_x.reshape(x.shape)))


def test_identity_and_measurements(plan: DataflowPlan) -> None:
    """ID, HASH; FRAMES, LATENCY and INTERVAL equal what the event model predicts."""
    x = random_frames(plan, 4, 1)
    timing = plan.timing(4)
    top = DataflowTop(plan, MODEL_HASH)
    bench = Bench(top)
    lite = Lite(top, "s_axi_")

    async def process(ctx: Any) -> None:
        for name, value in (
            ("ID", MAGIC), ("VERSION", VERSION), ("HASH_LO", MODEL_HASH & 0xFFFFFFFF),
            ("HASH_HI", MODEL_HASH >> 32), ("FRAMES", 0), ("STATUS", 1), ("CONTROL", 1),
        ):  # fmt: skip
            assert await lite.read(ctx, OFFSET[name]) == value, name
        beats = pack(x, plan.inputs[0].shape)
        out = plan.outputs[0].shape.beats
        await bench.stream(ctx, beats[0], out, LIMIT)
        ctx.set(top.m_axis_tready, 0)
        await ctx.tick().repeat(2)  # the registers follow the streams by so many cycles
        assert await lite.read(ctx, OFFSET["LATENCY"]) == timing.latency
        assert await lite.read(ctx, OFFSET["STATUS"]) == 1
        rest = [beat for frame in beats[1:] for beat in frame]
        await bench.stream(ctx, rest, 4 * out, LIMIT)
        ctx.set(top.m_axis_tready, 0)
        await ctx.tick()
        ends = bench.run.ends
        assert await lite.read(ctx, OFFSET["FRAMES"]) == 4
        assert await lite.read(ctx, OFFSET["INTERVAL"]) == ends[-1] - ends[-2]

    simulate(top, process)
    check_beats(plan, bench.run, golden(plan, x))


def test_idle_is_low_while_a_frame_is_inside(plan: DataflowPlan) -> None:
    x = random_frames(plan, 1, 1)
    top = DataflowTop(plan, MODEL_HASH)
    bench = Bench(top)
    lite = Lite(top, "s_axi_")

    async def process(ctx: Any) -> None:
        beats = pack(x, plan.inputs[0].shape)[0]
        await bench.stream(ctx, beats[:1], 0, LIMIT)
        ctx.set(top.s_axis_tvalid, 0)
        await ctx.tick().repeat(2)  # the registers follow the streams by so many cycles
        assert await lite.read(ctx, OFFSET["STATUS"]) == 0
        await bench.stream(ctx, beats[1:], plan.outputs[0].shape.beats, LIMIT)
        await ctx.tick()
        assert await lite.read(ctx, OFFSET["STATUS"]) == 1

    simulate(top, process)


def test_enable_stops_at_a_frame_border(plan: DataflowPlan) -> None:
    """Disabled within a frame: it is finished, the next one waits until enabled again."""
    x = random_frames(plan, 3, 2)
    top = DataflowTop(plan, MODEL_HASH)
    bench = Bench(top)
    lite = Lite(top, "s_axi_")

    async def process(ctx: Any) -> None:
        frames = pack(x, plan.inputs[0].shape)
        out = plan.outputs[0].shape.beats
        await bench.stream(ctx, frames[0][:3], 0, LIMIT)
        ctx.set(top.s_axis_tvalid, 0)
        await lite.write(ctx, OFFSET["CONTROL"], 0)
        await bench.stream(ctx, frames[0][3:], out, LIMIT)
        for _ in range(200):
            assert not await bench.step(ctx, frames[1][0], True), "accepted while disabled"
        assert await lite.read(ctx, OFFSET["STATUS"]) == 1
        ctx.set(top.s_axis_tvalid, 0)
        await lite.write(ctx, OFFSET["CONTROL"], 1)
        rest = [beat for frame in frames[1:] for beat in frame]
        await bench.stream(ctx, rest, 3 * out, LIMIT)

    simulate(top, process)
    check_beats(plan, bench.run, golden(plan, x))


@pytest.mark.parametrize("seed", range(8))
def test_reset_within_a_frame(plan: DataflowPlan, seed: int) -> None:
    """At any time, with beats inside and at the output: what follows is as after the first."""
    rng = Random(seed)
    x = random_frames(plan, 3, seed)
    top = DataflowTop(plan, MODEL_HASH)
    reset = Signal()
    bench = Bench(top)

    async def process(ctx: Any) -> None:
        lite = Lite(top, "s_axi_")
        source, sink = pattern("random", seed), pattern("rare", seed)
        beats = [
            beat
            for frame in pack(random_frames(plan, 3, 99), plan.inputs[0].shape)
            for beat in frame
        ]
        sent = 0
        for _ in range(rng.randint(1, 400)):
            sent += await bench.step(ctx, beats[sent] if next(source) else None, next(sink))
            if sent == len(beats):
                break
        bench.forget()
        ctx.set(reset, 1)
        ctx.set(top.s_axis_tvalid, 0)
        ctx.set(top.m_axis_tready, 0)
        await ctx.tick()
        ctx.set(reset, 0)
        assert not ctx.get(top.m_axis_tvalid)
        assert await lite.read(ctx, OFFSET["FRAMES"]) == 0
        assert await lite.read(ctx, OFFSET["STATUS"]) == 1
        beats = [beat for frame in pack(x, plan.inputs[0].shape) for beat in frame]
        await bench.stream(ctx, beats, 3 * plan.outputs[0].shape.beats, LIMIT)

    simulate(ResetInserter(reset)(top), process)
    timing = plan.timing(3)
    run: Run = bench.run
    check_beats(plan, run, golden(plan, x))
    assert [end - run.first[0] for end in run.ends] == [
        end - timing.first[0] for end in timing.ends
    ]
