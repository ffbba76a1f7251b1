"""Runs an accelerator with any number of streams in Amaranth's own simulator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.archs.dataflow.top import DataflowTop
from hwgen.ir import execute
from hwgen.plan.dataflow.plan import DataflowPlan
from hwgen.plan.dataflow.ports import Port

from .pysim import MODEL_HASH, Beat, bytes_of, levels_of, pack, pattern, simulate, unpack

Arrays = dict[str, np.ndarray]
Patterns = Mapping[str, Iterator[bool]]
"""Whether a side of a stream is willing, by the name of its bus."""


@dataclass
class PortsRun:
    """What was seen: beats out (data, TKEEP, TLAST) of each output and frames' cycles at each port,
    by the names of the buses; most entries in each buffer."""

    beats: dict[str, list[tuple[int, int, int]]]
    ports: dict[str, tuple[int, ...]]
    high_water: dict[str, int] = field(default_factory=dict)


def frames_for(plan: DataflowPlan, frames: int, seed: int) -> Arrays:
    """Random inputs over their whole ranges, the extremes more often."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for x in plan.graph.inputs:
        low, high = x.range
        shape = (frames, *x.shape)
        codes = rng.integers(low, high + 1, shape)
        arrays[x.name] = np.where(rng.random(shape) < 0.25, rng.choice([low, high], shape), codes)
    return arrays


class PortsBench:
    """Drives and takes all streams from one process, a cycle at a time, by the rules of AXI4-Stream
    which it asserts at the outputs."""

    def __init__(self, top: DataflowTop, beats: Mapping[str, list[Beat]], levels: bool) -> None:
        self.top, self.plan, self.beats = top, top.plan, beats
        self.sent = dict.fromkeys(beats, 0)
        self.taken: dict[str, list[int]] = {bus: [] for bus in beats}
        self.times: dict[str, list[int]] = {port.bus: [] for port in top.plan.outputs}
        self.got: dict[str, list[tuple[int, int, int]]] = {bus: [] for bus in self.times}
        self.high_water: dict[str, int] = {}
        self.cycle = 0
        self._held: dict[str, tuple[int, int, int] | None] = dict.fromkeys(self.times)
        self._offered = dict.fromkeys(beats, False)
        self._levels = levels_of(top) if levels else {}

    def _signals(self, bus: str, *names: str) -> list[Any]:
        return [getattr(self.top, f"{bus}_{name}") for name in names]

    async def step(self, ctx: Any, sources: Patterns, sinks: Patterns) -> None:
        """One cycle."""
        for bus, beats in self.beats.items():
            valid, data, last = self._signals(bus, "tvalid", "tdata", "tlast")
            left = self.sent[bus] < len(beats)
            self._offered[bus] = left and (self._offered[bus] or next(sources[bus]))
            ctx.set(valid, self._offered[bus])
            if self._offered[bus]:
                ctx.set(data, beats[self.sent[bus]][0])
                ctx.set(last, beats[self.sent[bus]][1])
        willing = {bus: next(sinks[bus]) for bus in self.times}
        for bus, ready in willing.items():
            ctx.set(self._signals(bus, "tready")[0], ready)
        names = ("tvalid", "tdata", "tkeep", "tlast")
        readies = [self._signals(bus, "tready")[0] for bus in self.beats]
        given = [signal for bus in self.times for signal in self._signals(bus, *names)]
        _, _, *sampled = await ctx.tick().sample(*readies, *given, *self._levels.values())
        for bus, ready in zip(self.beats, sampled, strict=False):
            if self._offered[bus] and ready:
                self.sent[bus] += 1
                self.taken[bus].append(self.cycle)
                self._offered[bus] = False
        sampled = sampled[len(readies) :]
        for n, bus in enumerate(self.times):
            valid, *beat = sampled[4 * n : 4 * n + 4]
            self._see(bus, bool(valid), (beat[0], beat[1], beat[2]), willing[bus])
        for name, level in zip(self._levels, sampled[len(given) :], strict=True):
            self.high_water[name] = max(self.high_water.get(name, 0), level)
        self.cycle += 1

    def _see(self, bus: str, valid: bool, beat: tuple[int, int, int], ready: bool) -> None:
        held = self._held[bus]
        assert valid or held is None, f"{bus}, cycle {self.cycle}: TVALID was withdrawn"
        assert held in (None, beat), f"{bus}, cycle {self.cycle}: the payload changed"
        self._held[bus] = beat if valid and not ready else None
        if valid and ready:
            self.got[bus].append(beat)
            self.times[bus].append(self.cycle)


