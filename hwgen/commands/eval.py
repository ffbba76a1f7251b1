"""hwgen eval: accuracy on labelled data, golden and in simulation."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from .. import api
from ..archs.package import Package
from ..console import Output
from ..errors import OptionError, UserError
from ..ir.reals import integers_of
from ..plan.options import flag
from .arguments import (
    add_model,
    add_plan,
    input_type,
    load_model,
    place,
    planning,
    say_limits,
    simulators,
    unused_note,
    whole,
)
from .arrays import load_labelled
from .verify import verdict, verification_json

TEXT = "accuracy on labelled data"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model(sub, "MODEL_OR_PACKAGE")
    sub.add_argument(
        "--data", required=True, type=place, metavar="FILE.npz",
        help="labelled samples: an .npz with arrays x and y; of several inputs x_NAME each",
    )  # fmt: skip
    sub.add_argument(
        "--float", action="store_true", help="the samples are real values, not integers"
    )
    sub.add_argument(
        "--rtl", type=whole, metavar="N", help="simulate the hardware on the first N samples too"
    )
    sub.add_argument(
        "--sim", choices=simulators(),
        help="simulator that runs --rtl (default: the quickest that is installed)",
    )  # fmt: skip
    add_plan(sub, with_file=False)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Carry out the command. Returns the exit code."""
    package = _package(arguments) if arguments.model.is_dir() else None
    for name in ("sim", "tail", *planning(arguments)):
        if arguments.rtl is None and getattr(arguments, name) is not None:
            raise OptionError(f"{flag(name)} is for --rtl", hint="give --rtl too, or leave it out")
    graph = package.graph if package else load_model(arguments)
    x, y = load_labelled(arguments.data, graph)
    if arguments.rtl is not None and not 1 <= arguments.rtl <= len(y):
        raise OptionError(f"--rtl {arguments.rtl}: the data have 1 to {len(y)} samples")
    try:
        x = integers_of(graph, x) if arguments.float else x
        with output.bar("frames") as progress:
            values = api.run(graph, x, progress=progress)
    except UserError as error:
        raise error.within(arguments.data) from None
    scores = values[graph.outputs[0]]
    value: dict[str, Any] = {"samples": len(y), "accuracy": _accuracy(scores, y)}
    lines = [f"golden: {100 * value['accuracy']:.2f} % of {len(y)} samples"]
    code = 0
    if arguments.rtl is not None:
        first = slice(arguments.rtl)
        rtl = {name: array[first] for name, array in x.items()}, y[first]
        code = _eval_rtl(arguments, output, package, *rtl, value, lines)
    if package is not None:
        api.record_accuracy(package, value["accuracy"], len(y))
    # Nothing is said before all is known: what fails says one thing alone.
    given = package.manifest["options"].get("input_type") if package else arguments.input_type
    value |= say_limits(graph, given, output)
    for line in lines:
        output.say(line)
    output.json(value)
    return code


def _package(arguments: argparse.Namespace) -> Package:
    """The package given as a model. Raises UserError where options state another design."""
    for name in ("input_type", "runtime", "tail", *planning(arguments)):
        if getattr(arguments, name) is not None:
            raise OptionError(f"{flag(name)} was given, but a package has its own")
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
                arguments.model, Path(folder) / "package", input_type=input_type(arguments),
                runtime=arguments.runtime, tail=arguments.tail, progress=say, **planning(arguments),
            )  # fmt: skip
            note = unused_note(package.plan, arguments)
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
