"""Verification of a dataflow package: the RTL against the golden model, every bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...aliases import Arrays, Progress
from ...emit.packing import pack_all, unpack_all, unpack_bits
from ...errors import OptionError, UserError
from ...flow.comparison import (
    Difference,
    Verification,
    VerifyRequest,
    check_trace,
    common_results,
    first_difference,
    frames_of,
    source_of,
)
from ...flow.engine import DesignFault, SimulationRun
from ...flow.images import check_changed
from ...ir import execute
from ...numeric import ceil_div
from ...plan.dataflow.events.simulation import steady_interval
from ..package import Package
from .simulators import ENGINES, MEASURED_FRAMES, default_simulator
from .timeline import measured

_NO_MEMORY = "leave out --mem-latency, --mem-rate and --mem-gaps"


def verify(package: Package, request: VerifyRequest) -> Verification:
    """Simulate a package's RTL and compare it with its own legalized graph.

    Keeps results/verify.json. Raises UserError for a request that does not fit or a missing
    simulator, ToolError when a simulator fails.
    """
    say, wave = request.say, request.wave
    name = request.simulator or default_simulator()
    if request.memory is not None:
        raise OptionError("the dataflow architecture has no external memory", hint=_NO_MEMORY)
    check_trace(request, name)
    graph, plan = package.graph, package.plan
    given, source = frames_of(package, request), source_of(request)
    frames = len(next(iter(given.values())))
    repeated = _resized(given, max(frames, MEASURED_FRAMES[name]))
    changed = tuple(package.changed())
    check_changed(package, changed)
    try:
        run = _simulate(package, name, repeated, wave, say)
    except DesignFault as fault:
        nothing = {y: np.zeros((0, *graph.tensors[y].shape), np.int64) for y in graph.outputs}
        run = SimulationRun({}, [], [], 0.0)
        found = Verification(name, frames, str(fault), run, None, None, nothing, changed, source)
        return _recorded(package, found, None)
    got = unpack_all(run.outputs, plan.outputs, graph)
    say("comparing with the golden model")
    difference = _compared(_resized(execute(graph, given), len(run.ends)), got)
    if difference is not None:
        say(f"frame {difference.frame} differs: looking for the first wrong layer")
        difference = _locate(package, name, repeated, difference, say)
    verification = Verification(
        simulator=name,
        frames=frames,
        difference=difference,
        run=run,
        interval=steady_interval(run.ends),
        latency=run.ends[0] - run.first[0] + 1,
        arrays={name: array[:frames] for name, array in got.items()},
        changed=changed,
        source=source,
        timeline=tuple(measured(plan, run)) if request.trace else (),
    )
    return _recorded(package, verification, None if request.inputs is None else given)


def _resized(arrays: Arrays, frames: int) -> Arrays:
    """So many frames, repeated from the first one on."""
    return {name: np.resize(a, (frames, *a.shape[1:])) for name, a in arrays.items()}


def _compared(expected: Arrays, got: Arrays) -> Difference | None:
    """The first difference: of the earliest frame, there of the first output."""
    found = [first_difference(name, expected[name], array) for name, array in got.items()]
    seen = [each for each in found if each is not None]
    if not seen:
        return None
    first = min(seen, key=lambda each: each.frame)
    return first if len(got) == 1 else replace(first, output=first.layer)


def _simulate(
    package: Package, name: str, frames: Arrays, wave: bool, say: Progress
) -> SimulationRun:
    beats = pack_all(frames, package.plan.inputs)
    if not wave:
        return ENGINES[name](package, beats, False, None, say)
    file = package.path / "results" / "wave.vcd"
    try:
        file.parent.mkdir(exist_ok=True)
        for earlier in (file, file.with_suffix(".fst")):
            earlier.unlink(missing_ok=True)
        run = ENGINES[name](package, beats, False, file, say)
    except OSError as error:
        raise UserError(f"can not be written ({error.strerror})", file=file) from None
    if run.wave is None or not run.wave.is_file():
        raise UserError("the waveform can not be written", file=file)
    return run


def _locate(
    package: Package, name: str, frames: Arrays, seen: Difference, say: Progress
) -> Difference:
    """The first wrong layer of the first wrong frame: simulate again, watching every stream."""
    graph, plan = package.graph, package.plan
    upto = {name: array[: seen.frame + 1] for name, array in frames.items()}
    run = ENGINES[name](package, pack_all(upto, plan.inputs), True, None, say)
    layers = [unit.layers[-1] for unit in plan.units if unit.layers]
    golden = execute(graph, {name: array[-1:] for name, array in upto.items()}, edges=layers)
    for unit in plan.units:
        taps = run.edges.get(unit.name)
        if not unit.layers or taps is None or len(taps) <= seen.frame:
            continue
        edge = graph.tensors[unit.layers[-1]]
        got = unpack_bits(taps[seen.frame : seen.frame + 1], unit.output, edge.type, edge.shape)
        difference = first_difference(edge.name, golden[edge.name], got)
        if difference is not None:
            return replace(difference, frame=seen.frame, output=seen.output)
    return seen


def _recorded(package: Package, verification: Verification, given: Arrays | None) -> Verification:
    """Write results/verify.json.

    Levels and busy cycles do not depend on the data: where this simulator does not watch them,
    those of an earlier run of the same design stay.
    """
    run, frames = verification.run, len(verification.run.ends)
    levels, work = run.levels, None
    if run.work is not None:
        work = {name: ceil_div(cycles, frames) for name, cycles in run.work.items()}
    earlier = package.result("verify")
    if levels is None and verification.equal and earlier and earlier["equal"]:
        levels, work = earlier["high_water"], earlier["busy"]
    value = common_results(package, verification, given) | {
        "frames_simulated": frames,
        "high_water": levels,
        "busy": work,
    }
    package.write_result("verify", value)
    return verification
