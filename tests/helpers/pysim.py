"""Runs an accelerator in Amaranth's own simulator and records what passes its ports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from amaranth.hdl import Elaboratable, Signal
from amaranth.sim import Simulator

from hwgen.archs.dataflow.top import DataflowTop
from hwgen.gateware.stream.elementwise import Regroup
from hwgen.gateware.stream.join_fork import Fork
from hwgen.ir import execute
from hwgen.plan.dataflow.plan import DataflowPlan
from hwgen.plan.dataflow.units import StreamShape

Beat = tuple[int, bool]
"""TDATA and TLAST."""

MODEL_HASH = 0x0123456789ABCDEF


def pattern(kind: str, seed: int) -> Iterator[bool]:
    """Whether a side of a stream is willing, cycle by cycle.

    ``kind``: always, random (every second cycle), rare (every eighth), bursty (runs of both).
    """
    rng = Random(seed)
    while True:
        if kind == "always":
            yield True
        elif kind == "random":
            yield rng.random() < 0.5
        elif kind == "rare":
            yield rng.random() < 0.125
        else:
            willing = rng.random() < 0.5
            for _ in range(rng.randint(1, 12)):
                yield willing


def bytes_of(bits: int) -> int:
    """Whole bytes that hold an element."""
    return (bits + 7) // 8


def pack(x: np.ndarray, stream: StreamShape) -> list[list[Beat]]:
    """Frames as beats: each pixel in ceil(channels / lanes) of them, whole bytes an element."""
    step = 8 * bytes_of(stream.bits)
    frames = []
    for frame in x.reshape(-1, stream.pixels, stream.channels).tolist():
        words = []
        for pixel in frame:
            for start in range(0, stream.channels, stream.lanes):
                lanes = pixel[start : start + stream.lanes]
                words.append(sum((v % (1 << step)) << (i * step) for i, v in enumerate(lanes)))
        frames.append([(word, n == len(words) - 1) for n, word in enumerate(words)])
    return frames


def unpack(words: Sequence[int], stream: StreamShape, signed: bool) -> np.ndarray:
    """Integers (frames, pixels, channels) of output beats; TDATA must be extended properly."""
    step = 8 * bytes_of(stream.bits)
    beats = -(-stream.channels // stream.lanes)
    elements = []
    for n, word in enumerate(words):
        before = n % beats * stream.lanes
        for lane in range(min(stream.lanes, stream.channels - before)):
            value = word >> (lane * step) & ((1 << step) - 1)
            elements.append(value - (1 << step) if signed and value >> (step - 1) else value)
    return np.array(elements, dtype=np.int64).reshape(-1, stream.pixels, stream.channels)


@dataclass
class Run:
    """What was seen at the ports of an accelerator.

    words, keeps, lasts : of every output beat, and the cycle it was taken in (``times``).
    first : cycle of each frame's first accepted beat, taken from the beats that were sent.
    high_water : most entries seen in each buffer.
    """

    words: list[int] = field(default_factory=list)
    keeps: list[int] = field(default_factory=list)
    lasts: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    first: list[int] = field(default_factory=list)
    high_water: dict[str, int] = field(default_factory=dict)

    @property
    def ends(self) -> tuple[int, ...]:
        """Cycles of the beats that end frames."""
        return tuple(t for t, last in zip(self.times, self.lasts, strict=True) if last)


def levels_of(top: DataflowTop) -> dict[str, Signal]:
    """The level signals of all buffers, under the names that the event model uses."""
    levels = {
        f"{port.name}.fifo": source.level
        for port, source in zip(top.plan.inputs, top.sources, strict=True)
    }
    for name, unit in top.units.items():
        if isinstance(unit, Fork):
            for n in range(len(unit.fifos)):
                levels[f"{name}.fifo{n}"] = getattr(unit, f"level{n}")
            continue
        for member, label in (
            ("ring_level", "ring"), ("window_level", "windows"), ("shadow_level", "shadow"),
        ):  # fmt: skip
            if hasattr(unit, member):
                levels[f"{name}.{label}"] = getattr(unit, member)
        levels[f"{name}.{'elements' if isinstance(unit, Regroup) else 'fifo'}"] = unit.level
    return levels


class Bench:
    """Drives both streams of a ``DataflowTop`` from one process, a cycle at a time.

    Keeps the AXI4-Stream rules at the input (an offered beat stays until taken) and asserts
    them at the output.
    """

    def __init__(self, top: DataflowTop, levels: bool = False) -> None:
        self.top = top
        self.run = Run()
        self.cycle = 0
        self._levels = levels_of(top) if levels else {}
        self._watching = True
        self._begins = True
        self._held: tuple[int, int, int] | None = None

    def forget(self) -> None:
        """Begin anew after a reset: what was offered or taken before does not count."""
        self.run = Run()
        self._begins, self._held = True, None

    async def step(self, ctx: Any, beat: Beat | None, ready: bool) -> bool:
        """One cycle with this beat offered (None: no beat); whether it was accepted."""
        top, run = self.top, self.run
        ctx.set(top.s_axis_tvalid, beat is not None)
        if beat is not None:
            ctx.set(top.s_axis_tdata, beat[0])
            ctx.set(top.s_axis_tlast, beat[1])
        ctx.set(top.m_axis_tready, ready)
        sampled = await ctx.tick().sample(
            top.s_axis_tready, top.m_axis_tvalid, top.m_axis_tdata, top.m_axis_tkeep,
            top.m_axis_tlast, *self._levels.values(),
        )  # fmt: skip
        _, _, taken, valid, data, keep, last, *levels = sampled
        for name, level in zip(self._levels, levels, strict=True):
            if self._watching:
                run.high_water[name] = max(run.high_water.get(name, 0), level)
        if self._held is not None:
            assert valid, f"cycle {self.cycle}: TVALID was withdrawn"
            assert self._held == (data, keep, last), f"cycle {self.cycle}: the payload changed"
        self._held = (data, keep, last) if valid and not ready else None
        accepted = beat is not None and bool(taken)
        if accepted:
            if self._begins:
                run.first.append(self.cycle)
            assert beat is not None
            self._begins = beat[1]
        if valid and ready:
            run.words.append(data)
            run.keeps.append(keep)
            run.lasts.append(last)
            run.times.append(self.cycle)
        self.cycle += 1
        return accepted

    async def stream(
        self,
        ctx: Any,
        beats: Sequence[Beat],
        outputs: int,
        limit: int,
        source: Iterator[bool] | None = None,
        sink: Iterator[bool] | None = None,
    ) -> None:
        """Send the beats, until so many output beats have been taken in all.

        Rows that no window needs may still be entering then: they are not counted in the
        high-water marks.
        """
        source, sink = source or pattern("always", 0), sink or pattern("always", 0)
        sent, offered = 0, False
        while len(self.run.words) < outputs or sent < len(beats):
            offered = sent < len(beats) and (offered or next(source))
            if await self.step(ctx, beats[sent] if offered else None, next(sink)):
                sent, offered = sent + 1, False
            self._watching = len(self.run.words) < outputs
            assert self.cycle <= limit, (
                f"after {limit} cycles {sent} of {len(beats)} beats were taken, "
                f"{len(self.run.words)} of {outputs} came"
            )


def simulate(top: Elaboratable, process: Any) -> None:
    """Run one test process to its end."""
    sim = Simulator(top)
    sim.add_clock(1e-6)
    sim.add_testbench(process)
    sim.run()


def output_is_signed(plan: DataflowPlan) -> bool:
    """Whether the accelerator's output elements have a sign."""
    return plan.graph.tensors[plan.graph.outputs[0]].type.signed


