"""Runs a package's accelerator under cocotb: packed frames in, packed frames and cycles out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.archs.dataflow.testbench import quiet_limit
from hwgen.archs.package import Package
from hwgen.emit.package import model_hash
from hwgen.emit.packing import beat_bytes, element_bytes
from hwgen.flow.engine import Beats
from hwgen.flow.workplace import plain_directory
from hwgen.plan.dataflow.plan import DataflowPlan
from hwgen.plan.dataflow.ports import frame_begins, frame_ends
from hwgen.plan.dataflow.units import StreamShape

from . import runner
from .bench_network import JOB
from .runner import BenchError, Build, SimulatorMissing
from .streams import ALWAYS, Gaps

ByteArray = np.ndarray[Any, np.dtype[np.uint8]]

EXPECTED_SHOWN = 5


@dataclass(frozen=True)
class NetworkRun:
    """What came out of an accelerator.

    outputs : bytes (frames, beats, bytes of TDATA) of each output by its name, zero where TKEEP is
    low. first, ends : cycle of each frame's first beat in and last beat out, at whichever port;
    ports : those of each port, by the name of its bus; cycle 0 is the first with sources willing.
    edges : beats of each unit's output stream (frames, beats, bytes; elements take exactly their
    bits), of the frames that passed it whole. registers : control and status after the run.
    differences : up to a few (output, frame, beat, byte) where ``expected`` was given and differs.
    build_seconds, seconds : of compiling and of the simulation.
    """

    simulator: str
    version: str
    outputs: dict[str, ByteArray]
    first: list[int]
    ends: list[int]
    ports: dict[str, list[int]]
    cycles: int
    registers: dict[str, int]
    edges: dict[str, ByteArray] = field(default_factory=dict)
    differences: list[tuple[Any, ...]] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    build_seconds: float = 0.0
    seconds: float = 0.0
    wave: Path | None = None


def keep_of(stream: StreamShape) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """TKEEP of each beat of a frame, (beats, bytes)."""
    beats = -(-stream.channels // stream.lanes)
    used = np.arange(beats * stream.lanes) < stream.channels
    pixel = np.repeat(used.reshape(beats, stream.lanes), element_bytes(stream.bits), axis=1)
    return np.tile(pixel, (stream.pixels, 1))


def build_network(package: Path, simulator: str, folder: Path, wave: bool = False) -> Build:
    """A package's RTL, compiled for any number of ``run_network``. Errors as of runner.build."""
    path = Package.open(Path(package)).path
    sources = sorted((path / "rtl").glob("*.v"))
    return runner.build(sources, "top", simulator, folder, mem_dir=path / "mem", wave=wave)


