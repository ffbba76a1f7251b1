"""The Python API: the same steps as the command line, which is a thin user of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import importers
from .aliases import Progress
from .archs.choices import asked_for, with_options
from .archs.package import Package, files_of
from .archs.reporting import write_report
from .emit.package import Source, manifest, write_package
from .emit.place import replacing
from .errors import OptionError, UserError, naming, shown
from .flow.c_engine import CEngine
from .flow.comparison import Verification, VerifyRequest
from .flow.fpga.synth import SEED, TARGET_MHZ
from .flow.fpga.synth import synthesize as _synthesize
from .flow.memory import Memory
from .ir import Graph, execute
from .ir.reals import integers_of
from .numeric import QType, dequantize, parse_type
from .passes.tail import TAILS, without_tail
from .plan.protocol import Plan
from .values import function, integer, kind, number, one_of, path_of, truth

ENGINES = ("golden", "c")
"""What computes the outputs of a graph."""


def load(
    path: str | Path,
    input_type: QType | str | None = None,
    runtime: str | None = None,
) -> Graph:
    """Read a model file into a graph.

    Parameters
    ----------
    path : a QKeras, HGQ2, TensorFlow Lite, ONNX or hwgen JSON file.
    input_type : type of the input where the model states none, as ``"u8.8"``: unsigned, 8 bits, 8
        of them fractional.
    runtime : whose integers a TensorFlow Lite file means: ``"tflm"``, ``"xnnpack"`` or
        ``"reference"``.

    Raises UserError where the file can not be read or holds something unsupported.

    Example
    -------
    >>> graph = hwgen.load("mnist_cnn.h5")
    """
    return importers.load(path_of("load", path), input_type=_type(input_type), runtime=runtime)


@with_options
def plan(
    graph: Graph,
    multipliers: int | None = None,
    interval: int | None = None,
    plan_file: str | Path | None = None,
    tail: str | None = None,
    progress: Progress | None = None,
    arch: str | None = None,
    **options: Any,
) -> Plan:
    """Plan the hardware of a graph, with its cycles and memories.

    Parameters
    ----------
    graph : what ``load`` gave.
    multipliers : how many at most.
    interval : cycles between frames to reach with as few multipliers as possible (dataflow).
    plan_file : a plan.json, instead of any of the options.
    tail : ``"host"`` leaves a last softmax or argmax to the host.
    progress : is called with a sentence at each step.
    arch : ``"dataflow"``, if nothing is said, or ``"tiled"``.
    options : those of the architecture, as on the command line: ``array=(8, 8)``.

    Raises UserError where it can not be done.

    Example
    -------
    >>> plan = hwgen.plan(graph, multipliers=64)
    >>> plan.interval_bound
    5488
    """
    if not isinstance(graph, Graph):
        hint = f"hwgen.plan(hwgen.load({str(graph)!r}))" if isinstance(graph, (str, Path)) else None
        raise UserError(f"plan() takes a graph, not {kind(graph)}", hint=hint)
    own = {"multipliers": multipliers, "interval": interval} | options
    asked = asked_for(arch, None if plan_file is None else path_of("plan", plan_file), own)
    tail, progress = _tail(tail), function("progress", progress)
    return asked.plan(asked.legal(_without_tail(graph, tail)), progress)


def _tail(tail: Any) -> str | None:
    return None if tail is None else one_of("--tail", tail, TAILS)


def _without_tail(graph: Graph, tail: str | None) -> Graph:
    return graph if tail is None else without_tail(graph)


def _say(progress: Progress | None) -> Progress:
    """Who is told the progress, whether anybody listens or not."""
    return function("progress", progress) or (lambda text: None)


@with_options
def build(
    model: str | Path,
    out: str | Path,
    multipliers: int | None = None,
    interval: int | None = None,
    plan_file: str | Path | None = None,
    input_type: QType | str | None = None,
    runtime: str | None = None,
    tail: str | None = None,
    progress: Progress | None = None,
    c: bool = False,
    arch: str | None = None,
    **options: Any,
) -> Package:
    """Make a package of a model file: Verilog, memory images, a bench, a report.

    Parameters
    ----------
    model : the file that ``load`` reads; ``input_type`` and ``runtime`` are those of ``load``.
    out : the directory to make; a package that is there is replaced.
    c : also C99 code of the network.

    All others are those of ``plan``. Raises UserError where it can not be done; nothing is left
    half-written.

    Example
    -------
    >>> package = hwgen.build("mnist_cnn.h5", "rtl_out/mnist", multipliers=64)
    """
    say, tail, c = _say(progress), _tail(tail), truth("--c", c)
    model, target, qtype = path_of("build", model), path_of("build", out), _type(input_type)
    file = _name(model)
    own = {"multipliers": multipliers, "interval": interval} | options
    # What does not depend on the model is refused before it is read.
    asked = asked_for(arch, None if plan_file is None else path_of("build", plan_file), own)
    with replacing(target) as folder:
        say(f"reading {model.name}")
        graph = _without_tail(load(model, qtype, runtime), tail)
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        say("planning")
        with naming(model):
            made = asked.plan(asked.legal(graph), progress)
            files = files_of(graph, made, progress, c)
        say("writing the package")
        given = asked.given
        # By the names of the command line's options, in the order in which they were invented.
        recorded = {
            "arch": made.arch,
            "plan": None if asked.file is None else _name(asked.file),
            "interval": given.pop("interval", None),
            "multipliers": given.pop("multipliers", None),
            "input_type": None if qtype is None else str(qtype),
            "runtime": runtime,
            "tail": tail,
            "c": c or None,
        } | given
        recorded = {name: value for name, value in recorded.items() if value is not None}
        source = Source(file, digest, recorded)
        write_package(folder, files, manifest(files, source, made.graph.name))
        write_report(Package.open(folder))
    return Package.open(target)


def _name(file: Path) -> str:
    """The name of a file as the manifest has it. Raises UserError where that can not be."""
    try:
        file.name.encode()
    except UnicodeEncodeError:
        shown = str(file).encode(errors="backslashreplace").decode()
        raise UserError("its name is not UTF-8 text", file=shown, hint="rename it") from None
    return file.name


def verify(
    package: Package | str | Path,
    simulator: str | None = None,
    inputs: Mapping[str, np.ndarray[Any, Any]] | np.ndarray[Any, Any] | None = None,
    random: int | None = None,
    wave: bool = False,
    progress: Progress | None = None,
    memory: Memory | None = None,
    trace: bool = False,
    real: bool = False,
) -> Verification:
    """Simulate a package's RTL and compare every output bit with the golden model.

    Parameters
    ----------
    package : what ``build`` gave, or its directory.
    simulator : ``"verilator"``, ``"icarus"`` or, of a dataflow design, ``"python"``; the quickest
        that is there if None. Of a tiled design one that is named runs the cocotb bench, which
        compares all that is stored.
    inputs : integers (frames, *shape) to simulate, in the axis order of the model file, by the
        input's name; of a network with one input the array alone will do;
        ``random``: so many seeded frames instead; neither: the package's own test vectors.
    wave : write a waveform beside the results.
    progress : is called with a sentence at each step.
    memory : how external memory answers a tiled engine, as ``hwgen.Memory(latency=20, rate=0.5)``:
        cycles until it does, and beats a cycle; ``gaps=5`` lets it pause at random, of this seed.
    trace : measure when units, loads, tiles and stores begin and end: the result's ``timeline``.
    real : ``inputs`` are real numbers, quantized by the input's type.

    Keeps the result with the package and updates its report. The result's ``outputs`` are what the
    RTL gave: an array, or of a network with several outputs the arrays by their names. Raises
    UserError for a request that does not fit, ToolError where a simulator fails.

    Example
    -------
    >>> hwgen.verify(package, random=10).equal
    True
    """
    opened = _opened("verify", package)
    opened.check()
    own = opened.architecture
    if simulator is not None:
        simulator = one_of("--sim", simulator, own.simulators, f" of a {own.name} design")
    say = _say(progress)
    named = None if inputs is None else _by_name(opened.graph, inputs)
    if truth("--float", real):
        if named is None:
            raise OptionError("--float says what the arrays of --inputs are: give them")
        named = integers_of(opened.graph, named)
    result = own.verify(opened, VerifyRequest(say, simulator, named, random, wave, memory, trace))
    write_report(opened)
    return replace(result, arrays=opened.graph.outward(result.arrays))


def record_accuracy(package: Package, accuracy: float, samples: int) -> None:
    """Keep the accuracy (0 to 1) on labelled data with a package; updates its report.

    Raises UserError for an accuracy or a number of samples that can not be.
    """
    accuracy = number("accuracy", accuracy, 0, 1, "")
    samples = integer("samples", samples, 1, 10**9)
    package.write_result("accuracy", {"accuracy": accuracy, "samples": samples})
    write_report(package)


def synthesize(
    package: Package | str | Path,
    device: str,
    target_mhz: float = TARGET_MHZ,
    seed: int = SEED,
    tries: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Synthesize, place and route a package for an FPGA.

    Parameters
    ----------
    package : what ``build`` gave, or its directory.
    device : its name, as in ``hwgen synth --help``.
    target_mhz : the clock to strive for. seed : of the placement. tries : the best of so many
        seeds, from ``seed`` on.
    progress : is called with a sentence at each step.

    Returns resources, clock and critical path; keeps them with the package and updates its report.
    Raises UserError for an unknown device, ToolError where a tool fails.
    """
    opened = _opened("synthesize", package)
    opened.check()
    result = _synthesize(opened, device, target_mhz, seed, tries, _say(progress))
    write_report(opened)
    return result


