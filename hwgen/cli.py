"""The command line: parses arguments, calls the API, prints what it gives.

Exit codes: 0 done; 1 verification failed; 2 bad input or unsupported; 3 a tool failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from . import api
from .arrays import Array, load_array, load_labelled, save_arrays
from .console import Output, tidy_end
from .errors import ToolError, UserError
from .flow import tools
from .flow.fpga import DEVICES
from .flow.fpga.synth import SEED, TARGET_MHZ
from .flow.package_files import Package
from .flow.verify import ENGINES, Verification, default_simulator
from .ir import Graph
from .numeric import QType, parse_type
from .plan.dataflow import DEFAULT_MULTIPLIERS, DataflowPlan
from .report.summary import summary, write_report


class _Parser(argparse.ArgumentParser):
    """Reports wrong arguments as every other bad input: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"hwgen: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code."""
    arguments = _parser().parse_args(argv)
    output = Output(arguments.json)
    try:
        with tidy_end():
            return arguments.command(arguments, output)
    except UserError as error:
        print(f"hwgen: {error}", file=sys.stderr)
        return 2
    except ToolError as error:
        print(f"hwgen: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("hwgen: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, no temporary directory
        print(f"hwgen: {error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        print(f"hwgen: not enough memory{reason}; give fewer frames", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hwgen", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def command(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--json", action="store_true", help="one JSON value on stdout")
        sub.set_defaults(command=function)
        return sub

    sub = command("inspect", _inspect, "layers, types, MACs, parameters of a model")
    _add_model(sub)
    sub.add_argument("--plan", action="store_true", help="also the hardware it would become")
    _add_budget(sub, with_file=False)

    sub = command("run", _run, "golden integers of a model")
    _add_model(sub)
    sub.add_argument(
        "--input", action="append", required=True, metavar="[NAME=]FILE.npy", help="frames"
    )
    sub.add_argument("--output", required=True, type=Path, metavar="FILE.npy")
    sub.add_argument("--float", action="store_true", help="real values in and out")
    sub.add_argument("--edges", type=Path, metavar="FILE.npz", help="also every edge")

    sub = command("eval", _eval, "accuracy on labelled data")
    _add_model(sub, "MODEL_OR_PACKAGE")
    sub.add_argument("--data", required=True, type=Path, metavar="FILE.npz", help="arrays x, y")
    sub.add_argument("--rtl", type=int, metavar="N", help="the first N in simulation too")
    sub.add_argument("--sim", choices=list(ENGINES), help="simulator for --rtl")
    _add_budget(sub, with_file=False)

    sub = command("build", _build, "model file to package: Verilog, memory images, bench, report")
    _add_model(sub)
    sub.add_argument("--out", required=True, type=Path, metavar="DIR")
    sub.add_argument("--arch", choices=["dataflow"], default="dataflow")
    _add_budget(sub, with_file=True)

    sub = command("verify", _verify, "RTL against golden, every bit")
    sub.add_argument("package", type=Path, metavar="DIR")
    sub.add_argument("--sim", choices=list(ENGINES), help="default: verilator, else python")
    group = sub.add_mutually_exclusive_group()
    group.add_argument("--inputs", type=Path, metavar="FILE.npy")
    group.add_argument("--random", type=int, metavar="N", help="N seeded random frames")
    sub.add_argument(
        "--wave", action="store_true", help="write results/wave.vcd (Icarus: wave.fst)"
    )

    sub = command("synth", _synth, "synthesis, placement and routing for an FPGA")
    sub.add_argument("package", type=Path, metavar="DIR")
    sub.add_argument("--device", required=True, metavar="NAME", help=", ".join(DEVICES))
    sub.add_argument("--freq", type=float, default=TARGET_MHZ, metavar="MHZ", help="to strive for")
    sub.add_argument("--seed", type=int, default=SEED, help="of placement")
    sub.add_argument(
        "--tries", type=int, default=1, metavar="N", help="the best of N seeds from --seed on"
    )

    sub = command("report", _report, "write report.json and report.html of a package again")
    sub.add_argument("package", type=Path, metavar="DIR")

    command("doctor", _doctor, "which tools are there, which version, what to install")
    return parser


def _add_model(sub: argparse.ArgumentParser, metavar: str = "MODEL") -> None:
    sub.add_argument("model", type=Path, metavar=metavar)
    sub.add_argument(
        "--input-type", metavar="u8.8", help="type of the input where the model states none"
    )


def _add_budget(sub: argparse.ArgumentParser, with_file: bool) -> None:
    group = sub.add_mutually_exclusive_group()
    group.add_argument(
        "--multipliers", type=int, metavar="N", help=f"budget (default {DEFAULT_MULTIPLIERS})"
    )
    group.add_argument("--interval", type=int, metavar="CYCLES", help="to reach")
    if with_file:
        group.add_argument("--plan", type=Path, metavar="FILE", help="a plan.json")


def _input_type(arguments: argparse.Namespace) -> QType | None:
    if arguments.input_type is None:
        return None
    try:
        return parse_type(arguments.input_type)
    except ValueError as error:
        raise UserError(f"--input-type: {error}") from None


def _load(arguments: argparse.Namespace) -> Graph:
    return api.load(arguments.model, _input_type(arguments))


def _inspect(arguments: argparse.Namespace, output: Output) -> int:
    graph = _load(arguments)
    value = _describe(graph)
    output.say(f"{graph.name}: {graph.macs:,} MACs, {graph.parameters_bits:,} parameter bits")
    for note in graph.notes:
        output.say(f"  note: {note}")
    rows = [
        [row["name"], row["op"], "x".join(map(str, row["shape"])), row["type"], row["macs"]]
        for row in value["layers"]
    ]
    output.table("layers", ["layer", "op", "output", "type", "MACs"], rows)
    if arguments.plan or arguments.multipliers is not None or arguments.interval is not None:
        with output.steps() as say:
            plan = api.plan(graph, arguments.multipliers, arguments.interval, progress=say)
        value["plan"] = _describe_plan(plan, output)
    output.json(value)
    return 0


def _describe(graph: Graph) -> dict[str, Any]:
    layers = [
        {
            "name": node.name,
            "op": node.op.op_name,
            "inputs": list(node.inputs),
            "shape": list(graph.tensors[node.name].shape),
            "type": str(graph.tensors[node.name].type),
            "macs": node.op.macs(graph.operands(node)),
            "parameters_bits": node.op.parameters_bits,
        }
        for node in graph.nodes
    ]
    inputs = [{"name": t.name, "shape": list(t.shape), "type": str(t.type)} for t in graph.inputs]
    return {
        "name": graph.name,
        "inputs": inputs,
        "outputs": list(graph.outputs),
        "macs": graph.macs,
        "parameters_bits": graph.parameters_bits,
        "notes": list(graph.notes),
        "layers": layers,
    }


def _describe_plan(plan: DataflowPlan, output: Output) -> dict[str, Any]:
    timing = plan.timing()
    output.say(
        f"dataflow plan: {plan.multipliers} multipliers, a frame every {timing.interval} cycles "
        f"(bound {plan.interval_bound}), latency {timing.latency}"
    )
    rows = []
    for unit in plan.units:
        fold = f"{unit.pe}x{unit.simd}" if unit.pe else ""
        capacities = ", ".join(f"{f} {unit.capacity(f)}" for f in unit.capacities)
        starved, blocked = (d.get(unit.name, 0) for d in (timing.starved, timing.blocked))
        bound = max(unit.bounds.values())
        rows.append([unit.name, unit.kind, fold, bound, capacities, starved, blocked])
    columns = ["unit", "kind", "PE x SIMD", "bound", "buffers", "starved", "blocked"]
    output.table("units", columns, rows)
    return plan.to_json() | {
        "multipliers": plan.multipliers,
        "interval_bound": plan.interval_bound,
        "interval_estimate": timing.interval,
        "latency_estimate": timing.latency,
        "starved": timing.starved,
        "blocked": timing.blocked,
    }


def _run(arguments: argparse.Namespace, output: Output) -> int:
    graph = _load(arguments)
    if arguments.output == arguments.edges:
        raise UserError("--output and --edges are the same file", file=arguments.output)
    inputs = _named_inputs(graph, arguments.input)
    edges = arguments.edges is not None
    try:
        with output.bar("frames") as progress:
            values = api.run(graph, inputs, arguments.float, edges, progress)
    except UserError as error:
        # With several inputs the message names the input.
        file = arguments.input[0].rpartition("=")[2]
        raise (error.within(file) if len(arguments.input) == 1 else error) from None
    outputs = {name: values[name] for name in graph.outputs}
    files = {arguments.output: outputs if len(outputs) > 1 else outputs[graph.outputs[0]]}
    if arguments.edges is not None:
        files[arguments.edges] = values
    save_arrays(files)
    shapes = {name: list(values[name].shape) for name in graph.outputs}
    for name, shape in shapes.items():
        output.say(f"{name}: {shape} of {graph.tensors[name].type} in {arguments.output}")
    output.json({"outputs": shapes, "file": str(arguments.output)})
    return 0


def _named_inputs(graph: Graph, given: list[str]) -> dict[str, Array]:
    inputs: dict[str, Array] = {}
    names = [t.name for t in graph.inputs]
    for text in given:
        name, _, file = text.rpartition("=")
        if not name:
            if len(names) > 1:
                raise UserError(f"--input {text}: say for which input (NAME=FILE): {names}")
            name = names[0]
        if name not in names:
            raise UserError(f"--input {text}: no input {name!r}; there is {', '.join(names)}")
        if name in inputs:
            raise UserError(f"--input {text}: input {name!r} is given twice")
        inputs[name] = load_array(Path(file))
    return inputs


def _eval(arguments: argparse.Namespace, output: Output) -> int:
    package = _package(arguments) if arguments.model.is_dir() else None
    graph = package.graph if package else _load(arguments)
    x, y = load_labelled(arguments.data, graph)
    if arguments.rtl is not None and not 1 <= arguments.rtl <= len(y):
        raise UserError(f"--rtl {arguments.rtl}: the data have 1 to {len(y)} samples")
    try:
        with output.bar("frames") as progress:
            values = api.run(graph, {graph.inputs[0].name: x}, progress=progress)
    except UserError as error:
        raise error.within(arguments.data) from None
    scores = values[graph.outputs[0]]
    value: dict[str, Any] = {"samples": len(y), "accuracy": _accuracy(scores, y)}
    output.say(f"golden: {100 * value['accuracy']:.2f} % of {len(y)} samples")
    code = 0
    if package is not None:
        api.record_accuracy(package, value["accuracy"], len(y))
    if arguments.rtl is not None:
        rtl = x[: arguments.rtl], y[: arguments.rtl]
        code = _eval_rtl(arguments, output, package, *rtl, value)
    output.json(value)
    return code


def _package(arguments: argparse.Namespace) -> Package:
    """The package given as a model. Raises UserError where options state another design."""
    for name in ("input_type", "multipliers", "interval"):
        if getattr(arguments, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} was given, but a package has its own", file=arguments.model)
    return Package.open(arguments.model)


def _eval_rtl(
    arguments: argparse.Namespace,
    output: Output,
    package: Package | None,
    x: Any,
    y: Any,
    value: dict[str, Any],
) -> int:
    with tempfile.TemporaryDirectory(prefix="hwgen-") as folder, output.steps() as say:
        package = package or api.build(
            arguments.model, Path(folder) / "package", arguments.multipliers, arguments.interval,
            input_type=_input_type(arguments), progress=say,
        )  # fmt: skip
        result = api.verify(package, arguments.sim, inputs=x, progress=say)
    accuracy = _accuracy(result.outputs, y) if len(result.outputs) else None
    value["rtl"] = _verification_json(result) | {"samples": len(y), "accuracy": accuracy}
    if accuracy is not None:
        output.say(f"RTL:    {100 * accuracy:.2f} % of {len(y)} samples")
    output.say(_verdict(result))
    return 0 if result.equal else 1


def _accuracy(scores: Any, labels: Any) -> float:
    flat = scores.reshape(len(scores), -1)
    # A network that ends in argmax gives the class itself.
    classes = flat[:, 0] if flat.shape[1] == 1 else flat.argmax(axis=1)
    return float((classes == labels).mean())


def _build(arguments: argparse.Namespace, output: Output) -> int:
    with output.steps() as say:
        package = api.build(
            arguments.model, arguments.out, arguments.multipliers, arguments.interval,
            arguments.plan, _input_type(arguments), say,
        )  # fmt: skip
    report = summary(package)
    cycles = report["cycles"]
    output.say(
        f"{arguments.out}: {report['multipliers']} multipliers, a frame every "
        f"{cycles['interval_estimate']} cycles (bound {cycles['interval_bound']}), "
        f"latency {cycles['latency_estimate']}, {report['memory_bits']:,} bits of memory"
    )
    output.say(f"next: hwgen verify {arguments.out}")
    output.json(report)
    return 0


def _verify(arguments: argparse.Namespace, output: Output) -> int:
    inputs = None if arguments.inputs is None else load_array(arguments.inputs)
    package = Package.open(arguments.package)
    if arguments.sim is None and default_simulator() == "python":
        output.say("no C++ compiler with Verilator: using Amaranth's simulator (slow)")
    try:
        with output.steps() as say:
            result = api.verify(
                package, arguments.sim, inputs, arguments.random, arguments.wave, say
            )
    except UserError as error:
        raise (error if arguments.inputs is None else error.within(arguments.inputs)) from None
    for name in result.changed:
        output.say(f"note: {name} has been changed since the build; it was simulated as it is")
    output.say(_verdict(result))
    if result.run.wave is not None:
        output.say(f"waveform: {result.run.wave}")
    output.json(_verification_json(result))
    return 0 if result.equal else 1


def _verdict(result: Verification) -> str:
    if result.difference is not None:
        return f"RTL differs from golden: {result.difference}"
    return (
        f"RTL equals golden on every bit of {result.frames} frames ({result.simulator}): "
        f"interval {result.interval} cycles, latency {result.latency}, "
        f"{result.run.seconds:.1f} s"
    )


def _verification_json(result: Verification) -> dict[str, Any]:
    return {
        "simulator": result.simulator,
        "frames": result.frames,
        "equal": result.equal,
        "difference": None if result.difference is None else str(result.difference),
        "interval_measured": result.interval,
        "latency_measured": result.latency,
        "changed": list(result.changed),
        "seconds": round(result.run.seconds, 3),
    }


def _synth(arguments: argparse.Namespace, output: Output) -> int:
    package = Package.open(arguments.package)
    if not 1 <= arguments.freq <= 1000:
        raise UserError(f"--freq {arguments.freq:g}: give 1 to 1000 MHz")
    if not 1 <= arguments.tries <= 100:
        raise UserError(f"--tries {arguments.tries}: give 1 to 100")
    with output.steps() as say:
        result = api.synthesize(
            package, arguments.device, arguments.freq, arguments.seed, arguments.tries, say
        )
    kinds = ("lut", "ff", "dsp", "bram")
    output.table(
        f"cells of {arguments.device}, as synthesized",
        ["layer", *kinds],
        [[layer, *(counts[k] for k in kinds)] for layer, counts in result["layers"].items()],
    )
    placed = ", ".join(f"{result[kind]:,} {kind}" for kind in kinds)
    output.say(f"placed: {placed}; {result['fmax_mhz']:.1f} MHz routed")
    path = " -> ".join(f"{step['layer']} {step['ns']:.1f} ns" for step in result["critical_path"])
    output.say(f"critical path: {path}")
    output.json(result)
    return 0


def _report(arguments: argparse.Namespace, output: Output) -> int:
    report = write_report(Package.open(arguments.package))
    output.say(f"{arguments.package / 'report.html'}")
    output.json(report)
    return 0


def _doctor(arguments: argparse.Namespace, output: Output) -> int:
    found = [tool() for tool in tools.TOOLS]
    rows = [
        [tool.name, "yes" if tool.found else "NO", tool.version, tool.use,
         "" if tool.found else tool.install]
        for tool in found
    ]  # fmt: skip
    output.table("tools", ["tool", "there", "version", "use", "to install"], rows)
    output.json(
        [
            {"name": t.name, "found": t.found, "path": t.path, "version": t.version, "use": t.use,
             "install": t.install}
            for t in found
        ]
    )  # fmt: skip
    return 0
