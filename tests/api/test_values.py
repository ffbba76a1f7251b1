"""What is no value of a parameter: one sentence that names both, before any work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen import values
from hwgen.archs.package import Package
from hwgen.flow.comparison import Difference
from hwgen.flow.fpga import synth
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import parse_type
from tests.helpers.packages import tiny_package

X = np.zeros((1, 4, 4, 1), np.int64)
RAGGED = [[1, 2], [3]]
HUGE = 10**5000


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Beside the model: tiny.json."""
    return tiny_package(tmp_path_factory.mktemp("package"))


def refused(call: Any, *arguments: Any, **named: Any) -> str:
    """The sentence that a call ends in."""
    with pytest.raises(hwgen.UserError) as caught:
        call(*arguments, **named)
    assert len(str(caught.value)) < 300
    return str(caught.value)


TEXTS = ("nope", "", "HOST", 3, True, ["host"], {}, np.array(["a", "b"]), HUGE)
"""One of a few texts is none of these; some have no hash, and some compare as arrays."""


@pytest.mark.parametrize("wrong", TEXTS, ids=range(len(TEXTS)))
def test_texts_of_which_there_are_few(package: Package, tmp_path: Path, wrong: Any) -> None:
    graph, model, out = package.graph, package.path.parent / "tiny.json", tmp_path / "out"
    for said, there, call in (
        ("--tail", "can be host only", lambda: hwgen.plan(graph, tail=wrong)),
        ("--tail", "can be host only", lambda: hwgen.build(model, out, tail=wrong)),
        ("--arch", "dataflow, tiled", lambda: hwgen.plan(graph, arch=wrong)),
        ("--arch", "dataflow, tiled", lambda: hwgen.build(model, out, arch=wrong)),
        ("--order", "auto, output", lambda: hwgen.plan(graph, arch="tiled", order=wrong)),
        ("--runtime", "tflm, xnnpack", lambda: hwgen.load(model, runtime=wrong)),
        ("--runtime", "tflm, xnnpack", lambda: hwgen.build(model, out, runtime=wrong)),
        ("--engine", "golden, c", lambda: hwgen.run(graph, X, engine=wrong)),
        ("--sim", "python", lambda: hwgen.verify(package, simulator=wrong)),
        ("--device", "ecp5-25k-6", lambda: hwgen.synthesize(package, wrong)),
    ):
        found = refused(call)
        assert found.startswith(f"{said} {values.shown(wrong)}") and there in found
    assert not list(tmp_path.iterdir()) and package.result("verify") is None


def test_all_that_is_asked_for_is_taken(package: Package) -> None:
    graph = package.graph
    (given,) = hwgen.run(graph, X, engine="golden").values()
    (by_numpy,) = hwgen.run(graph, X, engine=np.str_("golden"), edges=np.bool_(False)).values()  # type: ignore[arg-type]
    assert np.array_equal(given, by_numpy)
    assert hwgen.Memory(np.int64(7), np.float32(0.5)) == hwgen.Memory(7, 0.5)  # type: ignore[arg-type]
    assert type(hwgen.Memory(np.int64(7)).latency) is int  # type: ignore[arg-type]


INTEGERS = ("3", 1.5, True, None, [3], 3j, b"3", HUGE)
NUMBERS = ("x", True, [1.0], 1j, float("nan"), float("inf"), -1, HUGE)


