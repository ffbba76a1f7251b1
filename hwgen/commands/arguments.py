"""Arguments that several commands have."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .. import api
from ..archs import ARCHITECTURES
from ..archs.choices import all_options
from ..archs.protocol import Architecture
from ..archs.registry import architecture
from ..errors import UserError
from ..importers import RUNTIMES
from ..ir import Graph
from ..numeric import QType, parse_type
from ..plan.options import flag


def add_model(sub: argparse.ArgumentParser, metavar: str = "MODEL") -> None:
    """A model file, and what it may leave open."""
    sub.add_argument(
        "model", type=Path, metavar=metavar,
        help="a QKeras .h5, HGQ2 .keras, TensorFlow Lite, ONNX or hwgen JSON file"
        + (", or a package's directory" if "PACKAGE" in metavar else ""),
    )  # fmt: skip
    sub.add_argument(
        "--input-type", metavar="u8.8", help="type of the input where the model states none"
    )
    sub.add_argument(
        "--runtime",
        choices=RUNTIMES,
        help=f"whose integers a TensorFlow Lite file means (default {RUNTIMES[0]})",
    )


def add_plan(sub: argparse.ArgumentParser, with_file: bool) -> None:
    """Which architecture, and the options of each; ``with_file``: or a plan itself."""
    default = architecture().name
    sub.add_argument("--arch", choices=list(ARCHITECTURES), help=f"default: {default}")
    if with_file:
        sub.add_argument("--plan", type=Path, metavar="FILE", help="a plan.json")
    sub.add_argument("--tail", choices=["host"], help="leave a last softmax to the host")
    owners: dict[str, list[Architecture[Any]]] = {}
    for entry in ARCHITECTURES.values():
        for name in entry.Options.names():
            owners.setdefault(name, []).append(entry)
    groups: dict[tuple[str, ...], argparse._ArgumentGroup] = {}
    for name, entries in owners.items():
        names = tuple(entry.name for entry in entries)
        if names not in groups:
            groups[names] = sub.add_argument_group(f"{' and '.join(names)} architecture")
        groups[names].add_argument(flag(name), **entries[0].Options.arguments()[name])


def planning(arguments: argparse.Namespace) -> dict[str, Any]:
    """What ``add_plan`` took, as arguments of the API."""
    return {"arch": arguments.arch} | {name: getattr(arguments, name) for name in all_options()}


def add_package(sub: argparse.ArgumentParser) -> None:
    """The directory of a package."""
    sub.add_argument(
        "package", type=Path, metavar="DIR", help="a package that hwgen build has made"
    )


def simulators() -> list[str]:
    """All simulators that an architecture takes."""
    names = [name for entry in ARCHITECTURES.values() for name in entry.simulators]
    return list(dict.fromkeys(names))


def input_type(arguments: argparse.Namespace) -> QType | None:
    """The type given with --input-type. Raises UserError."""
    if arguments.input_type is None:
        return None
    try:
        return parse_type(arguments.input_type)
    except ValueError as error:
        raise UserError(f"--input-type: {error}") from None


def load_model(arguments: argparse.Namespace) -> Graph:
    """The graph of the model file."""
    return api.load(arguments.model, input_type(arguments), arguments.runtime)
