"""A third architecture is a folder and an entry: the same commands plan, build and verify it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwgen.archs import ARCHITECTURES
from hwgen.cli import main
from hwgen.ir import Graph, Node, Tensor, graph_to_json, ops
from hwgen.numeric import Overflow, QType, Rounding
from tests.helpers.serial.architecture import Serial

SEED = 3


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of one dense layer, and the architecture among the others."""
    monkeypatch.setitem(ARCHITECTURES, Serial.name, Serial())
    rng = np.random.default_rng(SEED)
    narrow = QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE)
    dense = ops.Dense(weights=rng.integers(-9, 10, (5, 3)), weight_type=narrow)
    requant = ops.Requantize.scaled(narrow, [3, 1, 2], [5, -7, 0], 4)
    nodes = [Node("dense", dense, ("x",)), Node("out", requant, ("dense",))]
    file = tmp_path / "one_layer.json"
    graph = Graph("one_layer", (Tensor("x", (5,), narrow),), tuple(nodes), ("out",))
    file.write_text(json.dumps(graph_to_json(graph)))
    return file


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    assert main([*map(str, words), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_the_same_commands_carry_it(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "package"
    asked = ("--arch", "serial", "--unit", "lone")
    assert answer(capsys, "inspect", model, *asked)["plan"]["unit"] == "lone"
    built = answer(capsys, "build", model, "--out", out, *asked)
    assert (built["arch"], built["multipliers"]) == ("serial", 1)
    assert "module top" in (out / "rtl" / "top.v").read_text()

    verified = answer(capsys, "verify", out, "--random", 20)
    assert verified["equal"] and verified["frames"] == 20
    assert verified["interval_measured"] == built["cycles"]["interval_bound"] == 5 + 3 * 6
    report = answer(capsys, "report", out)
    assert report["layers"][0] == {"name": "lone", "op": "dense", "interval_measured": 23}
    assert "The multiplier of lone" in (out / "report.html").read_text()

    again = tmp_path / "again"
    assert answer(capsys, "build", model, "--out", again, "--plan", out / "plan.json")
    assert (again / "rtl" / "top.v").read_bytes() == (out / "rtl" / "top.v").read_bytes()


def test_a_wrong_design_is_seen(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    out = tmp_path / "package"
    answer(capsys, "build", model, "--out", out, "--arch", "serial")
    monkeypatch.setattr("tests.helpers.serial.top.WIDTH", 8)  # sums that wrap
    assert main(["verify", str(out), "--random", "20"]) == 1
    assert "differs" in capsys.readouterr().out


def test_options_of_others_are_refused(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model), "--arch", "serial", "--array", "4x4"]) == 2
    assert "--array is for --arch tiled" in capsys.readouterr().err
    assert main(["inspect", str(model), "--unit", "lone"]) == 2
    assert "--unit is for --arch serial" in capsys.readouterr().err
