"""hwgen eval: accuracy on labelled data, golden and in simulation."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from .. import api
from ..arrays import load_labelled
from ..console import Output
from ..errors import OptionError, UserError
from ..flow.package_files import Package
from ..flow.verify import ENGINES
from .arguments import add_budget, add_model, input_type, load_model, whole
from .verify import verdict, verification_json

TEXT = "accuracy on labelled data"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_model(sub, "MODEL_OR_PACKAGE")
    sub.add_argument("--data", required=True, type=Path, metavar="FILE.npz", help="arrays x, y")
    sub.add_argument("--rtl", type=whole, metavar="N", help="the first N in simulation too")
    sub.add_argument("--sim", choices=list(ENGINES), help="simulator for --rtl")
    add_budget(sub, with_file=False)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do it. Returns the exit code."""
    package = _package(arguments) if arguments.model.is_dir() else None
    for name in ("sim", "tail", "multipliers", "interval"):
        if arguments.rtl is None and getattr(arguments, name) is not None:
            raise OptionError(f"--{name} is for --rtl", hint="give --rtl too, or leave it out")
    graph = package.graph if package else load_model(arguments)
    x, y = load_labelled(arguments.data, graph)
    if arguments.rtl is not None and not 1 <= arguments.rtl <= len(y):
        raise OptionError(f"--rtl {arguments.rtl}: the data have 1 to {len(y)} samples")
    try:
        with output.bar("frames") as progress:
            values = api.run(graph, {graph.inputs[0].name: x}, progress=progress)
    except UserError as error:
        raise error.within(arguments.data) from None
    scores = values[graph.outputs[0]]
    value: dict[str, Any] = {"samples": len(y), "accuracy": _accuracy(scores, y)}
    lines = [f"golden: {100 * value['accuracy']:.2f} % of {len(y)} samples"]
    code = 0
    if arguments.rtl is not None:
        rtl = x[: arguments.rtl], y[: arguments.rtl]
        code = _eval_rtl(arguments, output, package, *rtl, value, lines)
    if package is not None:
        api.record_accuracy(package, value["accuracy"], len(y))
    # Nothing is said before all is known: what fails says one thing alone.
    for line in lines:
        output.say(line)
    output.json(value)
    return code


def _package(arguments: argparse.Namespace) -> Package:
    """The package given as a model. Raises UserError where options state another design."""
    for name in ("input_type", "runtime", "tail", "multipliers", "interval"):
        if getattr(arguments, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise OptionError(f"{option} was given, but a package has its own")
    return Package.open(arguments.model)


def _eval_rtl(
    arguments: argparse.Namespace,
    output: Output,
    package: Package | None,
    x: Any,
    y: Any,
    value: dict[str, Any],
    lines: list[str],
) -> int:
    """Simulate; adds to the JSON value and to what is said. Returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="hwgen-") as folder, output.steps() as say:
        if package is None:
            package = api.build(
                arguments.model, Path(folder) / "package", arguments.multipliers,
                arguments.interval, input_type=input_type(arguments), runtime=arguments.runtime,
                tail=arguments.tail, progress=say,
            )  # fmt: skip
            note = package.any_plan.unused(arguments.multipliers, arguments.interval)
            lines += [] if note is None else [f"note: {note}"]
        result = api.verify(package, arguments.sim, inputs=x, progress=say)
    accuracy = _accuracy(result.outputs, y) if len(result.outputs) else None
    value["rtl"] = verification_json(result) | {"samples": len(y), "accuracy": accuracy}
    if accuracy is not None:
        lines.append(f"RTL:    {100 * accuracy:.2f} % of {len(y)} samples")
    lines.append(verdict(result))
    return 0 if result.equal else 1


def _accuracy(scores: Any, labels: Any) -> float:
    flat = scores.reshape(len(scores), -1)
    # A network that ends in argmax gives the class itself.
    classes = flat[:, 0] if flat.shape[1] == 1 else flat.argmax(axis=1)
    return float((classes == labels).mean())