def golden(plan: DataflowPlan, x: np.ndarray) -> np.ndarray:
    """Golden outputs, (frames, pixels, channels) as the plan streams them."""
    graph = plan.graph
    out = plan.outputs[0].shape
    want = execute(graph, {graph.inputs[0].name: x})[graph.outputs[0]]
    return np.asarray(want).reshape(-1, out.pixels, out.channels)


def random_frames(plan: DataflowPlan, frames: int, seed: int) -> np.ndarray:
    """Random input over its whole range; the extremes are as likely as all the rest."""
    tensor = plan.graph.inputs[0]
    low, high = tensor.range
    rng = np.random.default_rng(seed)
    shape = (frames, *tensor.shape)
    x = rng.integers(low, high + 1, shape)
    return np.where(rng.random(shape) < 0.25, rng.choice([low, high], shape), x)


def run_plan(
    plan: DataflowPlan,
    x: np.ndarray,
    source: Iterator[bool] | None = None,
    sink: Iterator[bool] | None = None,
    levels: bool = False,
    limit: int = 200_000,
) -> Run:
    """Simulate frames through a plan's accelerator."""
    top = DataflowTop(plan, MODEL_HASH)
    bench = Bench(top, levels)
    beats = [beat for frame in pack(x, plan.inputs[0].shape) for beat in frame]
    outputs = len(x) * plan.outputs[0].shape.beats

    async def process(ctx: Any) -> None:
        await bench.stream(ctx, beats, outputs, limit, source, sink)

    simulate(top, process)
    return bench.run


def check_beats(plan: DataflowPlan, run: Run, want: np.ndarray) -> None:
    """Data, TLAST and TKEEP of every output beat are right."""
    out = plan.outputs[0].shape
    got = unpack(run.words, out, output_is_signed(plan))
    np.testing.assert_array_equal(got, want)
    size, beats = bytes_of(out.bits), -(-out.channels // out.lanes)
    for n, (keep, last) in enumerate(zip(run.keeps, run.lasts, strict=True)):
        used = min(out.lanes, out.channels - n % beats * out.lanes)
        assert keep == (1 << size * used) - 1, f"TKEEP of beat {n}"
        assert last == (n % out.beats == out.beats - 1), f"TLAST of beat {n}"


def check_against_model(plan: DataflowPlan, x: np.ndarray) -> None:
    """Data equals golden; cycles and high-water marks equal the event model."""
    timing = plan.timing(len(x))
    run = run_plan(plan, x, levels=True, limit=10 * timing.ends[-1] + 1000)
    check_beats(plan, run, golden(plan, x))
    assert run.ends == timing.ends
    assert tuple(run.first) == timing.first
    assert run.high_water == timing.high_water, f"{run.high_water} {timing.high_water}"