def run_ports(
    plan: DataflowPlan,
    arrays: Arrays,
    sources: Patterns | None = None,
    sinks: Patterns | None = None,
    levels: bool = False,
    limit: int = 200_000,
) -> PortsRun:
    """Simulate frames of all inputs; ports without a pattern are always willing."""
    top = DataflowTop(plan, MODEL_HASH)
    beats = {
        port.bus: [beat for frame in pack(arrays[port.tensor], port.shape) for beat in frame]
        for port in plan.inputs
    }
    frames = len(next(iter(arrays.values())))
    bench = PortsBench(top, beats, levels)
    always = {port.bus: pattern("always", 0) for port in (*plan.inputs, *plan.outputs)}
    willing = always | dict(sources or {}) | dict(sinks or {})
    wanted = {port.bus: frames * port.shape.beats for port in plan.outputs}

    async def process(ctx: Any) -> None:
        while any(len(bench.got[bus]) < count for bus, count in wanted.items()):
            await bench.step(ctx, willing, willing)
            assert bench.cycle <= limit, f"hangs: {bench.sent} taken, {wanted} wanted"

    simulate(top, process)
    firsts = {port.bus: bench.taken[port.bus][:: port.shape.beats] for port in plan.inputs}
    lasts = {
        port.bus: bench.times[port.bus][port.shape.beats - 1 :: port.shape.beats]
        for port in plan.outputs
    }
    ports = {bus: tuple(cycles) for bus, cycles in (firsts | lasts).items()}
    return PortsRun(bench.got, ports, bench.high_water)


def check_output(plan: DataflowPlan, port: Port, run: PortsRun, want: np.ndarray) -> None:
    """Data, TKEEP and TLAST of every beat of an output are right, and there are no others."""
    shape, beats = port.shape, run.beats[port.bus]
    signed = plan.graph.tensors[port.tensor].type.signed
    got = unpack([data for data, _, _ in beats], shape, signed)
    np.testing.assert_array_equal(got, want.reshape(got.shape), err_msg=port.tensor)
    assert len(got) == len(want)
    size, per_pixel = bytes_of(shape.bits), -(-shape.channels // shape.lanes)
    for n, (_, keep, last) in enumerate(beats):
        used = min(shape.lanes, shape.channels - n % per_pixel * shape.lanes)
        assert keep == (1 << size * used) - 1, f"TKEEP of beat {n} of {port.bus}"
        assert last == (n % shape.beats == shape.beats - 1), f"TLAST of beat {n} of {port.bus}"


def check_data(plan: DataflowPlan, arrays: Arrays, run: PortsRun) -> None:
    """Every beat of every output is golden's."""
    want = execute(plan.graph, arrays)
    for port in plan.outputs:
        check_output(plan, port, run, want[port.tensor])


def check_ports_against_model(plan: DataflowPlan, arrays: Arrays) -> None:
    """Data equals golden; cycles at every port and high-water marks equal the event model."""
    timing = plan.timing(len(next(iter(arrays.values()))))
    run = run_ports(plan, arrays, levels=True, limit=10 * timing.ends[-1] + 1000)
    check_data(plan, arrays, run)
    assert run.ports == timing.ports
    assert run.high_water == timing.high_water
