"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import Any

from .. import api
from ..aliases import Array
from ..archs import ARCHITECTURES
from ..archs.choices import all_options, options_of
from ..archs.protocol import Architecture
from ..archs.registry import architecture
from ..console import Output
from ..errors import OptionError, UserError, shown
from ..importers import RUNTIMES
from ..ir import Graph
from ..numeric import QType, parse_type
from ..passes.tail import TAILS
from ..plan.options import flag
from ..plan.protocol import Plan
from .arrays import load_array


def place(text: str) -> Path:
    """The path of a file or a directory. Raises ArgumentTypeError for an empty one, which would
    stand for the current directory."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)


def whole(text: str) -> int:
    """A whole number of an option. Raises ArgumentTypeError."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a whole number, or too large a one")
    return int(text)


def number(text: str) -> float:
    """A number of an option, with or without a fraction. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not text.isascii():
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number, or too large a one")
    return value


def add_model(sub: argparse.ArgumentParser, metavar: str = "MODEL") -> None:
    """A model file, and what it may leave open."""
    sub.add_argument(
        "model", type=place, metavar=metavar,
        help="the network: a QKeras .h5, HGQ2 .keras, TensorFlow Lite, ONNX or hwgen JSON file"
        + (", or a package's directory" if "PACKAGE" in metavar else ""),
    )  # fmt: skip
    sub.add_argument(
        "--input-type", metavar="u8.8",
        help="number type of the input, where the model states none",
    )  # fmt: skip
    sub.add_argument(
        "--runtime",
        choices=RUNTIMES,
        help=f"runtime whose integers a TensorFlow Lite file gives (default {RUNTIMES[0]})",
    )


def add_plan(sub: argparse.ArgumentParser, with_file: bool) -> None:
    """Which architecture, and the options of each; ``with_file``: or a plan itself."""
    default = architecture().name
    sub.add_argument(
        "--arch",
        choices=list(ARCHITECTURES),
        help=f"architecture of the hardware (default {default})",
    )
    if with_file:
        sub.add_argument(
            "--plan", type=place, metavar="FILE", help="build what a package's plan.json states"
        )
    sub.add_argument(
        "--tail",
        choices=TAILS,
        help="leave a softmax or an argmax at the network's end to the host",
    )
    owners: dict[str, list[Architecture[Any]]] = {}
    for entry in ARCHITECTURES.values():
        for name in entry.Options.names():
            owners.setdefault(name, []).append(entry)
    groups: dict[tuple[str, ...], argparse._ArgumentGroup] = {}
    for name, entries in owners.items():
        names = tuple(entry.name for entry in entries)
        if names not in groups:
            groups[names] = sub.add_argument_group(f"{' and '.join(names)} architecture")
        how = entries[0].Options.arguments()[name]
        if how.get("type") is int:
            how["type"] = whole
        texts = {entry.name: entry.Options.arguments()[name]["help"] for entry in entries}
        if len(set(texts.values())) > 1:
            how["help"] = "; ".join(f"{owner}: {text}" for owner, text in texts.items())
        groups[names].add_argument(flag(name), **how)


def planning(arguments: argparse.Namespace) -> dict[str, Any]:
    """What ``add_plan`` took, as arguments of the API."""
    return {"arch": arguments.arch} | {name: getattr(arguments, name) for name in all_options()}


def add_package(sub: argparse.ArgumentParser) -> None:
    """The directory of a package."""
    sub.add_argument(
        "package", type=place, metavar="DIR", help="a package that hwgen build has made"
    )


def simulators() -> list[str]:
    """All simulators that an architecture takes."""
    names = [name for entry in ARCHITECTURES.values() for name in entry.simulators]
    return list(dict.fromkeys(names))


def unused(plan: Plan, arguments: argparse.Namespace, output: Output) -> dict[str, str]:
    """Say where more is asked for than can be used; returns it as a part of the JSON value."""
    note = unused_note(plan, arguments)
    if note is None:
        return {}
    output.say(f"note: {note}")
    return {"note": note}


def unused_note(plan: Plan, arguments: argparse.Namespace) -> str | None:
    """A sentence where more is asked for than a plan can use, None where not."""
    asked = {name: value for name, value in planning(arguments).items() if name != "arch"}
    own = architecture(plan.arch)
    return own.unused(plan, options_of(own, asked))


def input_type(arguments: argparse.Namespace) -> QType | None:
    """The type given with --input-type. Raises OptionError."""
    if arguments.input_type is None:
        return None
    try:
        return parse_type(arguments.input_type)
    except ValueError as error:
        raise OptionError(f"--input-type: {error}") from None


def say_limits(graph: Graph, given: object, output: Output) -> dict[str, list[str]]:
    """Say which types of inputs are assumed, where none was ``given``, and what is left out behind
    outputs. Returns the sentences for the JSON value, ``assumed`` and ``left_out``, if any."""
    told = {
        "assumed": [] if given is not None else graph.assumptions(),
        "left_out": graph.left_out(),
    }
    for sentence in (*told["assumed"], *told["left_out"]):
        output.say(f"note: {sentence}")
    return {kind: sentences for kind, sentences in told.items() if sentences}


def named_files(graph: Graph, option: str, given: list[str]) -> dict[str, Path]:
    """The files that an option names for inputs, each as ``[NAME=]FILE``, by the inputs' names.

    Raises UserError.
    """
    files: dict[str, Path] = {}
    for text in given:
        name, file = _named([x.name for x in graph.inputs], option, text)
        if name in files:
            raise UserError(f"{option} {text}: input {name!r} is given twice")
        if not file:
            raise UserError(f"{option} {text}: the name of the file is empty")
        files[name] = Path(file)
    return files


def _named(names: list[str], option: str, text: str) -> tuple[str, str]:
    """The input and the file of ``[NAME=]FILE``; names of files may have equals signs too."""
    for name in names:
        if text.startswith(f"{name}="):
            return name, text.removeprefix(f"{name}=")
    before, equals, _ = text.partition("=")
    if len(names) == 1 and (not equals or Path(text).exists()):
        return names[0], text
    if not equals:
        raise UserError(f"{option} {text}: say for which input (NAME=FILE): {names}")
    raise UserError(f"{option} {text}: no input {before!r}; there is {', '.join(names)}")


def load_arrays(files: dict[str, Path]) -> dict[str, Array]:
    """The arrays in .npy files, by the same names. Raises UserError."""
    return {name: load_array(file) for name, file in files.items()}


def only_file(files: dict[str, Path]) -> Path | None:
    """What messages name: the file, but with several inputs they name the input."""
    return next(iter(files.values())) if len(files) == 1 else None


def load_model(arguments: argparse.Namespace) -> Graph:
    """The graph of the model file."""
    return api.load(arguments.model, input_type(arguments), arguments.runtime)
