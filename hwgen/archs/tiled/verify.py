"""Verification of a tiled package: the outputs, and where they differ every tensor between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...aliases import Progress
from ...contract.isa import ErrorCode
from ...errors import UserError
from ...flow.comparison import (
    Difference,
    Verification,
    VerifyRequest,
    common_results,
    first_difference,
    frames_of,
    source_of,
)
from ...flow.engine import DesignFault, SimulationRun
from ...flow.images import check_changed
from ...flow.memory import Memory
from ...ir import execute
from ...plan.tiled import timing as cycles_of
from ...plan.tiled.plan import TiledPlan
from ..package import Package
from . import cocotb_run
from . import simulation as tiled_sim
from .ends import input_bytes, outputs_of
from .simulation import Job, JobRun, Runs
from .stored import memory_fault, stored_differences
from .timeline import measured

SIMULATOR = "verilator"
"""Runs the bench in C++ where no simulator is named, which is the quickest; one that is named runs
the cocotb bench, which looks at all that is stored."""
COMPILED, COCOTB = "c++", "cocotb"
"""Kinds of benches."""


class _Simulate(Protocol):
    """How jobs are run on a package's engine (see ``simulation.run``)."""

    def __call__(
        self,
        package: Package,
        jobs: Sequence[Job],
        memory: Memory,
        wave: Path | None,
        say: Progress,
    ) -> Runs: ...


def verify(package: Package, request: VerifyRequest) -> Verification:
    """Simulate a package's engine and compare what it stores with the package's own graph.

    Keeps results/verify.json. Raises UserError for a request that does not fit or a missing
    simulator, ToolError when the simulation fails.
    """
    say, memory = request.say, request.memory or Memory()
    simulator = request.simulator or SIMULATOR
    bench = COMPILED if request.simulator is None else COCOTB
    simulate: _Simulate = tiled_sim.run if bench == COMPILED else partial(cocotb_run.run, simulator)
    graph, plan = package.graph, package.plan
    inputs, origin = frames_of(package, request), source_of(request)
    frames = len(inputs[graph.inputs[0].name])
    changed = tuple(package.changed())
    check_changed(package, changed)
    job = Job(plan, input_bytes(plan, inputs), package.path / "mem" / "image.hex")
    file = _wave_file(package) if request.wave else None
    try:
        runs = simulate(package, [job], memory, file, say)
    except DesignFault as fault:
        ends = [graph.tensors[name] for name in graph.outputs]
        nothing = {y.name: np.zeros((0, *y.shape), np.int64) for y in ends}
        empty = SimulationRun({}, [], [], 0.0)
        found = Verification(
            simulator, frames, str(fault), empty, None, None, nothing, changed, origin
        )
        return _recorded(package, found, None, memory, None, bench)
    if file is not None and (runs.wave is None or not runs.wave.is_file()):
        raise UserError("the waveform can not be written", file=file)
    run = runs.jobs[0]
    got = outputs_of(plan, run.output)
    say("comparing with the golden model")
    golden = execute(graph, inputs)
    difference: Difference | str | None = _stopped(plan, run)
    if difference is None:
        seen = next(filter(None, (first_difference(n, golden[n], got[n]) for n in got)), None)
        if seen is not None:
            say(f"frame {seen.frame} differs: looking for the first wrong layer")
            seen = _locate(package, simulate, job, inputs, seen, memory, say)
        difference = seen or _wrong_in_memory(package, run, inputs)
    cycles = None if isinstance(difference, str) else max(run.cycles)
    complete = cycles is not None and len(run.tiles) == plan.tiles
    timeline = measured(plan, run) if request.trace and complete else []
    simulation = SimulationRun({}, [], [], runs.seconds, wave=runs.wave)
    verification = Verification(
        simulator, frames, difference, simulation, cycles, cycles, got, changed, origin,
        tuple(timeline),
    )  # fmt: skip
    kept = None if request.inputs is None else inputs
    return _recorded(package, verification, kept, memory, run, bench)


