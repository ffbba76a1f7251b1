"""Runs a tiled package's engine under cocotb: programs and frames in, external memory out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.aliases import Progress
from hwgen.archs.package import Package
from hwgen.archs.tiled.ends import input_area, output_area
from hwgen.archs.tiled.files import regions
from hwgen.archs.tiled.simulation import Job, JobRun, Runs, image_bytes, job_run
from hwgen.contract.engine import EngineShape
from hwgen.contract.identity import engine_hash
from hwgen.flow.memory import Memory
from hwgen.flow.workplace import plain_directory
from hwgen.gateware.bus.axilite import identity_values
from hwgen.gateware.engine.compute.tile_array import EVENTS, TileArray
from hwgen.gateware.engine.csr import VERSION, shape_values

from . import runner
from .bench_engine import JOB
from .runner import BenchError, Build, SimulatorMissing

TITLES = {"icarus": "Icarus Verilog", "verilator": "Verilator"}
QUIET_LIMIT = 100_000
"""Cycles in which nothing moves, after which an engine hangs."""
LOOK_EVERY_S = 0.5
"""How often it is looked how far a simulation is."""


def build_engine(package: Package, simulator: str, folder: Path, wave: bool = False) -> Build:
    """A package's RTL with its probe, compiled for any number of ``run_engine``. Errors as of
    runner.build."""
    sources = [*sorted((package.path / "rtl").glob("*.v")), package.file("tb/probe.v")]
    return runner.build(sources, "probe", simulator, folder, wave=wave)


def run_engine(
    package: Package,
    simulator: str | Build,
    jobs: Sequence[Job],
    memory: Memory,
    wave: Path | None,
    say: Progress,
) -> Runs:
    """Run jobs one after the other, without a reset between them, on a package's engine.

    ``simulator`` is a name, or what ``build_engine`` made of the package. A job's faults are not
    carried out here. The runs have the memory after each frame.

    Raises BenchError when the engine hangs, breaks the rules of AXI, gives undefined bits, or its
    registers are wrong; SimulatorMissing; ToolError when the build fails.
    """
    if any(given.faults for given in jobs):
        raise ValueError("the cocotb bench has no faults")
    shape = package.plan.shape
    with plain_directory() as work:
        tasks = [_task(work, n, given) for n, given in enumerate(jobs)]
        job = {
            "tiles": shape.tiles,
            "identity": identity_values(VERSION, engine_hash(shape)) | shape_values(shape),
            "memory": asdict(memory),
            "quiet_limit": QUIET_LIMIT,
            "progress": str(work / "progress.txt"),
            "tasks": tasks,
        }
        (work / "job.json").write_text(json.dumps(job))
        if isinstance(simulator, str):
            say(f"compiling with {TITLES[simulator]}")
            simulator = build_engine(package, simulator, work / "build", wave is not None)
        frames = sum(len(given.frames) for given in jobs)
        say(f"simulating {frames} frames with {TITLES[simulator.simulator]}")
        with _told(work / "progress.txt", say):
            ran = runner.test(
                simulator, ["hwgen_sim.bench_engine"], work / "run",
                env={JOB: str(work / "job.json")}, wave=wave,
            )  # fmt: skip
        done = [_run(task, given, shape) for task, given in zip(tasks, jobs, strict=True)]
    return Runs([run for run, _ in done], done[-1][1], ran.seconds, ran.wave)


def _task(work: Path, number: int, given: Job) -> dict[str, Any]:
    """What the bench is told of a job, and the files for it."""
    program = given.plan.program
    names = ("image", "frames", "after", "stored")
    files = {name: str(work / f"{name}{number}.npy") for name in names}
    np.save(files["image"], np.frombuffer(image_bytes(given), np.uint8))
    np.save(files["frames"], given.frames)
    return files | {
        "result": str(work / f"result{number}.json"),
        "memory": len(program.memory),
        "program": program.start,
        "program_end": program.end,
        "engine": engine_hash(given.plan.shape),
        "writable": program.writable,
        "input_at": input_area(given.plan)[0],
        "cycles": given.plan.estimate().cycles,
        "beats": sum(given.plan.beats),
        "regions": [*regions(program).values()],
    }


def _run(task: dict[str, Any], given: Job, shape: EngineShape) -> tuple[JobRun, np.ndarray]:
    """What a job gave, and the memory after its last frame."""
    seen = json.loads(Path(task["result"]).read_text())
    after, stored = np.load(task["after"]), np.load(task["stored"])
    start, size = output_area(given.plan)
    output = after[:, start : start + size]
    moves = np.array(seen.pop("moves"), np.int64).reshape(-1, 2)
    registers = {"cycles": "CYCLES", "status": "STATUS", "layer": "ERROR_LAYER",
                 "read_beats": "READ_BEATS", "write_beats": "WRITE_BEATS"}  # fmt: skip
    stats = seen | {key: seen[name] for key, name in registers.items()}
    for name in registers.values():
        del stats[name]
    stats["words"] = [
        _words(shape, unit, moves, np.array(begun)) for unit, begun in enumerate(seen["begun"])
    ]
    run = job_run(given.plan, np.ascontiguousarray(output), stats, after=after, stored=stored)
    return run, after[-1]


def _words(
    shape: EngineShape, unit: int, moves: np.ndarray, begun: np.ndarray
) -> dict[str, list[int]]:
    """Words that each tile of a unit moved, by what they are: they move a fixed time after their
    step, when the next tile may have begun."""
    fields = dict(iter(EVENTS))
    found = {}
    for name, delay in TileArray.delays(shape).items():
        low = unit * EVENTS.size + fields[name].offset
        counts = moves[:, 1] >> low & (1 << fields[name].width) - 1
        tiles = np.searchsorted(begun + delay, moves[:, 0]) - 1
        of_tiles = np.zeros(len(begun), np.int64)
        kept = counts > 0
        if (tiles[kept] < 0).any():
            raise BenchError("words move before there is a tile", ("words move before a tile",))
        np.add.at(of_tiles, tiles[kept], counts[kept])
        found[name] = of_tiles.tolist()
    return found


@contextmanager
def _told(file: Path, say: Progress) -> Iterator[None]:
    """Say what a simulation writes into a file while it runs."""
    ended = threading.Event()

    def look() -> None:
        last = ""
        while not ended.wait(LOOK_EVERY_S):
            text = file.read_text() if file.exists() else ""
            if text and text != last:
                last = text
                say(f"simulating {text}")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


__all__ = ["BenchError", "SimulatorMissing", "build_engine", "run_engine"]
