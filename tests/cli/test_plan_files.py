"""Plan files and package files with faults end in exit code 2 and one message, nothing written."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

import hwgen
from hwgen import api
from hwgen.cli import main
from tests.helpers.json_faults import NOT_JSON, mutated
from tests.helpers.packages import tiny_model

CASES = {"dataflow": 100, "tiled": 60}
"""Faults of each architecture's plan."""


class Accepted(BaseException):
    """The plan was taken: what follows takes seconds."""


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """The exit code of a command, and what it said on stderr."""
    capsys.readouterr()
    code = main([str(a) for a in arguments])
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return code, err


def message(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command says that is refused, in one message."""
    code, err = run(capsys, *arguments)
    said = [line for line in err.splitlines() if line.startswith("hwgen: ")]
    assert code == 2 and len(said) == 1, (code, err)
    return said[0].removeprefix("hwgen: ")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def plans(model: Path) -> dict[str, Any]:
    """A plan file of each architecture."""
    graph = hwgen.load(model)
    dataflow = hwgen.plan(graph, multipliers=4)
    tiled = hwgen.plan(graph, arch="tiled", array="4x4", buffer_kib=16)
    return {"dataflow": dataflow.to_json(), "tiled": tiled.to_json()}


@pytest.mark.parametrize("arch", ["dataflow", "tiled"])
def test_plan_files_with_a_fault(
    arch: str,
    model: Path,
    plans: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def accept(*arguments: object) -> None:
        raise Accepted

    monkeypatch.setattr(api, "files_of", accept)
    file, out = tmp_path / "my_plan.json", tmp_path / "out"
    taken = 0
    for seed in range(CASES[arch]):
        fault, text = mutated(plans[arch], Random(seed))
        file.write_text(text)
        print(f"seed {seed}: {fault}")
        try:
            said = message(capsys, "build", model, "--out", out, "--plan", file)
            assert said.startswith(f"{file}"), said
        except Accepted:
            taken += 1
        assert [path.name for path in tmp_path.iterdir()] == [file.name]
    # Some numbers are right as well, and some keys may be left out.
    assert 0 < taken < CASES[arch] // 3


@pytest.mark.parametrize("fault", NOT_JSON)
def test_files_that_are_no_plans(
    fault: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "my_plan.json"
    file.write_bytes(NOT_JSON[fault])
    for command in (("build", model, "--out", tmp_path / "out", "--plan", file), ("inspect", file)):
        assert message(capsys, *command).startswith(f"{file}: ")
    assert list(tmp_path.iterdir()) == [file]


DATAFLOW_FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"pe": -1}, "units[0].pe: -1 is less than the minimum of 1"),
    ({"pe": 1.9}, "units[0].pe: expected an integer, got 1.9"),
    ({"pe": 1.0}, "units[0].pe: expected an integer, got 1.0"),
    ({"pe": True}, "units[0].pe: expected an integer, got True"),
    ({"pe": None}, "units[0].pe: expected an integer, got None"),
    ({"pe": float("inf")}, "units[0].pe: expected an integer, got inf"),
    ({"pe": 3}, "units[0].pe: 3 is more than the 2 outputs of this layer; state 1 to 2"),
    ({"simd": 1000}, "units[0].simd: 1000 is more than the 4 taps of this layer; state 1 to 4"),
    ({"pe": 2, "pixels": 5}, "units[0].pixels: 5 is more than the 4 of this layer with a pe of 2"),
    ({"pe": 1, "pixels": 2}, "units[0].pixels: 2 is more than the 1 of this layer with a pe of 1"),
    ({"fifo": True}, "units[0].fifo: expected an integer, got True"),
    ({"parallel": 1}, "units[0].parallel: expected true or false, got 1"),
    ({"rows": 1}, "units[0].rows: 1 is less than the 2 that are needed"),
    ({"lanes": 7}, "units[0].lanes: 7 is stated, 1 is right; leave it out"),
    ({"layers": ["other"]}, "units[0].layers: has 1 entries, 2 are right"),
    ({"kind": "dense"}, "units[0]."),
    ({"kind": "fork"}, "units[0]."),
    ({"kind": "ring_conv", "windows": 5}, "units[0]."),
    ({"color": 1}, "units[0].color: unknown key; there is name, kind, "),
    ({"name": "scores"}, "units[2].name: 'scores' is the name of units[0] too"),
    ({"name": "others"}, "units: none is for this layer"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), DATAFLOW_FAULTS)
def test_a_fault_of_a_unit_is_named(
    change: dict[str, Any],
    said: str,
    model: Path,
    plans: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = json.loads(json.dumps(plans["dataflow"]))
    plan["units"][0] |= change
    file = tmp_path / "my_plan.json"
    file.write_text(json.dumps(plan))
    text = message(capsys, "build", model, "--out", tmp_path / "out", "--plan", file)
    place, _, reason = text.partition(": ")
    assert place.split(", ")[0] == str(file)
    assert reason.startswith(said), text
    assert list(tmp_path.iterdir()) == [file]
