"""hwgen run: golden integers of a model."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

from .. import api
from ..arrays import Array, load_array, save_arrays
from ..console import Output
from ..emit.place import check_files
from ..errors import OptionError, UserError
from ..ir import Graph
from .arguments import add_model, load_model, say_assumed

TEXT = "golden integers of a model"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_model(sub)
    sub.add_argument(
        "--input", action="append", required=True, metavar="[NAME=]FILE.npy", help="frames"
    )
    sub.add_argument("--output", required=True, type=Path, metavar="FILE.npy", help="to be written")
    sub.add_argument("--float", action="store_true", help="real values in and out")
    sub.add_argument(
        "--engine", choices=api.ENGINES, default=api.ENGINES[0],
        help="NumPy (golden), or the network's C code, compiled: the same integers",
    )  # fmt: skip
    sub.add_argument("--edges", type=Path, metavar="FILE.npz", help="also every edge")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do it. Returns the exit code."""
    graph = load_model(arguments)
    written = [path for path in (arguments.output, arguments.edges) if path is not None]
    read = [arguments.model, *(Path(text.rpartition("=")[2]) for text in arguments.input)]
    check_files(written, read)
    inputs = _named_inputs(graph, arguments.input)
    edges = arguments.edges is not None
    if edges and arguments.engine == "c":
        raise OptionError("--engine c gives outputs only", hint="leave out --edges")
    try:
        with warnings.catch_warnings(record=True) as warned, output.bar("frames") as progress:
            warnings.simplefilter("always")
            values = api.run(graph, inputs, arguments.float, edges, progress, arguments.engine)
    except UserError as error:
        # With several inputs the message names the input.
        file = arguments.input[0].rpartition("=")[2]
        raise (error.within(file) if len(arguments.input) == 1 else error) from None
    except MemoryError as error:
        raise UserError(f"not enough memory for its frames ({error})", file=arguments.model,
                        hint="give fewer frames") from None  # fmt: skip
    outputs = {name: values[name] for name in graph.outputs}
    files = {arguments.output: outputs if len(outputs) > 1 else outputs[graph.outputs[0]]}
    if arguments.edges is not None:
        files[arguments.edges] = values
    save_arrays(files)
    shapes = {name: list(values[name].shape) for name in graph.outputs}
    assumed = say_assumed(graph, arguments.input_type, output)
    for warning in warned:
        output.say(f"note: {warning.message}")
    for name, shape in shapes.items():
        output.say(f"{name}: {shape} of {graph.tensors[name].type} in {arguments.output}")
    value: dict[str, Any] = {"outputs": shapes, "file": str(arguments.output)}
    value |= {"assumed": assumed} if assumed else {}
    value |= {"warnings": [str(w.message) for w in warned]} if warned else {}
    output.json(value)
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
