"""hwgen run: golden integers of a model."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

from .. import api
from ..console import Output
from ..emit.place import check_files
from ..errors import OptionError, UserError
from ..numeric import type_text
from .arguments import (
    add_model,
    load_arrays,
    load_model,
    named_files,
    only_file,
    place,
    say_limits,
)
from .arrays import save_arrays

TEXT = "golden integers of a model"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model(sub)
    sub.add_argument(
        "--input", action="append", required=True, metavar="[NAME=]FILE.npy",
        help="frames to compute: an array (frames, *shape); once for each input",
    )  # fmt: skip
    sub.add_argument(
        "--output", required=True, type=place, metavar="FILE.npy",
        help="file for the results; with several outputs an .npz of them by name",
    )  # fmt: skip
    sub.add_argument(
        "--float", action="store_true", help="inputs and outputs are real values, not integers"
    )
    sub.add_argument(
        "--engine", choices=api.ENGINES, default=api.ENGINES[0],
        help="what computes: NumPy (golden), or the network's C code, compiled; the same integers",
    )  # fmt: skip
    sub.add_argument(
        "--edges", type=place, metavar="FILE.npz", help="write the values of every layer there too"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Carry out the command. Returns the exit code."""
    graph = load_model(arguments)
    written = [path for path in (arguments.output, arguments.edges) if path is not None]
    files = named_files(graph, "--input", arguments.input)
    check_files(written, [arguments.model, *files.values()])
    inputs = load_arrays(files)
    edges = arguments.edges is not None
    if edges and arguments.engine == "c":
        raise OptionError("--engine c gives outputs only", hint="leave out --edges")
    try:
        with warnings.catch_warnings(record=True) as warned, output.bar("frames") as progress:
            warnings.simplefilter("always")
            values = api.run(graph, inputs, arguments.float, edges, progress, arguments.engine)
    except UserError as error:
        raise error.within(only_file(files)) from None
    except MemoryError as error:
        raise UserError(f"not enough memory for its frames ({error})", file=arguments.model,
                        hint="give fewer frames") from None  # fmt: skip
    outputs = {name: values[name] for name in graph.outputs}
    results = {arguments.output: outputs if len(outputs) > 1 else outputs[graph.outputs[0]]}
    if arguments.edges is not None:
        results[arguments.edges] = values
    save_arrays(results)
    shapes = {name: list(values[name].shape) for name in graph.outputs}
    limits = say_limits(graph, arguments.input_type, output)
    for warning in warned:
        output.say(f"note: {warning.message}")
    for name, shape in shapes.items():
        output.say(
            f"{name}: {shape} of {type_text(graph.tensors[name].type)} in {arguments.output}"
        )
    value: dict[str, Any] = {"outputs": shapes, "file": str(arguments.output)}
    value |= limits
    value |= {"warnings": [str(w.message) for w in warned]} if warned else {}
    output.json(value)
    return 0