def run(
    graph: Graph,
    inputs: Mapping[str, np.ndarray[Any, Any]] | np.ndarray[Any, Any],
    real: bool = False,
    edges: bool = False,
    progress: Callable[[int, int], None] | None = None,
    engine: str = "golden",
) -> dict[str, np.ndarray[Any, Any]]:
    """Compute the golden outputs of a graph, integers of the model's own types.

    Parameters
    ----------
    graph : what ``load`` gave.
    inputs : integers (frames, *shape) by the input's name; of a network with one input the array
        alone will do. Inputs and outputs are in the axis order of the model file.
    real : inputs are real numbers, quantized by the input's type, and outputs float32.
    edges : return every edge of the graph, not the outputs alone; inner ones are channels last.
    progress : is called with (frames done, frames in all).
    engine : ``"c"`` compiles the network's C code, which gives the same integers more quickly.

    Warns of real numbers that a type of an input can not hold, where the model does not say it.
    Raises UserError where an input does not fit.

    Example
    -------
    >>> hwgen.run(graph, images)["dense"].shape
    (100, 10)
    """
    if not isinstance(graph, Graph):
        raise UserError(f"run() takes a graph, not {kind(graph)}", hint="hwgen.load makes one")
    real, edges = truth("--float", real), truth("--edges", edges)
    engine, progress = one_of("--engine", engine, ENGINES), function("progress", progress)
    inputs = graph.inward(_by_name(graph, inputs))
    if real:
        if graph.without_reals:
            raise UserError(
                "real outputs are not known: arithmetic behind the last integers is left out",
                layer=graph.without_reals[0],
                hint="take integers, or end the model with a quantizer",
            )
        inputs = integers_of(graph, inputs)
    if engine == "c":
        if edges:
            raise OptionError("the C engine gives outputs only", hint="leave out --edges")
        outputs = CEngine(graph).execute(inputs, progress)
    else:
        wanted = list(graph.tensors) if edges else None
        outputs = execute(graph, inputs, wanted, progress)
    if real:
        outputs = {
            name: dequantize(array, graph.tensors[name].type).astype(np.float32)
            for name, array in outputs.items()
        }
    return graph.outward(outputs)


def _by_name(graph: Graph, inputs: Any) -> dict[str, Any]:
    """Arrays of inputs by their names. Raises UserError for one array where there are several."""
    if isinstance(inputs, Mapping):
        return dict(inputs)
    if len(graph.inputs) != 1:
        names = ", ".join(repr(x.name) for x in graph.inputs)
        raise UserError(f"this network has several inputs: {names}", hint="give them by name")
    (only,) = graph.inputs
    return {only.name: inputs}


def _opened(step: str, package: Any) -> Package:
    if isinstance(package, Package):
        return package
    if not isinstance(package, (str, os.PathLike)):
        raise UserError(
            f"{step}() takes a package or its directory, not {kind(package)}",
            hint="hwgen.build makes one",
        )
    return Package.open(path_of(step, package))


def _type(value: QType | str | None) -> QType | None:
    if isinstance(value, str):
        try:
            return parse_type(value)
        except ValueError as error:
            raise OptionError(f"--input-type: {error}") from None
    if value is not None and not isinstance(value, QType):
        raise UserError(f"input_type {shown(value)} is no type", hint='give one as "u8.8"')
    return value
