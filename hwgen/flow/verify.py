"""Verification: the RTL against the golden model, every bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..emit.packing import pack, unpack, unpack_bits
from ..errors import UserError
from ..ir import Tensor, check_input, execute
from ..plan.events import steady_interval
from . import icarus_sim, python_sim, tools, verilator_sim
from .engine import ByteArray, DesignFault, Progress, SimulationRun
from .package_files import Package

Engine = Callable[[Package, ByteArray, bool, "Path | None", Progress], SimulationRun]

ENGINES: dict[str, Engine] = {
    "verilator": verilator_sim.run,
    "icarus": icarus_sim.run,
    "python": python_sim.run,
}
"""Simulators by the name that --sim takes."""

MEASURED_FRAMES = {"verilator": 8, "icarus": 4, "python": 3}
"""Fewest frames of a run, so that the steady state is reached; inputs are repeated for it."""

RANDOM_SEED = 1


@dataclass(frozen=True)
class Difference:
    """The first element that differs: in which layer, at which index, and both values."""

    frame: int
    layer: str
    index: tuple[int, ...]
    expected: int
    got: int

    def __str__(self) -> str:
        place = f"channel {self.index[-1]}"
        if len(self.index) == 3:
            place = f"row {self.index[0]}, column {self.index[1]}, {place}"
        return (
            f"frame {self.frame}, layer {self.layer!r}, {place}: "
            f"expected {self.expected}, got {self.got}"
        )


@dataclass(frozen=True)
class Verification:
    """Result of a verification.

    frames : were compared. difference : the first one, or how the design broke its streams'
    contract; then there are no cycles and no outputs. outputs : what the RTL gave. changed : files
    of the RTL that are not as build made them.
    """

    simulator: str
    frames: int
    difference: Difference | str | None
    run: SimulationRun
    interval: int | None
    latency: int | None
    outputs: np.ndarray[Any, Any]
    changed: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether every output bit is the golden one."""
        return self.difference is None


def default_simulator() -> str:
    """The quickest simulator that is there."""
    return "verilator" if tools.can_compile() else "python"


def verify(
    package: Package,
    simulator: str | None = None,
    inputs: np.ndarray[Any, Any] | None = None,
    random: int | None = None,
    wave: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Simulate a package's RTL and compare it with its own legalized graph.

    Inputs are integers (frames, *shape) given, or ``random`` seeded frames, or the package's
    vectors. Writes results/verify.json. Raises UserError for inputs that do not fit or a missing
    simulator, ToolError when a simulator fails.
    """
    say = progress or (lambda text: None)
    name = simulator or default_simulator()
    if name not in ENGINES:
        raise UserError(f"simulator {name!r} is not one of {', '.join(ENGINES)}")
    graph, plan = package.graph, package.plan
    x = graph.inputs[0]
    given = _frames(package, x, inputs, random)
    frames = len(given)
    repeated = np.resize(given, (max(frames, MEASURED_FRAMES[name]), *x.shape))
    changed = tuple(package.changed())
    result = graph.tensors[graph.outputs[0]]
    try:
        run = _simulate(package, name, repeated, wave, say)
    except DesignFault as fault:
        nothing = np.zeros((0, *result.shape), np.int64)
        run = SimulationRun(np.zeros((0, 0, 0), np.uint8), [], [], 0.0)
        found = Verification(name, frames, str(fault), run, None, None, nothing, changed)
        return _recorded(package, found, None)
    got = unpack(run.output, plan.output, result.type, result.shape)
    say("comparing with the golden model")
    golden = execute(graph, {x.name: given})[result.name]
    expected = np.resize(golden, got.shape)
    difference = _first_difference(result.name, expected, got)
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
        outputs=got[:frames],
        changed=changed,
    )
    return _recorded(package, verification, None if inputs is None else given)


def _simulate(
    package: Package, name: str, frames: np.ndarray[Any, Any], wave: bool, say: Progress
) -> SimulationRun:
    beats = pack(frames, package.plan.input)
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


def _frames(
    package: Package, x: Tensor, inputs: np.ndarray[Any, Any] | None, random: int | None
) -> np.ndarray[Any, Any]:
    if inputs is not None:
        checked = check_input(x, inputs)
    elif random is not None:
        if random < 1:
            raise UserError(f"--random {random}: at least 1 frame is needed")
        generator = np.random.default_rng(RANDOM_SEED)
        checked = generator.integers(x.type.min, x.type.max + 1, (random, *x.shape))
    else:
        with np.load(package.file("vectors/vectors.npz"), allow_pickle=False) as vectors:
            checked = check_input(x, vectors["x"])
    if not len(checked):
        raise UserError(f"input {x.name!r} has no frames")
    return checked


def _first_difference(layer: str, expected: Any, got: Any) -> Difference | None:
    wrong = np.argwhere(expected != got)
    if not len(wrong):
        return None
    at = tuple(int(i) for i in wrong[0])
    return Difference(at[0], layer, at[1:], int(expected[at]), int(got[at]))


def _locate(
    package: Package, name: str, frames: np.ndarray[Any, Any], seen: Difference, say: Progress
) -> Difference:
    """The first wrong layer of the first wrong frame: simulate again, watching every stream."""
    graph, plan = package.graph, package.plan
    upto = frames[: seen.frame + 1]
    run = ENGINES[name](package, pack(upto, plan.input), True, None, say)
    layers = [unit.layers[-1] for unit in plan.units if unit.layers]
    golden = execute(graph, {graph.inputs[0].name: upto[-1:]}, edges=layers)
    for unit in plan.units:
        taps = run.edges.get(unit.name)
        if not unit.layers or taps is None or len(taps) <= seen.frame:
            continue
        edge = graph.tensors[unit.layers[-1]]
        got = unpack_bits(taps[seen.frame : seen.frame + 1], unit.output, edge.type, edge.shape)
        difference = _first_difference(edge.name, golden[edge.name], got)
        if difference is not None:
            return Difference(
                seen.frame, edge.name, difference.index, difference.expected, difference.got
            )
    return seen


EXAMPLES = 8
"""Given frames that the results keep, with their outputs, for the report."""
_LARGEST_EXAMPLE = 4096


def _recorded(
    package: Package, verification: Verification, given: np.ndarray[Any, Any] | None
) -> Verification:
    """Write results/verify.json, with some frames that the user gave.

    Levels and busy cycles do not depend on the data: where this simulator does not watch them,
    those of an earlier run of the same design stay.
    """
    run, frames = verification.run, len(verification.run.ends)
    levels, work = run.levels, None
    if run.work is not None:
        work = {name: -(-cycles // frames) for name, cycles in run.work.items()}
    earlier = package.result("verify")
    if levels is None and verification.equal and earlier and earlier["equal"]:
        levels, work = earlier["high_water"], earlier["busy"]
    value = {
        "simulator": verification.simulator,
        "frames": verification.frames,
        "equal": verification.equal,
        "difference": str(verification.difference) if verification.difference else None,
        "cycles": {
            "interval": verification.interval,
            "latency": verification.latency,
        },
        "frames_simulated": frames,
        "seconds": round(run.seconds, 3),
        "high_water": levels,
        "busy": work,
        "changed": list(verification.changed),
    }
    small = package.graph.inputs[0].size <= _LARGEST_EXAMPLE
    if given is not None and small and len(verification.outputs):
        shown = slice(0, EXAMPLES)
        value["examples"] = {
            "inputs": given[shown].reshape(len(given[shown]), -1).tolist(),
            "outputs": verification.outputs[shown].reshape(len(given[shown]), -1).tolist(),
        }
    package.write_result("verify", value)
    return verification
