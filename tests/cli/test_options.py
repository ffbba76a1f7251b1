"""Options of numbers: what can not be is refused before anything is said, and no file is blamed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen import api
from hwgen.archs.package import Package
from hwgen.cli import main
from hwgen.plan.dataflow.folding import useful_multipliers
from hwgen.plan.dataflow.stages import stages_of
from tests.helpers.packages import tiny_model, tiny_package

TEXTS = ("1.5", "nan", "inf", "", "x", "1e3", "\u0663", "9" * 5000, "0x10", "1_000", "--", "1" * 19)
"""No whole numbers, or none that anything has so many of."""
NO_NUMBERS = ("nan", "inf", "", "x", "\u0663", "1e999")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Beside the model: tiny.json."""
    return tiny_package(tmp_path_factory.mktemp("package"))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one message of a command that says nothing else."""
    capsys.readouterr()
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2 and out == "" and "Traceback" not in err
    said = [line for line in err.splitlines() if line.startswith("hwgen: ")]
    assert len(said) == 1 and len(said[0]) < 400, err
    return said[0].removeprefix("hwgen: ")


TILED = ("--arch", "tiled")
PLANNED = [
    (("--multipliers",), ("-1", "0", "1")),
    (("--interval",), ("-1", "0", "1")),
    ((*TILED, "--multipliers"), ("-1", "0", "1")),
    ((*TILED, "--interval"), ("-1", "0", "10000")),
    ((*TILED, "--tiles"), ("-1", "0", "3", "1000000000")),
    ((*TILED, "--resident"), ("-1", "0", "9", "1000000000")),
    ((*TILED, "--buffer-kib"), ("-1", "0", "1", "1000000000")),
    ((*TILED, "--mem-width"), ("-1", "0", "48", "1000000000")),
]


@pytest.mark.parametrize("command", ["inspect", "build"])
@pytest.mark.parametrize(("options", "wrong"), PLANNED)
def test_what_a_plan_can_not_be_made_for(
    command: str,
    options: tuple[str, ...],
    wrong: tuple[str, ...],
    package: Package,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = package.path.parent / "tiny.json"
    out = ("--out", tmp_path / "out") if command == "build" else ()
    for value in (*wrong, *TEXTS):
        said = refused(capsys, command, model, *out, *options[:-1], f"{options[-1]}={value}")
        assert options[-1] in said and "tiny.json" not in said, said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "options", [("--array", "3x5"), ("--array", ""), ("--array", "8x8"), ("--order", "input")]
)
def test_other_options_of_a_plan(
    options: tuple[str, str], package: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    model = package.path.parent / "tiny.json"
    arch = TILED if options[1] in ("3x5", "") else ()
    said = refused(capsys, "inspect", model, "--plan", *arch, *options)
    assert said.startswith(options[0])


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("--random", ("-1", "0", "100000000", "100000000000", *TEXTS)),
        ("--mem-latency", ("-1", "0", "10001", *TEXTS)),
        ("--mem-rate", ("-1", "0", "1.1", "0.001", *NO_NUMBERS)),
        ("--mem-gaps", ("-1", "1000000001", *TEXTS)),
    ],
)
def test_what_can_not_be_verified(
    option: str, wrong: tuple[str, ...], package: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in wrong:
        said = refused(capsys, "verify", package.path, "--sim", "python", f"{option}={value}")
        assert option in said and str(package.path) not in said


def test_a_frame_is_not_blamed_for_options_and_tools(
    package: Package,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "x.npy", np.zeros((1, 4, 4, 1), np.uint8))
    given = ("verify", package.path, "--inputs", tmp_path / "x.npy")
    assert "x.npy" not in refused(capsys, *given, "--mem-latency", 5)
    monkeypatch.setenv("PATH", "")
    assert "x.npy" not in refused(capsys, *given, "--sim", "icarus")
    np.save(tmp_path / "x.npy", np.zeros((1, 5, 4, 1), np.uint8))
    assert "x.npy" in refused(capsys, *given, "--sim", "python")


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("--freq", ("-1", "0", "1001", *NO_NUMBERS)),
        ("--seed", ("-1", "10000000000", *TEXTS)),
        ("--tries", ("-1", "0", "101", *TEXTS)),
    ],
)
def test_what_can_not_be_synthesized(
    option: str, wrong: tuple[str, ...], package: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    for value in wrong:
        device = ("--device", "ecp5-85k-6")
        assert option in refused(capsys, "synth", package.path, *device, f"{option}={value}")


def test_what_can_not_be_evaluated(
    package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "data.npz", x=np.zeros((3, 4, 4, 1), np.uint8), y=np.zeros(3, int))
    model = package.path.parent / "tiny.json"
    given = ("eval", model, "--data", tmp_path / "data.npz")
    for value in ("-1", "0", "4", *TEXTS):
        said = refused(capsys, *given, f"--rtl={value}")
        assert "--rtl" in said and "data.npz: --rtl" not in said
    # What is behind the golden accuracy is no reason to print that first.
    assert "at least 2" in refused(capsys, *given, "--rtl", 1, "--multipliers", 1)
    for option, value in (("--multipliers", 9), ("--interval", 99), ("--sim", "python")):
        assert f"{option} is for --rtl" in refused(capsys, *given, option, value)
    assert main([*map(str, given)]) == 0


@pytest.mark.parametrize(
    ("options", "note"),
    [
        (("--multipliers", 10**9), "--multipliers 1,000,000,000: 9 are the most that can be used"),
        (("--multipliers", 10), "--multipliers 10: 9 are the most that can be used"),
        (("--multipliers", 9), None),
        (("--multipliers", 5), None),
        (("--interval", 10**12), "--interval 1,000,000,000,000: 128 cycles are kept with"),
        (("--interval", 128), None),
        (("--interval", 40), None),
        ((*TILED, "--multipliers", 10**9), "--multipliers 1,000,000,000: the largest array has"),
        ((*TILED, "--multipliers", 8192), "--multipliers 8,192: the largest array has 4,096"),
        ((*TILED, "--multipliers", 8191), None),
        ((*TILED, "--multipliers", 100), None),
    ],
)
def test_more_than_can_be_used_is_said(
    options: tuple[object, ...],
    note: str | None,
    package: Package,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["inspect", str(package.path.parent / "tiny.json"), *map(str, options)]
    assert main(command) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: --")]
    assert len(lines) == (note is not None)
    assert main([*command, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    if note is None:
        assert "note" not in value
    else:
        assert lines == [f"note: {value['note']}"] and value["note"].startswith(note)


def test_a_build_says_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tiny_model(tmp_path)
    graph = api.load(model)
    fewest, most = useful_multipliers(stages_of(hwgen.plan(graph).graph))
    assert fewest == hwgen.plan(graph, multipliers=fewest).multipliers == 2
    assert most == hwgen.plan(graph, multipliers=10**9).multipliers == 9 == 2 * 4 + 1
    command = ["build", str(model), "--out", str(tmp_path / "out"), "--multipliers", "1000"]
    assert main([*command, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["note"] == "--multipliers 1,000: 9 are the most that can be used here"
    assert "note" not in json.loads((tmp_path / "out" / "report.json").read_text())
