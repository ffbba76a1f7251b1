"""Verilator runs of a tiled engine: programs, frames, a model of external memory.

The compiled bench depends on the engine only: networks on the same engine share it.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..descriptors import ErrorCode
from ..emit.tiled_files import ends, image_hex, job, regions
from ..errors import OptionError
from ..plan.tiled.plan import TiledPlan
from .engine import ByteArray, Progress
from .package_files import Package
from .verilator_sim import DESIGN_FAULT, build, call

FAULTS = ("read_error", "write_error", "ar", "r", "aw", "w", "b", "reset", "start")


@dataclass(frozen=True)
class Memory:
    """How external memory answers.

    latency : cycles from an address to its first beat. rate : beats a cycle, at most 1. gaps : a
    seed: both sides pause at random.
    """

    latency: int = 20
    rate: float = 1.0
    gaps: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.latency <= 10_000:
            raise OptionError(f"--mem-latency {self.latency}: give 1 to 10000 cycles")
        if not 0.01 <= self.rate <= 1:
            raise OptionError(f"--mem-rate {self.rate:g}: give 0.01 to 1 beats a cycle")

    @property
    def regular(self) -> bool:
        """Whether latency and rate alone say when it answers."""
        return self.gaps is None

    def arguments(self) -> list[str]:
        """For the bench."""
        values = {"--latency": self.latency, "--rate": self.rate, "--gaps": self.gaps}
        return [str(a) for pair in values.items() if pair[1] is not None for a in pair]


@dataclass(frozen=True)
class Fault:
    """What goes wrong in each run of a job.

    kind : "read_error", "write_error": from beat ``at`` on, counted from 1, ``cycles`` beats are
    answered with an error. "ar", "r", "aw", "w", "b": memory withholds its READY or VALID from
    cycle ``at`` after the start on. "reset": the engine is reset in cycle ``at``, which ends the
    run. "start": START is written in it.
    """

    kind: str
    at: int
    cycles: int = 1

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"a fault {self.kind!r} is none of {', '.join(FAULTS)}")
        if self.at < 0 or self.cycles < 1:
            raise ValueError(f"a fault at {self.at} for {self.cycles}")


@dataclass(frozen=True)
class Job:
    """Frames, as bytes (frames, bytes), through the program of a plan.

    image : the file to take as external memory's beginning; None: the plan's own.
    """

    plan: TiledPlan
    frames: ByteArray
    image: Path | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class JobRun:
    """What a job gave.

    output : bytes (frames, bytes). cycles, status, layer, read_beats, write_beats : registers after
    each frame. tiles, loads, stores : the cycles in which they were finished in the first one.
    steps : of the array of each tile unit in the first one. read_bytes, written_bytes : of each
    region in all frames. words : of each tile of each unit in the first one, moved between buffers
    and array, by what they are (see plan.tiled.buffers).
    """

    output: ByteArray
    cycles: list[int]
    status: list[int]
    layer: list[int]
    read_beats: list[int]
    write_beats: list[int]
    tiles: list[int]
    loads: list[int]
    stores: list[int]
    steps: list[int]
    read_bytes: dict[str, int]
    written_bytes: dict[str, int]
    words: list[dict[str, list[int]]]

    def errors(self) -> list[ErrorCode]:
        """How each run ended."""
        return [ErrorCode(status >> 8 & 0xFF) for status in self.status]


@dataclass(frozen=True)
class Runs:
    """Of several jobs. memory : external memory after the last run."""

    jobs: list[JobRun]
    memory: ByteArray
    seconds: float


def run(
    package: Package, jobs: Sequence[Job], memory: Memory, wave: Path | None, say: Progress
) -> Runs:
    """Run jobs one after the other, without a reset between them, on a package's engine.

    Raises UserError when a tool is missing, ToolError when one fails, DesignFault when the engine
    hangs or breaks the rules of AXI.
    """
    binary = build(package, wave is not None, say)
    with tempfile.TemporaryDirectory(prefix="hwgen-") as folder:
        work = Path(folder)
        files = [_write(work, n, given) for n, given in enumerate(jobs)]
        command = [str(binary), str(work / "stats.json"), *map(str, files)]
        command += [*memory.arguments(), "--dump", str(work / "dump.bin")]
        if wave is not None:
            command += ["--wave", str(wave.absolute())]
        say(f"simulating {sum(len(given.frames) for given in jobs)} frames")
        begin = time.monotonic()
        call(command, work, work / "harness.log", "the simulation", DESIGN_FAULT)
        seconds = time.monotonic() - begin
        stats = json.loads((work / "stats.json").read_text())
        done = [
            _read(work / f"out{n}.bin", given, values)
            for n, (given, values) in enumerate(zip(jobs, stats, strict=True))
        ]
        return Runs(done, np.fromfile(work / "dump.bin", np.uint8), seconds)


def _write(work: Path, number: int, given: Job) -> Path:
    plan = given.plan
    image, inputs = given.image, work / f"in{number}.bin"
    if image is None:
        image = work / f"image{number}.hex"
        image.write_text(image_hex(plan.program, plan.shape))
    given.frames.tofile(inputs)
    file = work / f"job{number}.txt"
    text = job(
        plan,
        len(given.frames),
        image=str(image.absolute()),
        inputs=str(inputs),
        outputs=str(work / f"out{number}.bin"),
    )
    file.write_text(text + "".join(f"fault {f.kind} {f.at} {f.cycles}\n" for f in given.faults))
    return file


def _read(file: Path, given: Job, stats: dict[str, Any]) -> JobRun:
    _, result = ends(given.plan.work)
    output = np.fromfile(file, np.uint8).reshape(len(given.frames), result.bytes)
    names = [*regions(given.plan.program), "(outside)"]
    moved = {
        key: dict(zip(names, stats[key], strict=True)) for key in ("read_bytes", "written_bytes")
    }
    values: dict[str, Any] = stats | moved
    return JobRun(output=output, **values)
