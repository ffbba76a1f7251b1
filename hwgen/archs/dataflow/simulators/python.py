"""Amaranth's own simulator: needs nothing but Python, about a thousand cycles a second."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NoReturn

import numpy as np
from amaranth.hdl import Value
from amaranth.sim import Simulator

from ....aliases import ByteArray, Progress
from ....emit.package import model_hash
from ....emit.packing import beat_bytes, element_bytes, whole_frames
from ....errors import UserError
from ....flow.engine import DesignFault, SimulationRun
from ....flow.package_files import AGAIN
from ...package import Package
from ..testbench import quiet_limit
from ..top import DataflowTop, level_members


def run(
    package: Package, beats: ByteArray, edges: bool, wave: Path | None, say: Progress
) -> SimulationRun:
    """Drive packed frames (frames, beats, bytes) through the design's gateware.

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
    simulator.add_testbench(bench.drive, background=True)
    simulator.add_testbench(bench.watch)
    begin = time.monotonic()
    if wave is not None:
        with simulator.write_vcd(str(wave)):
            simulator.run()
    else:
        simulator.run()
    out = plan.output
    taps = {}
    for unit in plan.units if edges else ():
        size = element_bytes(unit.output.lanes * unit.output.bits)
        data = b"".join(value.to_bytes(size, "little") for value in bench.edges[unit.name])
        taps[unit.name] = whole_frames(np.frombuffer(data, np.uint8), unit.output)
    raw = b"".join(value.to_bytes(beat_bytes(out), "little") for value in bench.output)
    return SimulationRun(
        output=np.frombuffer(raw, np.uint8).reshape(len(beats), out.beats, beat_bytes(out)),
        first=bench.first,
        ends=bench.ends,
        seconds=time.monotonic() - begin,
        levels=bench.levels,
        work=bench.work,
        edges=taps,
        wave=wave,
    )


class _Bench:
    """Source and sink that are always ready, and a watch on levels, work and streams."""

    def __init__(self, top: DataflowTop, plan, beats: ByteArray, edges: bool, say: Progress):
        self.top, self.plan, self.beats, self.say = top, plan, beats, say
        self.output: list[int] = []
        self.first: list[int] = []
        self.ends: list[int] = []
        self.level_signals: dict[str, Value] = {"input.fifo": top.input_port.level}
        for unit in plan.units:
            for name, member in level_members(unit).items():
                self.level_signals[name] = getattr(top.units[unit.name], member)
        self.work_signals = {name: unit.issue for name, unit in top.units.items()}
        self.levels = dict.fromkeys(self.level_signals, 0)
        self.work = dict.fromkeys(self.work_signals, 0)
        self.edges: dict[str, list[int]] = {name: [] for name in top.units} if edges else {}

    async def drive(self, context) -> None:
        """Offer every beat of every frame."""
        top = self.top
        for frame in self.beats:
            for index, beat in enumerate(frame):
                context.set(top.s_axis_tvalid, 1)
                context.set(top.s_axis_tdata, int.from_bytes(beat.tobytes(), "little"))
                context.set(top.s_axis_tlast, index == len(frame) - 1)
                await context.tick().until(top.s_axis_tready)
        context.set(top.s_axis_tvalid, 0)

    async def watch(self, context) -> None:
        """Take every beat of the ofmap; look at everything in every cycle."""
        top, frames = self.top, len(self.beats)
        in_beats = self.plan.input.beats
        taken = cycle = quiet = 0
        context.set(top.m_axis_tready, 1)
        streams = []
        for name in self.edges:
            unit = top.units[name]
            streams += [unit.o.valid & unit.o.ready, Value.cast(unit.o.payload)]
        while len(self.ends) < frames:
            sample = await context.tick().sample(
                top.s_axis_tvalid & top.s_axis_tready,
                top.m_axis_tvalid, top.m_axis_tdata, top.m_axis_tlast,
                *self.level_signals.values(), *self.work_signals.values(), *streams,
            )  # fmt: skip
            accepted, valid, data, last = sample[2:6]
            watched = sample[6:]
            if accepted:
                if taken % in_beats == 0:
                    self.first.append(cycle)
                taken += 1
            if valid:
                self.output.append(data)
                if bool(last) != (len(self.output) % self.plan.output.beats == 0):
                    self.fault(cycle, "TLAST is early" if last else "TLAST is missing at the end")
                if last:
                    self.ends.append(cycle)
                    self.say(f"simulated frame {len(self.ends)} of {frames}")
            self._observe(watched)
            quiet = 0 if accepted or valid else quiet + 1
            if quiet > quiet_limit(self.plan):
                self.fault(cycle, "no beat for too long: the design hangs")
            cycle += 1

    def fault(self, cycle: int, message: str) -> NoReturn:
        """End the simulation."""
        raise DesignFault(f"frame {len(self.ends)}, cycle {cycle}: {message}")

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
