"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

from .. import api
from ..console import Output
from ..errors import OptionError
from ..importers import RUNTIMES
from ..ir import Graph
from ..numeric import QType, parse_type
from ..plan.architectures import ARCHITECTURES, Plan
from ..plan.dataflow import DEFAULT_MULTIPLIERS
from ..plan.tiled.options import DEFAULT_RESIDENT, ORDERS, TiledOptions
from ..validation import shown


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
    sub.add_argument("model", type=Path, metavar=metavar)
    sub.add_argument(
        "--input-type", metavar="u8.8", help="type of the input where the model states none"
    )
    sub.add_argument(
        "--runtime",
        choices=RUNTIMES,
        help=f"whose integers a TensorFlow Lite file means (default {RUNTIMES[0]})",
    )


def add_budget(sub: argparse.ArgumentParser, with_file: bool) -> None:
    """What a plan is made for; ``with_file``: or a plan itself."""
    group = sub.add_mutually_exclusive_group()
    group.add_argument(
        "--multipliers", type=whole, metavar="N", help=f"budget (default {DEFAULT_MULTIPLIERS})"
    )
    group.add_argument("--interval", type=whole, metavar="CYCLES", help="to reach")
    if with_file:
        group.add_argument("--plan", type=Path, metavar="FILE", help="a plan.json")
    sub.add_argument("--tail", choices=["host"], help="leave a last softmax to the host")


TILED = tuple(field.name for field in fields(TiledOptions))


def add_architecture(sub: argparse.ArgumentParser) -> None:
    """Which architecture, and the options of the tiled one."""
    sub.add_argument("--arch", choices=ARCHITECTURES, help=f"default: {ARCHITECTURES[0]}")
    group = sub.add_argument_group("tiled architecture")
    group.add_argument("--array", metavar="PExSIMD", help="an array (default 16x16)")
    group.add_argument(
        "--tiles", type=whole, metavar="N",
        help="tile units side by side, an array each: 1, 2, 4 or 8 (default 1)",
    )  # fmt: skip
    group.add_argument(
        "--resident", type=whole, metavar="N",
        help=f"tiles held in each buffer (default {DEFAULT_RESIDENT})",
    )  # fmt: skip
    group.add_argument("--buffer-kib", type=whole, metavar="N", help="of all buffers together")
    group.add_argument(
        "--mem-width", type=whole, metavar="BITS", help="of external memory's port (default 64)"
    )
    group.add_argument(
        "--order", choices=ORDERS, help="what stays at the array (default: the best for each layer)"
    )


def architecture(arguments: argparse.Namespace) -> dict[str, Any]:
    """The same as arguments of the API."""
    return {"arch": arguments.arch} | {name: getattr(arguments, name) for name in TILED}


def unused(plan: Plan, arguments: argparse.Namespace, output: Output) -> dict[str, str]:
    """Say where the budget is more than can be used; returns it as a part of the JSON value."""
    note = plan.unused(arguments.multipliers, arguments.interval)
    if note is None:
        return {}
    output.say(f"note: {note}")
    return {"note": note}


def input_type(arguments: argparse.Namespace) -> QType | None:
    """The type given with --input-type. Raises OptionError."""
    if arguments.input_type is None:
        return None
    try:
        return parse_type(arguments.input_type)
    except ValueError as error:
        raise OptionError(f"--input-type: {error}") from None


def load_model(arguments: argparse.Namespace) -> Graph:
    """The graph of the model file."""
    return api.load(arguments.model, input_type(arguments), arguments.runtime)
