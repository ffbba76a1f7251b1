"""Verilator: compiles a package's RTL with its C++ harness, once for each design."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from ....aliases import ByteArray, Progress
from ....emit.packing import beat_bytes, whole_frames
from ....flow.engine import Beats, SimulationRun
from ....flow.verilator import DESIGN_FAULT, build, call
from ....flow.workplace import plain_directory
from ....plan.dataflow.plan import DataflowPlan
from ....plan.dataflow.ports import frame_begins, frame_ends
from ...package import Package
from ..testbench import level_names


def run(
    package: Package, beats: Beats, edges: bool, wave: Path | None, say: Progress
) -> SimulationRun:
    """Drive packed frames (frames, beats, bytes) of each input through the design.

    Raises UserError when a tool is missing, ToolError when one fails, DesignFault when the design
    hangs or breaks its streams' contract.
    """
    binary = build(package, wave is not None, say)
    plan = package.plan
    frames = len(next(iter(beats.values())))
    with plain_directory() as work:
        (work / "in.bin").write_bytes(b"".join(beats[x.tensor].tobytes() for x in plan.inputs))
        command = [str(binary), str(work / "in.bin"), str(work / "out.bin"), str(frames)]
        command.append(str(work / "stats.json"))
        streams = work / "edges"  # a unit may have the name of another file
        streams.mkdir()
        if edges:
            command += ["--edges", str(streams)]
        if wave is not None:
            command += ["--wave", str(wave.absolute())]
        say(f"simulating {frames} frames")
        begin = time.monotonic()
        call(command, package.path, work / "harness.log", "the simulation", DESIGN_FAULT)
        seconds = time.monotonic() - begin
        stats = json.loads((work / "stats.json").read_text())
        outputs = _outputs(plan, np.fromfile(work / "out.bin", np.uint8), frames)
        taps = {}
        if edges:
            for unit in plan.units:
                data = np.fromfile(streams / f"{unit.name}.bin", np.uint8)
                taps[unit.name] = whole_frames(data, unit.output)
    return SimulationRun(
        outputs=outputs,
        first=frame_begins(stats["first"].values()),
        ends=frame_ends(stats["ends"].values()),
        seconds=seconds,
        levels=dict(zip(level_names(plan), stats["levels"], strict=True)),
        work=dict(zip((unit.name for unit in plan.units), stats["work"], strict=True)),
        edges=taps,
        wave=wave,
        given={
            unit.name: list(zip(seen["cycles"][::2], seen["cycles"][1::2], strict=False))
            for unit, seen in zip(plan.units, stats["given"], strict=True)
        },
        ports=stats["first"] | stats["ends"],
    )


def _outputs(plan: DataflowPlan, raw: ByteArray, frames: int) -> dict[str, ByteArray]:
    """The beats (frames, beats, bytes) of each output, which lie one behind the other."""
    shapes = [(frames, y.shape.beats, beat_bytes(y.shape)) for y in plan.outputs]
    pieces = np.split(raw, np.cumsum([np.prod(shape) for shape in shapes])[:-1])
    return {
        y.tensor: piece.reshape(shape)
        for y, piece, shape in zip(plan.outputs, pieces, shapes, strict=True)
    }