@pytest.mark.parametrize(
    ("name", "call", "wrongs"),
    [
        ("--random", lambda p, v: hwgen.verify(p, random=v), (*INTEGERS, 0, -1)),
        ("--mem-latency", lambda p, v: hwgen.Memory(latency=v), (*INTEGERS, 0, 10_001, 2.5)),
        ("--mem-rate", lambda p, v: hwgen.Memory(rate=v), (*NUMBERS, 0, 1.5, None)),
        ("--mem-gaps", lambda p, v: hwgen.Memory(gaps=v), (*INTEGERS, -1)),
        ("--multipliers", lambda p, v: hwgen.plan(p.graph, multipliers=v), INTEGERS),
        ("--tiles", lambda p, v: hwgen.plan(p.graph, arch="tiled", tiles=v), INTEGERS),
        (
            "--freq",
            lambda p, v: hwgen.synthesize(p, "ecp5-25k-6", target_mhz=v),
            (*NUMBERS, 0, 1001, None),
        ),
        (
            "--seed",
            lambda p, v: hwgen.synthesize(p, "ecp5-25k-6", seed=v),
            (*INTEGERS, -1, 10**9 + 1),
        ),
        (
            "--tries",
            lambda p, v: hwgen.synthesize(p, "ecp5-25k-6", tries=v),
            (*INTEGERS, 0, -1, 101),
        ),
        ("accuracy", lambda p, v: hwgen.api.record_accuracy(p, v, 1), (*NUMBERS, 1.5)),
        ("samples", lambda p, v: hwgen.api.record_accuracy(p, 1.0, v), (*INTEGERS, 0)),
    ],
)
def test_numbers(
    package: Package, monkeypatch: pytest.MonkeyPatch, name: str, call: Any, wrongs: tuple[Any, ...]
) -> None:
    for tool in ("yosys", "nextpnr"):
        monkeypatch.setattr(synth.tools, tool, lambda *_: pytest.fail("a tool is asked for"))
    # Where None is taken, it says that nothing is asked for.
    optional = {"--random", "--mem-gaps", "--multipliers", "--tiles"}
    for wrong in wrongs:
        if wrong is not None or name not in optional:
            assert refused(call, package, wrong).startswith(name), wrong


FLAGS = [
    ("--float", lambda p, v: hwgen.run(p.graph, X, real=v)),
    ("--edges", lambda p, v: hwgen.run(p.graph, X, edges=v)),
    ("--wave", lambda p, v: hwgen.verify(p, wave=v)),
    ("--trace", lambda p, v: hwgen.verify(p, trace=v)),
    ("--c", lambda p, v: hwgen.build(p.path.parent / "tiny.json", p.path.parent / "c", c=v)),
]
FUNCTIONS = [
    ("progress", lambda p, v: hwgen.plan(p.graph, progress=v)),
    ("progress", lambda p, v: hwgen.run(p.graph, X, progress=v)),
    ("progress", lambda p, v: hwgen.verify(p, progress=v)),
    ("progress", lambda p, v: hwgen.synthesize(p, "ecp5-25k-6", progress=v)),
    ("progress", lambda p, v: hwgen.build("no model", p.path.parent / "c", progress=v)),
    ("memory", lambda p, v: hwgen.verify(p, memory=v)),
]


@pytest.mark.parametrize(("name", "call"), [*FLAGS, *FUNCTIONS])
def test_other_kinds(package: Package, name: str, call: Any) -> None:
    for wrong in (3, 0, "no", "", [1]):
        said = refused(call, package, wrong)
        assert said.startswith(f"{name} {wrong!r}: give "), said
    assert not (package.path.parent / "c").exists()


