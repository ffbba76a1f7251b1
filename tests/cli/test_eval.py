"""hwgen eval on models and on packages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwgen import api
from hwgen.cli import main
from hwgen.numeric import dequantize
from hwgen.report.html import THIN
from tests.helpers.packages import tiny_package

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


def test_what_is_said_of_real_values_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that refuses them says --float, and takes them with it: run, eval, verify."""
    package = tiny_package(tmp_path)
    (tensor,) = package.graph.inputs
    integers = np.random.default_rng(2).integers(*tensor.range, (6, *tensor.shape))
    reals = dequantize(integers, tensor.type)
    answers = classes_of(package.path.with_suffix(".json"), integers)
    np.save(tmp_path / "x.npy", reals)
    np.savez(tmp_path / "data.npz", x=reals, y=answers)
    for command in (
        ["run", package.path.with_suffix(".json"), "--input", "x.npy", "--output", "y.npy"],
        ["eval", package.path, "--data", "data.npz", "--rtl", "2", "--sim", "python"],
        ["verify", package.path, "--inputs", "x.npy", "--sim", "python"],
    ):
        given = [
            str(tmp_path / a) if str(a).endswith((".npy", ".npz")) else str(a) for a in command
        ]
        assert main(given) == 2
        assert "real values with --float" in capsys.readouterr().err
        assert main([*given, "--float"]) == 0
        said = capsys.readouterr().out
        assert command[0] != "eval" or "golden: 100.00 % of 6 samples" in said
    assert main(["verify", str(package.path), "--float"]) == 2
    assert "--float says what the arrays of --inputs are" in capsys.readouterr().err


def classes_of(model: Path, integers: np.ndarray) -> np.ndarray:
    """The class of each frame."""
    graph = api.load(model)
    (scores,) = api.run(graph, {graph.inputs[0].name: integers}).values()
    return scores.reshape(len(scores), -1).argmax(axis=1)
