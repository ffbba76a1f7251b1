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
from hwgen.flow.workplace import plain_directory
from hwgen.plan.dataflow.units import StreamShape

from . import runner
from .bench_network import JOB
from .runner import BenchError, SimulatorMissing
from .streams import ALWAYS, Gaps

ByteArray = np.ndarray[Any, np.dtype[np.uint8]]

EXPECTED_SHOWN = 5


@dataclass(frozen=True)
class NetworkRun:
    """What came out of an accelerator.

    output : bytes (frames, beats, bytes of TDATA), zero where TKEEP is low. first, ends : cycle
    of each frame's first beat in and last beat out; cycle 0 is the first with the source willing.
    edges : beats of each unit's output stream (frames, beats, bytes; elements take exactly their
    bits), of the frames that passed it whole. registers : control and status after the run.
    differences : up to a few (frame, beat, byte) where ``expected`` was given and differs.
    build_seconds, seconds : of compiling and of the simulation.
    """

    simulator: str
    version: str
    output: ByteArray
    first: list[int]
    ends: list[int]
    cycles: int
    registers: dict[str, int]
    edges: dict[str, ByteArray] = field(default_factory=dict)
    differences: list[tuple[int, ...]] = field(default_factory=list)
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


def run_network(
    package: Path,
    simulator: str,
    beats: ByteArray,
    *,
    expected: ByteArray | None = None,
    edges: bool = False,
    wave: Path | None = None,
    source_gaps: Gaps = ALWAYS,
    sink_gaps: Gaps = ALWAYS,
    build_dir: Path | None = None,
    tail: int = 0,
) -> NetworkRun:
    """Drive packed frames (frames, beats, bytes; see emit.packing) through a package's RTL.

    ``expected`` is packed likewise; where it differs ``differences`` says so, no exception does.
    ``edges``: record the streams between the units as well. ``wave``: a file for the waveform
    (see run_bench). ``build_dir`` keeps the compiled design and logs, else a temporary directory is
    used. ``tail`` cycles after the last beat check that nothing more comes.

    Raises BenchError when the design hangs or breaks a stream's contract, marks a wrong end of
    frame, gives undefined bits, or its registers are wrong; SimulatorMissing; ToolError when the
    build fails or a memory image is not read.
    """
    opened = Package.open(Path(package))
    plan, out = opened.plan, opened.plan.output
    beats = np.ascontiguousarray(beats, np.uint8)
    shape = (plan.input.beats, beat_bytes(plan.input))
    if beats.ndim != 3 or beats.shape[1:] != shape or not len(beats):
        raise ValueError(f"frames of {shape} beats and bytes are needed, got {beats.shape}")
    with plain_directory() as work:
        np.save(work / "input.npy", beats)
        np.save(work / "keep.npy", keep_of(out))
        names = [unit.name for unit in plan.units] if edges else []
        job = {
            "input": str(work / "input.npy"),
            "keep": str(work / "keep.npy"),
            "output": str(work / "output.npy"),
            "result": str(work / "result.json"),
            "edges": {name: str(work / f"{name}.npz") for name in names},
            "source_gaps": [source_gaps.mode, source_gaps.seed],
            "sink_gaps": [sink_gaps.mode, sink_gaps.seed],
            "quiet_limit": quiet_limit(plan),
            "model_hash": model_hash(plan.graph),
            "tail": tail,
        }
        (work / "job.json").write_text(json.dumps(job))
        ran = runner.run_bench(
            sorted((opened.path / "rtl").glob("*.v")),
            "top",
            "hwgen_sim.bench_network",
            simulator,
            build_dir or work / "build",
            mem_dir=opened.path / "mem",
            env={JOB: str(work / "job.json")},
            wave=wave,
        )
        result = json.loads((work / "result.json").read_text())
        output = np.load(work / "output.npy")
        taps = {
            unit.name: _whole_frames(work / f"{unit.name}.npz", unit.output)
            for unit in plan.units
            if edges
        }
    return NetworkRun(
        simulator=simulator,
        version=ran.build.version,
        output=output,
        first=result["first"],
        ends=result["ends"],
        cycles=result["cycles"],
        registers=result["registers"],
        edges=taps,
        differences=_differences(output, expected, keep_of(out)),
        warnings=ran.build.warnings,
        build_seconds=ran.build.seconds,
        seconds=ran.seconds,
        wave=ran.wave,
    )


def _whole_frames(file: Path, stream: StreamShape) -> ByteArray:
    """Beats of a stream as (frames, beats, bytes)."""
    with np.load(file) as saved:
        data = saved["data"].astype(np.uint8)
    size = -(-stream.lanes * stream.bits // 8)
    whole = len(data) // stream.beats
    return data[: whole * stream.beats].reshape(whole, stream.beats, size)


def _differences(
    output: ByteArray, expected: ByteArray | None, keep: np.ndarray[Any, Any]
) -> list[tuple[int, ...]]:
    if expected is None:
        return []
    if expected.shape != output.shape:
        raise ValueError(f"expected beats have shape {expected.shape}, not {output.shape}")
    wrong = np.argwhere((output != expected) & keep)
    return [tuple(int(i) for i in place) for place in wrong[:EXPECTED_SHOWN]]


__all__ = ["BenchError", "NetworkRun", "SimulatorMissing", "keep_of", "run_network"]