def _wave_file(package: Package) -> Path:
    file = package.path / "results" / "wave.vcd"
    try:
        file.parent.mkdir(exist_ok=True)
        for earlier in (file, file.with_suffix(".fst")):
            earlier.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"can not be written ({error.strerror})", file=file) from None
    return file


def _stopped(plan: TiledPlan, run: JobRun) -> str | None:
    """How the first run that did not come to its end was stopped."""
    for frame, (code, layer) in enumerate(zip(run.errors(), run.layer, strict=True)):
        if code is not ErrorCode.NONE:
            where = f" in layer {plan.tasks[layer].name!r}" if layer < len(plan.tasks) else ""
            return f"frame {frame}: the engine stopped with error {code.name}{where}"
    return None


def _wrong_in_memory(
    package: Package, run: JobRun, inputs: Mapping[str, np.ndarray[Any, Any]]
) -> Difference | str | None:
    """What is wrong in external memory after the first such frame, where a bench kept it."""
    if run.after is None or run.stored is None:
        return None
    graph = package.graph
    for frame, (memory, written) in enumerate(zip(run.after, run.stored, strict=True)):
        one = {name: array[frame : frame + 1] for name, array in inputs.items()}
        golden = execute(graph, one, list(graph.tensors))
        fault = memory_fault(package.plan, memory, written, golden, frame)
        if fault is not None:
            return fault
    return None


def _locate(
    package: Package,
    simulate: _Simulate,
    job: Job,
    inputs: Mapping[str, np.ndarray[Any, Any]],
    seen: Difference,
    memory: Memory,
    say: Progress,
) -> Difference:
    """The first wrong layer of the first wrong frame.

    A program that stores every tensor shows all of them; where it does no wrong, because the
    package's own image is at fault, the tensors which that one stores.
    """
    graph, frame = package.graph, seen.frame
    golden = execute(
        graph, {name: a[frame : frame + 1] for name, a in inputs.items()}, list(graph.tensors)
    )
    only = job.frames[frame : frame + 1]
    for trial in (Job(package.plan.outside(), only), Job(job.plan, only, job.image)):
        try:
            stored_bytes = simulate(package, [trial], memory, None, say).memory
        except DesignFault:
            continue
        for _, found in stored_differences(trial.plan, stored_bytes, golden):
            if found is not None:
                return replace(found, frame=frame)
    return seen


def _recorded(
    package: Package,
    verification: Verification,
    given: Mapping[str, np.ndarray[Any, Any]] | None,
    memory: Memory,
    run: JobRun | None,
    bench: str,
) -> Verification:
    """Write results/verify.json."""
    value = common_results(package, verification, given)
    value["bench"] = bench
    value["memory"] = asdict(memory)
    plan = package.plan
    # A program that was changed may end early, without an error.
    if run is not None and verification.interval is not None and len(run.tiles) == plan.tiles:
        frames = len(run.cycles)
        cycles = plan.task_cycles(run.tiles)
        value["bytes"] = {
            name: {
                "read": run.read_bytes[name] // frames,
                "written": run.written_bytes[name] // frames,
            }
            for name in run.read_bytes
        }
        value["beats"] = {"read": run.read_beats[0], "written": run.write_beats[0]}
        value["buffer_bytes"] = {
            task.name: words.bytes(plan.shape)
            for task, words in zip(plan.tasks, plan.task_words(run.words), strict=True)
        }
        value["steps"] = run.steps
        value["busy"] = {task.name: n for task, n in zip(plan.tasks, cycles, strict=True)}
        if memory.regular:
            expected = plan.estimate(cycles_of.MemoryTiming(memory.latency, memory.rate))
            names = [task.name for task in plan.tasks]
            value["predicted"] = {
                "interval": expected.cycles,
                "busy": dict(zip(names, expected.tasks, strict=True)),
            }
    package.write_result("verify", value)
    return verification