def run_network(
    package: Path,
    simulator: str | Build,
    beats: Beats,
    *,
    expected: Beats | None = None,
    edges: bool = False,
    wave: Path | None = None,
    source_gaps: Gaps = ALWAYS,
    sink_gaps: Gaps = ALWAYS,
    tail: int = 0,
) -> NetworkRun:
    """Drive packed frames (frames, beats, bytes; see emit.packing) of each input, by its name,
    through a package's RTL.

    ``simulator`` is a name, or what ``build_network`` made of the package.
    ``expected`` is packed likewise, by the outputs' names; where it differs ``differences`` says
    so, no exception does.
    ``edges``: record the streams between the units as well. ``wave``: a file for the waveform
    (see runner.test). ``source_gaps`` and ``sink_gaps`` are those of the first input and output;
    the others have gaps of the same mode, each of its own seed. ``tail`` cycles after the last beat
    check that nothing more comes.

    Raises BenchError when the design hangs or breaks a stream's contract, marks a wrong end of
    frame, gives undefined bits, or its registers are wrong; SimulatorMissing; ToolError when the
    build fails or a memory image is not read.
    """
    opened = Package.open(Path(package))
    plan = opened.plan
    _check_frames(plan, beats)
    with plain_directory() as work:
        sources, sinks = [], []
        for n, port in enumerate(plan.inputs):
            np.save(work / f"in{n}.npy", np.ascontiguousarray(beats[port.tensor], np.uint8))
            sources.append(
                {
                    "bus": port.bus,
                    "frames": str(work / f"in{n}.npy"),
                    "gaps": [source_gaps.mode, source_gaps.seed + n],
                }
            )
        for n, port in enumerate(plan.outputs):
            np.save(work / f"keep{n}.npy", keep_of(port.shape))
            sinks.append(
                {
                    "tensor": port.tensor,
                    "bus": port.bus,
                    "keep": str(work / f"keep{n}.npy"),
                    "frames": str(work / f"out{n}.npy"),
                    "gaps": [sink_gaps.mode, sink_gaps.seed + n],
                }
            )
        names = [unit.name for unit in plan.units] if edges else []
        (work / "edges").mkdir()  # a unit may have the name of another file
        job = {
            "sources": sources,
            "sinks": sinks,
            "result": str(work / "result.json"),
            "edges": {name: str(work / "edges" / f"{name}.npz") for name in names},
            "quiet_limit": quiet_limit(plan),
            "model_hash": model_hash(plan.graph),
            "tail": tail,
        }
        (work / "job.json").write_text(json.dumps(job))
        if isinstance(simulator, str):
            simulator = build_network(package, simulator, work / "build", wave is not None)
        ran = runner.test(
            simulator,
            ["hwgen_sim.bench_network"],
            work / "run",
            env={JOB: str(work / "job.json")},
            wave=wave,
        )
        result = json.loads((work / "result.json").read_text())
        outputs = {row["tensor"]: np.load(row["frames"]) for row in sinks}
        taps = {
            unit.name: _whole_frames(work / "edges" / f"{unit.name}.npz", unit.output)
            for unit in plan.units
            if edges
        }
    return NetworkRun(
        simulator=ran.build.simulator,
        version=ran.build.version,
        outputs=outputs,
        first=frame_begins(result["ports"][port.bus] for port in plan.inputs),
        ends=frame_ends(result["ports"][port.bus] for port in plan.outputs),
        ports=result["ports"],
        cycles=result["cycles"],
        registers=result["registers"],
        edges=taps,
        differences=_differences(plan, outputs, expected),
        warnings=ran.build.warnings,
        build_seconds=ran.build.seconds,
        seconds=ran.seconds,
        wave=ran.wave,
    )


def _check_frames(plan: DataflowPlan, beats: Beats) -> None:
    """Raise ValueError where packed frames are not those of the inputs."""
    for port in plan.inputs:
        shape = (port.shape.beats, beat_bytes(port.shape))
        given = np.shape(beats[port.tensor])
        if len(given) != 3 or given[1:] != shape or not given[0]:
            raise ValueError(f"frames of {shape} beats and bytes are needed, got {given}")


def _whole_frames(file: Path, stream: StreamShape) -> ByteArray:
    """Beats of a stream as (frames, beats, bytes)."""
    with np.load(file) as saved:
        data = saved["data"].astype(np.uint8)
    size = -(-stream.lanes * stream.bits // 8)
    whole = len(data) // stream.beats
    return data[: whole * stream.beats].reshape(whole, stream.beats, size)


def _differences(
    plan: DataflowPlan, outputs: Beats, expected: Beats | None
) -> list[tuple[Any, ...]]:
    if expected is None:
        return []
    found: list[tuple[Any, ...]] = []
    for port in plan.outputs:
        want, got = expected[port.tensor], outputs[port.tensor]
        if want.shape != got.shape:
            raise ValueError(f"expected beats have shape {want.shape}, not {got.shape}")
        wrong = np.argwhere((got != want) & keep_of(port.shape))
        found += [(port.tensor, *(int(i) for i in place)) for place in wrong]
    return found[:EXPECTED_SHOWN]


__all__ = [
    "BenchError",
    "NetworkRun",
    "SimulatorMissing",
    "build_network",
    "keep_of",
    "run_network",
]
