"""What every verification is made of: frames, the first difference, the result that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..aliases import Array, Progress
from ..emit.package import vector_keys
from ..errors import OptionError, UserError, shown
from ..ir import Graph
from ..ir.graph import check_inputs
from ..plan.timeline import Span
from ..values import integer, truth
from .engine import SimulationRun
from .memory import Memory
from .package_files import PackageFiles

RANDOM_SEED = 1
VECTORS, RANDOM, GIVEN = "vectors", "random", "given"
"""Where the frames of a verification come from: the package, a seed, the user."""
EXAMPLES = 8
"""Given frames that the results keep, with their outputs, for the report."""
_LARGEST_EXAMPLE = 4096
_MOST_RANDOM = 1 << 27
"""Elements of random frames: 1 GiB as 64-bit integers."""


@dataclass(frozen=True)
class Difference:
    """The first element that differs: in which layer, at which index, and both values.

    output : of several outputs the one that shows it.
    """

    frame: int
    layer: str
    index: tuple[int, ...]
    expected: int
    got: int
    output: str | None = None

    def __str__(self) -> str:
        at = "" if self.output is None else f"output {self.output!r}, "
        place = f"channel {self.index[-1]}"
        if len(self.index) == 3:
            place = f"row {self.index[0]}, column {self.index[1]}, {place}"
        return (
            f"{at}frame {self.frame}, layer {self.layer!r}, {place}: "
            f"expected {self.expected}, got {self.got}"
        )


@dataclass(frozen=True, repr=False)
class Verification:
    """Result of a verification.

    frames : were compared. difference : the first one, or how the design broke its streams'
    contract; then there are no cycles and no outputs. arrays : what the RTL gave, by the output's
    name, in the order of the stream (``hwgen.verify`` returns them in that of the model file).
    changed : files of the RTL that are not as build made them. source : where the frames come from,
    VECTORS, RANDOM or GIVEN. timeline : when everything began and ended, where that was asked for.
    """

    simulator: str
    frames: int
    difference: Difference | str | None
    run: SimulationRun
    interval: int | None
    latency: int | None
    arrays: dict[str, Array]
    changed: tuple[str, ...] = ()
    source: str = VECTORS
    timeline: tuple[Span, ...] = ()

    def __repr__(self) -> str:
        if self.difference is not None:
            return f"<Verification: RTL differs from golden: {self.difference}>"
        return (
            f"<Verification: RTL equals golden on {self.frames:,} frames ({self.simulator}), "
            f"interval {self.interval} cycles, latency {self.latency}>"
        )

    @property
    def equal(self) -> bool:
        """Whether every output bit is the golden one."""
        return self.difference is None

    @property
    def outputs(self) -> Any:
        """What the RTL gave: the array of the only output, or those of several by their names."""
        return self.arrays if len(self.arrays) > 1 else next(iter(self.arrays.values()))


@dataclass(frozen=True)
class VerifyRequest:
    """What is asked of a verification.

    simulator : its name; None: the quickest that is there. inputs : integers (frames, *shape) of
    each input by its name, in the order of the model file;
    random : so many seeded frames; neither: the package's vectors. wave : write a waveform.
    memory : how external memory answers; None: nothing was said. trace : measure when everything
    begins and ends. say : is told the progress.

    Raises OptionError where one of them is not of its kind, or there are both inputs and random.
    """

    say: Progress
    simulator: str | None = None
    inputs: Mapping[str, Array] | None = None
    random: int | None = None
    wave: bool = False
    memory: Memory | None = None
    trace: bool = False

    def __post_init__(self) -> None:
        if self.inputs is not None and self.random is not None:
            raise OptionError("give one of --inputs and --random")
        if self.random is not None:
            object.__setattr__(self, "random", integer("--random", self.random))
        if self.memory is not None and not isinstance(self.memory, Memory):
            raise OptionError(f"memory {shown(self.memory)}: give hwgen.Memory(latency=20, rate=1)")
        truth("--wave", self.wave)
        truth("--trace", self.trace)


def frames_of(package: PackageFiles, request: VerifyRequest) -> dict[str, Array]:
    """The inputs (frames, *shape) by their names, in the edges' order: those given, random ones, or
    the package's vectors.

    Raises UserError where they do not fit.
    """
    graph = package.graph
    if request.inputs is not None:
        given = graph.inward(request.inputs)
    elif request.random is not None:
        given = _random_frames(graph, request.random)
    else:
        with np.load(package.file("vectors/vectors.npz"), allow_pickle=False) as vectors:
            keys, _ = vector_keys(graph)
            given = graph.inward({name: vectors[key] for name, key in keys.items()})
    checked, frames = check_inputs(graph, given)
    if not frames:
        raise UserError(f"input {graph.inputs[0].name!r} has no frames")
    return checked


def _random_frames(graph: Graph, frames: int) -> dict[str, Array]:
    most = max(1, _MOST_RANDOM // sum(x.size for x in graph.inputs))
    if not 1 <= frames <= most:
        raise OptionError(f"--random {frames}: give 1 to {most} frames")
    generator = np.random.default_rng(RANDOM_SEED)
    return {
        x.name: generator.integers(x.type.min, x.type.max + 1, (frames, *x.shape))
        for x in graph.inputs
    }


def check_trace(request: VerifyRequest, simulator: str) -> None:
    """Raises OptionError where a timeline is asked of a simulator that does not measure one."""
    if request.trace and simulator != "verilator":
        raise OptionError(
            f"--trace: {simulator} does not measure when units begin and end",
            hint="use --sim verilator ('hwgen doctor' says what it needs)",
        )


def source_of(request: VerifyRequest) -> str:
    """Where ``frames_of`` takes the frames from."""
    if request.inputs is not None:
        return GIVEN
    return VECTORS if request.random is None else RANDOM


def first_difference(layer: str, expected: Any, got: Any) -> Difference | None:
    """The first element in which integers (frames, *shape) differ; None where they are equal."""
    wrong = np.argwhere(expected != got)
    if not len(wrong):
        return None
    at = tuple(int(i) for i in wrong[0])
    return Difference(at[0], layer, at[1:], int(expected[at]), int(got[at]))


def common_results(
    package: PackageFiles, verification: Verification, given: Mapping[str, Array] | None
) -> dict[str, Any]:
    """What results/verify.json says of any architecture, with some frames that the user gave."""
    value: dict[str, Any] = {
        "simulator": verification.simulator,
        "frames": verification.frames,
        "source": verification.source,
        "equal": verification.equal,
        "difference": str(verification.difference) if verification.difference else None,
        "cycles": {
            "interval": verification.interval,
            "latency": verification.latency,
        },
        "seconds": round(verification.run.seconds, 3),
        "changed": list(verification.changed),
    }
    small = sum(x.size for x in package.graph.inputs) <= _LARGEST_EXAMPLE
    if given is not None and small and not isinstance(verification.difference, str):
        value["examples"] = {"inputs": _shown(given), "outputs": _shown(verification.arrays)}
    return value


def _shown(arrays: Mapping[str, Array]) -> Any:
    """The first frames as flat lists: of the only array, or of several by their names."""
    lists = {
        name: a[:EXAMPLES].reshape(len(a[:EXAMPLES]), -1).tolist() for name, a in arrays.items()
    }
    return lists if len(lists) > 1 else next(iter(lists.values()))
