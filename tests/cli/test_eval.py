"""hwgen eval on models and on packages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwgen import api
from hwgen.cli import main
from hwgen.report.html import THIN

FIXTURE = Path(__file__).parents[1] / "importers" / "fixtures" / "few_bits.h5"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Frames labelled with what the network says, but for one in four."""
    graph = api.load(FIXTURE)
    x = np.random.default_rng(5).integers(0, 256, (20, *graph.inputs[0].shape))
    y = api.run(graph, {graph.inputs[0].name: x})[graph.outputs[0]].reshape(20, -1).argmax(axis=1)
    y[::4] += 1
    np.savez(tmp_path / "data.npz", x=x, y=y)
    return tmp_path / "data.npz"


def test_model_and_package_say_the_same(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = api.build(FIXTURE, tmp_path / "package", multipliers=20)
    for model in (FIXTURE, package.path):
        assert main(["eval", str(model), "--data", str(data), "--json"]) == 0
        value = json.loads(capsys.readouterr().out)
        told = ["input_1: type u8.8 assumed: the model does not say it (set --input-type)"]
        assert value == {"samples": 20, "accuracy": 0.75, "assumed": told}
    report = json.loads((package.path / "report.json").read_text())
    assert report["accuracy"]["accuracy"] == 0.75
    assert f"75.00{THIN}%" in (package.path / "report.html").read_text()


def test_a_package_is_simulated_in_place(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = api.build(FIXTURE, tmp_path / "package", multipliers=20)
    command = ["eval", str(package.path), "--data", str(data), "--rtl", "2", "--sim", "python"]
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rtl"]["equal"]
    assert package.result("verify")


def test_a_package_has_its_own_choices(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = api.build(FIXTURE, tmp_path / "package", multipliers=20)
    command = ["eval", str(package.path), "--data", str(data), "--multipliers", "9"]
    assert main(command) == 2
    assert "--multipliers was given" in capsys.readouterr().err
