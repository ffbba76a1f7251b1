"""The Python API as a person in a notebook meets it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.cli import _parser
from hwgen.ir import Graph
from hwgen.numeric import QType

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "hwgen" / "models" / "mnist_cnn.h5"
STEPS = ("build", "load", "plan", "run", "synthesize", "verify")


@pytest.fixture(scope="module")
def graph() -> Graph:
    return hwgen.load(MODEL)


def test_names_are_completed() -> None:
    assert {*STEPS, "Memory", "UserError", "ToolError", "__version__"} == set(dir(hwgen))
    assert (ROOT / "hwgen" / "py.typed").exists()


@pytest.mark.parametrize("name", STEPS)
def test_steps_say_what_they_take(name: str) -> None:
    step = getattr(hwgen, name)
    assert inspect.isfunction(step)
    text = inspect.getdoc(step) or ""
    assert "Parameters\n" in text and "Raises" in text
    for parameter in inspect.signature(step).parameters.values():
        assert parameter.kind is not parameter.VAR_KEYWORD
        assert parameter.annotation not in (parameter.empty, "Any")
        described = parameter.name in text
        # Options of an architecture, and those that build has from plan.
        assert described or parameter.kind is parameter.KEYWORD_ONLY or name == "build"


def test_plan_is_the_step_whatever_is_imported_first() -> None:
    code = (
        "import hwgen.plan.tiled.plan, hwgen; from hwgen import plan; "
        "assert plan is hwgen.plan is hwgen.api.plan; print(plan.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "plan\n"


def test_the_version_is_one() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hwgen", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"hwgen {hwgen.__version__}\n"


def test_graphs_and_plans_show_themselves(graph: Graph) -> None:
    assert repr(graph) == "<Graph 'mnist_cnn': 10 layers, 307,648 MACs, 28x28x1 -> 10>"
    assert all(f"<td style=\"text-align:left\">{node.name}</td>" in graph._repr_html_()
               for node in graph.nodes)  # fmt: skip
    dataflow = hwgen.plan(graph, multipliers=64)
    assert repr(dataflow).startswith("<DataflowPlan 'mnist_cnn': 7 units, 62 multipliers")
    tiled = hwgen.plan(graph, arch="tiled", array="8x8")
    assert repr(tiled).startswith("<TiledPlan 'mnist_cnn': 8x8 multipliers, a frame in ")
    for plan, name in ((dataflow, "conv1"), (tiled, "relu1")):
        assert f'<td style="text-align:left">{name}' in plan._repr_html_()  # type: ignore[attr-defined]
        assert len(repr(plan)) < 120


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda g: hwgen.plan("file.h5"), "hwgen.plan(hwgen.load('file.h5'))"),
        (lambda g: hwgen.plan(None), "takes a graph, not None"),
        (lambda g: hwgen.plan(g, multiplier=64), "did you mean multipliers?"),
        (lambda g: hwgen.plan(g, colour=64), "there is no option 'colour'"),
        (lambda g: hwgen.plan(g, multipliers=6.5), "--multipliers 6.5: give an integer"),
        (lambda g: hwgen.plan(g, multipliers="64"), "--multipliers '64': give an integer"),
        (lambda g: hwgen.plan(g, multipliers=True), "--multipliers True: give an integer"),
        (lambda g: hwgen.plan(g, multipliers=9, interval=9), "--multipliers and --interval"),
        (lambda g: hwgen.plan(g, array="8x8"), "--array is for --arch tiled"),
        (lambda g: hwgen.plan(g, arch="tiled", interval=9), "--interval is for --arch dataflow"),
        (lambda g: hwgen.plan(g, arch="tiled", array=(8, 8, 8)), "--array 8x8x8"),
        (lambda g: hwgen.plan(g, arch="tiled", array=8), "--array 8: give PExSIMD, powers of two"),
        (lambda g: hwgen.plan(g, arch="tiled", order="row"), "--order 'row' is not one of auto"),
        (lambda g: hwgen.plan(g, arch="systolic"), "is not one of dataflow, tiled"),
        (
            lambda g: hwgen.plan(g, plan_file=MODEL, multipliers=9),
            "--multipliers is what the file of --plan states",
        ),
        (lambda g: hwgen.load(3), "load() takes the path of a file, not 3 (int)"),
        (lambda g: hwgen.load(MODEL, input_type="w8"), "--input-type"),
        (lambda g: hwgen.load(MODEL, input_type=8), 'give one as "u8.8"'),
        (lambda g: hwgen.build(g, "out"), "build() takes the path of a file"),
        (lambda g: hwgen.verify(g), "verify() takes a package or its directory"),
        (lambda g: hwgen.synthesize(3, "ecp5-85k-6"), "synthesize() takes a package"),
        (lambda g: hwgen.run("file.h5", {}), "run() takes a graph"),
        (lambda g: hwgen.run(g, "image"), "has shape ()"),
        (lambda g: hwgen.run(g, [[0.5]]), "has shape (1, 1)"),
    ],
)
def test_what_is_wrong_ends_in_a_sentence(graph: Graph, call, said: str) -> None:
    with pytest.raises(hwgen.UserError) as caught:
        call(graph)
    assert said in str(caught.value)


def test_natural_values_are_taken(graph: Graph) -> None:
    assert hwgen.load(MODEL, input_type="u8.8").inputs == graph.inputs
    asked = hwgen.plan(graph, arch="tiled", array=(8, 8)).to_json()
    assert asked == hwgen.plan(graph, arch="tiled", array="8x8").to_json()
    assert hwgen.plan(graph, multipliers=np.int64(64)).multipliers == 62  # type: ignore[arg-type]
    assert isinstance(hwgen.load(MODEL, input_type=graph.inputs[0].type).inputs[0].type, QType)
    image = np.zeros((28, 28, 1), np.int64)
    by_name = hwgen.run(graph, {graph.inputs[0].name: image})
    assert np.array_equal(hwgen.run(graph, image)["dense2"], by_name["dense2"])


def test_every_argument_says_what_it_is_for() -> None:
    (commands,) = [a for a in _parser()._actions if a.metavar == "COMMAND"]
    assert commands.choices is not None and len(commands.choices) == 8  # type: ignore[arg-type]
    silent = [
        f"{name}: {action.dest}"
        for name, parser in commands.choices.items()  # type: ignore[union-attr]
        for action in parser._actions
        if not action.help
    ]
    assert not silent