class Stubborn:
    """Others' arrays may have reasons not to be NumPy's, as one that needs its gradient."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("detach it first")


@pytest.mark.parametrize("real", [False, True])
def test_inputs_of_a_run(package: Package, real: bool) -> None:
    graph = package.graph
    name = graph.inputs[0].name
    for inputs, said in (
        (RAGGED, f"input {name!r} is no array (setting an array element"),
        ({name: RAGGED}, f"input {name!r} is no array (setting an array element"),
        (Stubborn(), f"input {name!r} is no array (detach it first)"),
        ({"nope": X}, f"no input 'nope'; there is {name}"),
        ({name: X, "b": X}, f"no input 'b'; there is {name}"),
        ({name: X, 3: X}, f"no input 3; there is {name}"),
        ({}, f"no array given for input {name!r}"),
        ({name: None}, f"no array given for input {name!r}"),
        (None, f"no array given for input {name!r}"),
        ("text", f"input {name!r} has "),
        ([["a"]], f"input {name!r} has "),
        (np.zeros((1, 5)), f"input {name!r} has shape (1, 5)"),
    ):
        assert refused(hwgen.run, graph, inputs, real=real).startswith(said)


def test_one_array_is_not_enough_for_two_inputs() -> None:
    byte = parse_type("s8.0")
    ends = (Tensor("a", (4,), byte), Tensor("b", (4,), byte))
    two = Graph("two", ends, (Node("sum", ops.Add(), ("a", "b")),), ("sum",)).verify()
    assert "several inputs: 'a', 'b'" in refused(hwgen.run, two, [[1, 2, 3, 4]])
    assert refused(hwgen.run, two, {"a": [1, 2, 3, 4]}) == "no array given for input 'b'"
    summed = hwgen.run(two, {"a": np.arange(4), "b": np.arange(5, 1, -1)})["sum"]
    assert summed.tolist() == [[5, 5, 5, 5]]


def test_inputs_of_a_verification(package: Package) -> None:
    name = package.graph.inputs[0].name
    said = f"input {name!r} is no array (setting an array element"
    assert refused(hwgen.verify, package, inputs=RAGGED).startswith(said)
    both = refused(hwgen.verify, package, inputs=X, random=3)
    assert both == "give one of --inputs and --random"


def test_an_array_of_multipliers(package: Package) -> None:
    graph = package.graph
    asked = hwgen.plan(graph, arch="tiled", array="8x4").to_json()
    for sizes in ((8, 4), [8, 4], np.array([8, 4]), (np.int64(8), 4), range(8, 0, -4)):
        assert hwgen.plan(graph, arch="tiled", array=sizes).to_json() == asked  # type: ignore[arg-type]
    for wrong in (
        8, 8.5, (8,), (8, 8, 8), (8, 5), (8.0, 8.0), (True, 8), ("8", "8"), np.array(8), np.ones(2),
        np.full((2, 2), 8), {8, 4}, {8: 4}, b"\x08\x08", "", "8", "8x", "\u0664x\u0664", "88x",
        "0x8x8", RAGGED, (HUGE, 8),
    ):  # fmt: skip
        said = refused(hwgen.plan, graph, arch="tiled", array=wrong)
        assert said.startswith("--array ") and said.endswith(
            ": give PExSIMD, powers of two from 4 to 64, as in 16x16"
        )


def test_digits_of_types_are_ascii(package: Package) -> None:
    model = package.path.parent / "tiny.json"
    for wrong in ("u\u0668.8", "u8.\u0668", "u" + "9" * 5000 + ".8"):
        with pytest.raises(hwgen.UserError, match="--input-type"):
            hwgen.load(model, input_type=wrong)


@pytest.mark.parametrize("wrong", ["a\0b", b"a", 3, None], ids=["nul", "bytes", "3", "None"])
def test_paths(package: Package, wrong: Any) -> None:
    graph, model = package.graph, package.path.parent / "tiny.json"
    for call in (
        lambda: hwgen.load(wrong),
        lambda: hwgen.build(wrong, "out"),
        lambda: hwgen.build(model, wrong),
        lambda: hwgen.verify(wrong),
        lambda: hwgen.synthesize(wrong, "ecp5-25k-6"),
        lambda: hwgen.plan(graph, plan_file="a\0b" if wrong is None else wrong),
    ):
        assert "() takes " in refused(call)


def test_a_path_may_be_too_long() -> None:
    with pytest.raises(hwgen.UserError, match="can not be read"):
        hwgen.verify("x" * 5000)


def test_what_is_returned_shows_itself_in_a_line(package: Package) -> None:
    right = hwgen.verify(package, "python", random=2)
    assert repr(right) == (
        f"<Verification: RTL equals golden on 2 frames (python), interval {right.interval} cycles, "
        f"latency {right.latency}>"
    )
    assert repr(package) == f"<Package 'tiny': of tiny.json, in {package.path}>"
    wrong = replace(right, difference=Difference(0, "dense", (3,), 5, 6))
    assert repr(wrong) == (
        "<Verification: RTL differs from golden: frame 0, layer 'dense', channel 3: expected 5, "
        "got 6>"
    )
    shown = [package, right, wrong, right.run, package.graph, package.plan, hwgen.Memory()]
    assert all("\n" not in repr(one) and "array" not in repr(one) for one in shown)
    assert all(len(repr(one)) < 120 + len(str(package.path)) for one in shown)
