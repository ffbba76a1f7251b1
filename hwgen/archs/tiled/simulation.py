"""Verilator runs of a tiled engine: programs, frames, a model of external memory.

The compiled bench depends on the engine only: networks on the same engine share it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...aliases import ByteArray, Progress
from ...contract.isa import ErrorCode
from ...flow.images import ImageShape, read_words
from ...flow.memory import Memory
from ...flow.verilator import DESIGN_FAULT, build, call
from ...flow.workplace import plain_directory
from ...plan.tiled.plan import TiledPlan
from ..package import Package
from .ends import output_area
from .files import job, regions

FAULTS = ("read_error", "write_error", "ar", "r", "aw", "w", "b", "reset", "start")


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
    """Frames, as bytes (frames, bytes) of the inputs' area, through the program of a plan.

    image : the file to take as external memory's beginning; None: the plan's own.
    """

    plan: TiledPlan
    frames: ByteArray
    image: Path | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class JobRun:
    """What a job gave.

    output : bytes (frames, bytes) of the outputs' area. cycles, status, layer, read_beats,
    write_beats : registers after each frame. tiles, loads, stores : the cycles in which they were
    finished in the first one. begun : those in which the steps of each tile of each unit began in
    it; asked, sent : in which each burst of reads was asked for, and the first beat of each burst
    of writes passed; asked_at : the byte of memory that a read begins at.
    steps : of the array of each tile unit in the first one. read_bytes, written_bytes : of each
    region in all frames. words : of each tile of each unit in the first one, moved between buffers
    and array, by what they are (see plan.tiled.buffers). after, stored : external memory (frames,
    bytes) after each frame, and which of its bytes the engine wrote; None where a bench keeps only
    the outputs.
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
    begun: list[list[int]]
    asked: list[int]
    asked_at: list[int]
    sent: list[int]
    steps: list[int]
    read_bytes: dict[str, int]
    written_bytes: dict[str, int]
    words: list[dict[str, list[int]]]
    after: ByteArray | None = None
    stored: np.ndarray[Any, np.dtype[np.bool_]] | None = None

    def errors(self) -> list[ErrorCode]:
        """How each run ended."""
        return [ErrorCode(status >> 8 & 0xFF) for status in self.status]


@dataclass(frozen=True)
class Runs:
    """What several jobs gave. memory : external memory after the last run. wave : the waveform."""

    jobs: list[JobRun]
    memory: ByteArray
    seconds: float
    wave: Path | None = None


def run(
    package: Package, jobs: Sequence[Job], memory: Memory, wave: Path | None, say: Progress
) -> Runs:
    """Run jobs one after the other, without a reset between them, on a package's engine.

    Raises UserError when a tool is missing, ToolError when one fails, DesignFault when the engine
    hangs or breaks the rules of AXI.
    """
    binary = build(package, wave is not None, say)
    with plain_directory() as work:
        files = [_write(work, n, given) for n, given in enumerate(jobs)]
        command = [str(binary), "stats.json", *files, *memory.arguments(), "--dump", "dump.bin"]
        if wave is not None:
            command += ["--wave", str(wave.absolute())]
        say(f"simulating {sum(len(given.frames) for given in jobs)} frames")
        begin = time.monotonic()
        call(command, work, work / "harness.log", "the simulation", DESIGN_FAULT)
        seconds = time.monotonic() - begin
        stats = json.loads((work / "stats.json").read_text())
        done = [
            _read(work / f"outputs{n}.bin", given, values)
            for n, (given, values) in enumerate(zip(jobs, stats, strict=True))
        ]
        return Runs(done, np.fromfile(work / "dump.bin", np.uint8), seconds, wave)


def _write(work: Path, number: int, given: Job) -> str:
    """The files of a job; returns the name of the one that names the others."""
    names = {key: f"{key}{number}.bin" for key in ("image", "inputs", "outputs")}
    (work / names["image"]).write_bytes(image_bytes(given))
    given.frames.tofile(work / names["inputs"])
    text = job(given.plan, len(given.frames), **names)
    text += "".join(f"fault {f.kind} {f.at} {f.cycles}\n" for f in given.faults)
    (work / f"job{number}.txt").write_text(text)
    return f"job{number}.txt"


def image_bytes(given: Job) -> bytes:
    """Where external memory begins. Raises UserError for a file that is not such an image."""
    program, size = given.plan.program, given.plan.shape.bus_bytes
    if given.image is None:
        return program.memory[: program.writable].tobytes()
    words = read_words(given.image, ImageShape(program.writable // size, 8 * size))
    return b"".join(word.to_bytes(size, "little") for word in words)


def _read(file: Path, given: Job, stats: dict[str, Any]) -> JobRun:
    output = np.fromfile(file, np.uint8).reshape(len(given.frames), output_area(given.plan)[1])
    return job_run(given.plan, output, stats)


def job_run(plan: TiledPlan, output: ByteArray, stats: dict[str, Any], **kept: Any) -> JobRun:
    """What a bench says of a job: the bytes of regions are a list, in their order.

    kept : fields of JobRun that not every bench has.
    """
    names = [*regions(plan.program), "(outside)"]
    moved = {
        key: dict(zip(names, stats[key], strict=True)) for key in ("read_bytes", "written_bytes")
    }
    values: dict[str, Any] = stats | moved | kept
    return JobRun(output=output, **values)
