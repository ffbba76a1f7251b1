"""The Python API: the same steps as the command line, which is a thin user of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import importers
from .emit.package import Source, design_files, manifest, write_package
from .emit.place import replacing
from .errors import OptionError, UserError, naming
from .flow.c_engine import CEngine
from .flow.fpga.synth import SEED, TARGET_MHZ
from .flow.fpga.synth import synthesize as _synthesize
from .flow.package_files import Package
from .flow.verify import Memory, Verification
from .flow.verify import verify as _verify
from .ir import Graph, execute
from .numeric import QType, dequantize, quantize
from .passes import legalize
from .passes.tail import without_softmax
from .plan.architectures import ARCHITECTURES, Plan, plan_from_json, read_plan
from .plan.dataflow import plan_dataflow
from .plan.tiled.options import TiledOptions
from .plan.tiled.plan import plan_tiled
from .report.summary import write_report

Progress = Callable[[str], None]


def load(path: str | Path, input_type: QType | None = None, runtime: str | None = None) -> Graph:
    """Read a model file into a graph; see importers.load. Raises UserError where it can not."""
    return importers.load(Path(path), input_type=input_type, runtime=runtime)


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
    """Plan an architecture for a graph: "dataflow", if nothing else is said, or "tiled".

    At most one of ``multipliers`` (a budget), ``interval`` (cycles to reach, dataflow) and
    ``plan_file``, which says its architecture itself. ``tail``: "host" leaves a last softmax to the
    host. ``options``: those of the tiled architecture, see plan.tiled.options.TiledOptions. Raises
    UserError when it can not be done.
    """
    if sum(option is not None for option in (multipliers, interval, plan_file)) > 1:
        raise OptionError("give one of --multipliers, --interval and --plan")
    choices = None if plan_file is None else read_plan(Path(plan_file))
    asked = TiledOptions(**options)
    name = arch or (choices or {}).get("arch") or ARCHITECTURES[0]
    if name not in ARCHITECTURES:
        raise OptionError(f"architecture {name!r} is not one of {', '.join(ARCHITECTURES)}")
    if asked.given and (name != "tiled" or choices is not None):
        option = f"--{next(iter(asked.given)).replace('_', '-')}"
        reason = f"{option} is for --arch tiled" if choices is None else f"--plan says {option}"
        raise OptionError(reason, hint="leave it out")
    if name == "tiled" and interval is not None:
        raise OptionError("--interval: give the tiled architecture --array instead")
    engine = asked.engine(multipliers) if name == "tiled" and choices is None else None
    preferred = asked.preferred
    legal = legalize(_without_tail(graph, tail))
    if engine is not None:
        return plan_tiled(legal, *engine, progress, preferred)
    if choices is None:
        return plan_dataflow(legal, multipliers, interval, None, progress)
    if choices["arch"] != name:
        raise UserError(f"is no plan of the {name} architecture", file=plan_file)
    return plan_from_json(legal, choices, Path(plan_file) if plan_file else None)


def _without_tail(graph: Graph, tail: str | None) -> Graph:
    return without_softmax(graph) if tail == "host" else graph


def build(
    model: str | Path,
    out: str | Path,
    multipliers: int | None = None,
    interval: int | None = None,
    plan_file: str | Path | None = None,
    input_type: QType | None = None,
    runtime: str | None = None,
    tail: str | None = None,
    progress: Progress | None = None,
    c: bool = False,
    arch: str | None = None,
    **tiled: Any,
) -> Package:
    """Model file to package at ``out``, with ``c`` also C code of the network.

    The other options are those of ``plan``. Raises UserError; leaves nothing half-written.
    """
    say = progress or (lambda text: None)
    model, target = Path(model), Path(out)
    options: dict[str, Any] = {"arch": arch or ARCHITECTURES[0]}
    if plan_file is not None:
        options["plan"] = Path(plan_file).name
    elif interval is not None:
        options["interval"] = interval
    elif multipliers is not None:
        options["multipliers"] = multipliers
    if input_type is not None:
        options["input_type"] = str(input_type)
    if runtime is not None:
        options["runtime"] = runtime
    if tail is not None:
        options["tail"] = tail
    if c:
        options["c"] = True
    options |= TiledOptions(**tiled).given
    with replacing(target) as folder:
        say(f"reading {model.name}")
        graph = _without_tail(load(model, input_type, runtime), tail)
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        say("planning")
        with naming(model):
            made = plan(graph, multipliers, interval, plan_file, None, progress, arch, **tiled)
            files = design_files(graph, made, progress, c)
        options["arch"] = made.to_json()["arch"]
        say("writing the package")
        source = Source(model.name, digest, options)
        write_package(folder, files, manifest(files, source, made.graph.name))
        write_report(Package.open(folder))
    return Package.open(target)


def verify(
    package: Package | str | Path,
    simulator: str | None = None,
    inputs: np.ndarray[Any, Any] | None = None,
    random: int | None = None,
    wave: bool = False,
    progress: Progress | None = None,
    memory: Memory | None = None,
) -> Verification:
    """Simulate a package's RTL against golden; updates its report. See flow.verify."""
    opened = package if isinstance(package, Package) else Package.open(Path(package))
    opened.check()
    result = _verify(opened, simulator, inputs, random, wave, progress, memory)
    write_report(opened)
    return result


def record_accuracy(package: Package, accuracy: float, samples: int) -> None:
    """Keep the accuracy (0 to 1) on labelled data with a package; updates its report."""
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
    """Synthesize, place and route a package; updates its report. See flow.fpga."""
    opened = package if isinstance(package, Package) else Package.open(Path(package))
    opened.check()
    result = _synthesize(opened, device, target_mhz, seed, tries, progress)
    write_report(opened)
    return result


def run(
    graph: Graph,
    inputs: dict[str, np.ndarray[Any, Any]],
    real: bool = False,
    edges: bool = False,
    progress: Callable[[int, int], None] | None = None,
    engine: str = "golden",
) -> dict[str, np.ndarray[Any, Any]]:
    """Golden outputs of a graph (or all edges), integers of the model's own types.

    With ``real`` inputs are real numbers, quantized by the input's type, and outputs float32.
    ``engine`` "c" compiles the network's C code, which gives the same integers more quickly, and
    has no inner edges. Raises UserError.
    """
    if real:
        if graph.without_reals:
            raise UserError(
                "real outputs are not known: arithmetic behind the last integers is left out",
                layer=graph.without_reals[0],
                hint="take integers, or end the model with a quantizer",
            )
        inputs = {t.name: _quantized(t, inputs.get(t.name)) for t in graph.inputs}
    if engine == "c":
        if edges:
            raise OptionError("the C engine gives outputs only", hint="leave out --edges")
        outputs = CEngine(graph).execute(inputs, progress)
    else:
        wanted = list(graph.tensors) if edges else None
        outputs = execute(graph, inputs, wanted, progress)
    if real:
        return {
            name: dequantize(array, graph.tensors[name].type).astype(np.float32)
            for name, array in outputs.items()
        }
    return outputs


def _quantized(tensor: Any, array: Any) -> Any:
    if array is None:
        return None
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise UserError(f"input {tensor.name!r} has type {array.dtype}, real numbers are needed")
    try:
        return quantize(array, tensor.type, single=True)
    except ValueError as error:
        raise UserError(f"input {tensor.name!r}: {error}") from None
