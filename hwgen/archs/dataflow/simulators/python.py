"""Amaranth's own simulator: needs nothing but Python, about a thousand cycles a second."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
from amaranth.hdl import Value
from amaranth.sim import Simulator

from ....aliases import ByteArray, Progress
from ....emit.package import model_hash
from ....emit.packing import beat_bytes, element_bytes, whole_frames
from ....errors import UserError
from ....flow.engine import Beats, DesignFault, SimulationRun
from ....flow.package_files import AGAIN
from ....plan.dataflow.plan import DataflowPlan
from ....plan.dataflow.ports import Port, frame_begins, frame_ends
from ...package import Package
from ..testbench import quiet_limit
from ..top import DataflowTop, level_members


def run(
    package: Package, beats: Beats, edges: bool, wave: Path | None, say: Progress
) -> SimulationRun:
    """Drive packed frames (frames, beats, bytes) of each input through the design's gateware.

    Raises UserError where the RTL is not what build made, because it is not read here;
    DesignFault when the design hangs or breaks its streams' contract.
    """
    for name in package.changed():
        raise UserError(
            "has been changed since the build; Amaranth's simulator does not read it",
            file=package.path / name,
            hint=f"use --sim verilator, or {AGAIN}",
        )
    plan = package.plan
    top = DataflowTop(plan, model_hash(plan.graph))
    simulator = Simulator(top)
    simulator.add_clock(1e-8)
    bench = _Bench(top, plan, beats, edges, say)
    for port in plan.inputs:
        simulator.add_testbench(partial(bench.drive, port), background=True)
    simulator.add_testbench(bench.watch)
    begin = time.monotonic()
    if wave is not None:
        with simulator.write_vcd(str(wave)):
            simulator.run()
    else:
        simulator.run()
    taps = {}
    for unit in plan.units if edges else ():
        size = element_bytes(unit.output.lanes * unit.output.bits)
        data = b"".join(value.to_bytes(size, "little") for value in bench.edges[unit.name])
        taps[unit.name] = whole_frames(np.frombuffer(data, np.uint8), unit.output)
    return SimulationRun(
        outputs={port.tensor: bench.bytes_of(port) for port in plan.outputs},
        first=frame_begins(bench.first.values()),
        ends=frame_ends(bench.ends.values()),
        seconds=time.monotonic() - begin,
        levels=bench.levels,
        work=bench.work,
        edges=taps,
        wave=wave,
        ports=bench.first | bench.ends,
    )


class _Bench:
    """Sources and sinks that are always ready, and a watch on levels, work and streams.

    words : beats out by the name of the bus; first, ends : of each frame, likewise.
    """

    def __init__(
        self, top: DataflowTop, plan: DataflowPlan, beats: Beats, edges: bool, say: Progress
    ) -> None:
        self.top, self.plan, self.beats, self.say = top, plan, beats, say
        self.frames = len(next(iter(beats.values())))
        self.words: dict[str, list[int]] = {port.bus: [] for port in plan.outputs}
        self.first: dict[str, list[int]] = {port.bus: [] for port in plan.inputs}
        self.ends: dict[str, list[int]] = {port.bus: [] for port in plan.outputs}
        self.level_signals: dict[str, Value] = {
            f"{port.name}.fifo": source.level
            for port, source in zip(plan.inputs, top.sources, strict=True)
        }
        for unit in plan.units:
            for name, member in level_members(unit).items():
                self.level_signals[name] = getattr(top.units[unit.name], member)
        self.work_signals = {name: unit.issue for name, unit in top.units.items()}
        self.levels = dict.fromkeys(self.level_signals, 0)
        self.work = dict.fromkeys(self.work_signals, 0)
        self.edges: dict[str, list[int]] = {name: [] for name in top.units} if edges else {}

    def bytes_of(self, port: Port) -> ByteArray:
        """The beats (frames, beats, bytes) that an output gave."""
        size = beat_bytes(port.shape)
        raw = b"".join(value.to_bytes(size, "little") for value in self.words[port.bus])
        return np.frombuffer(raw, np.uint8).reshape(self.frames, port.shape.beats, size)

    def _signal(self, port: Port, name: str) -> Value:
        return getattr(self.top, f"{port.bus}_{name}")

    async def drive(self, port: Port, context) -> None:
        """Offer every beat of every frame of an input."""
        valid, data, last, ready = (
            self._signal(port, name) for name in ("tvalid", "tdata", "tlast", "tready")
        )
        for frame in self.beats[port.tensor]:
            for index, beat in enumerate(frame):
                context.set(valid, 1)
                context.set(data, int.from_bytes(beat.tobytes(), "little"))
                context.set(last, index == len(frame) - 1)
                await context.tick().until(ready)
        context.set(valid, 0)

    async def watch(self, context) -> None:
        """Take every beat of the outputs; look at everything in every cycle."""
        inputs, outputs = self.plan.inputs, self.plan.outputs
        taken = dict.fromkeys(self.first, 0)
        cycle = quiet = ended = 0
        for port in outputs:
            context.set(self._signal(port, "tready"), 1)
        accepts = [self._signal(x, "tvalid") & self._signal(x, "tready") for x in inputs]
        gives = [self._signal(y, name) for y in outputs for name in ("tvalid", "tdata", "tlast")]
        streams = []
        for name in self.edges:
            unit = self.top.units[name]
            streams += [unit.o.valid & unit.o.ready, Value.cast(unit.o.payload)]
        while ended < self.frames:
            sample = await context.tick().sample(
                *accepts, *gives, *self.level_signals.values(), *self.work_signals.values(),
                *streams,
            )  # fmt: skip
            accepted, given = sample[2:][: len(accepts)], sample[2 + len(accepts) :][: len(gives)]
            for port, moves in zip(inputs, accepted, strict=True):
                if moves and taken[port.bus] % port.shape.beats == 0:
                    self.first[port.bus].append(cycle)
                taken[port.bus] += moves
            for number, port in enumerate(outputs):
                self._take(port, cycle, *given[3 * number : 3 * number + 3])
            if min(map(len, self.ends.values())) > ended:
                ended += 1
                self.say(f"simulated frame {ended} of {self.frames}")
            self._observe(sample[2 + len(accepts) + len(gives) :])
            quiet = 0 if any(accepted) or any(given[::3]) else quiet + 1
            if quiet > quiet_limit(self.plan):
                self.fault(cycle, ended, "no beat for too long: the design hangs")
            cycle += 1

    def _take(self, port: Port, cycle: int, valid: int, data: int, last: int) -> None:
        """What an output gives in a cycle."""
        if not valid:
            return
        words, ends = self.words[port.bus], self.ends[port.bus]
        bus = f"{port.bus}: " if port.suffix else ""
        if len(ends) == self.frames:
            self.fault(cycle, len(ends), f"{bus}gives more beats than there are")
        words.append(data)
        if bool(last) != (len(words) % port.shape.beats == 0):
            what = "TLAST is early" if last else "TLAST is missing at the end"
            self.fault(cycle, len(ends), f"{bus}{what}")
        if last:
            ends.append(cycle)

    def fault(self, cycle: int, frame: int, message: str) -> NoReturn:
        """End the simulation."""
        raise DesignFault(f"frame {frame}, cycle {cycle}: {message}")

    def _observe(self, watched) -> None:
        for name, value in zip(self.levels, watched, strict=False):
            if value > self.levels[name]:
                self.levels[name] = value
        watched = watched[len(self.levels) :]
        for name, value in zip(self.work, watched, strict=False):
            self.work[name] += value
        watched = watched[len(self.work) :]
        for index, name in enumerate(self.edges):
            if watched[2 * index]:
                self.edges[name].append(watched[2 * index + 1])
