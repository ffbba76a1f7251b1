"""The shipped CNN all the way: import, golden, plan, package, simulation."""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.cli import main
from hwgen.flow import tools
from hwgen.plan.dataflow.plan import DataflowPlan

MODELS = Path(hwgen.__file__).parent / "models"
MODEL = MODELS / "mnist_cnn.h5"
BUDGETS = {
    32: (10_976, 11_210),
    64: (5_488, 5_615),
    128: (2_744, 2_815),
    400: (784, 816),
}
"""Multipliers: bound of the best folding, and the interval allowed."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Package]:
    target = tmp_path_factory.mktemp("e2e") / "mnist_cnn"
    begin = time.monotonic()
    yield hwgen.build(MODEL, target, multipliers=64)
    print(f"built in {time.monotonic() - begin:.1f} s")


def need_compiler() -> None:
    if not tools.can_compile():
        pytest.skip("Verilator, g++, make and perl are needed")


def digits(count: int) -> tuple[np.ndarray, np.ndarray]:
    with np.load(MODELS / "mnist_digits.npz") as data:
        return data["x"][:count].reshape(-1, 28, 28, 1), data["y"][:count]


def test_golden_equals_the_frozen_outputs_of_qkeras() -> None:
    graph = hwgen.load(MODEL)
    x, _ = digits(300)
    got = hwgen.run(graph, {graph.inputs[0].name: x / 256}, real=True)[graph.outputs[0]]
    with np.load(MODELS / "mnist_cnn_oracle.npz") as oracle:
        assert np.array_equal(got, oracle["logits"])


@pytest.mark.parametrize("budget", BUDGETS)
def test_intervals_of_the_budgets(budget: int) -> None:
    bound, allowed = BUDGETS[budget]
    plan = hwgen.plan(hwgen.load(MODEL), multipliers=budget)
    assert isinstance(plan, DataflowPlan)
    assert plan.multipliers <= budget
    assert plan.interval_bound == bound
    assert plan.timing().interval <= min(allowed, 1.02 * bound + 16)


def test_rtl_equals_golden_and_the_event_model(package: Package) -> None:
    need_compiler()
    x, y = digits(40)
    result = hwgen.verify(package, "verilator", inputs=x)
    assert result.difference is None
    timing = package.plan.timing()
    assert (result.interval, result.latency) == (timing.interval, timing.latency) == (5488, 6965)
    assert result.run.levels == timing.high_water
    report = json.loads((package.path / "report.json").read_text())
    assert report["cycles"]["interval_measured"] == 5488
    assert report["utilization"] == round(307_648 / (5488 * 62), 4)
    assert all(
        layer["interval_measured"] == layer["interval_estimate"]
        for layer in report["layers"]
        if layer["macs"]
    )
    golden = hwgen.run(package.graph, {package.graph.inputs[0].name: x})
    scores = golden[package.graph.outputs[0]]
    assert np.array_equal(result.outputs.argmax(axis=1), scores.argmax(axis=1))
    assert (result.outputs.argmax(axis=1) == y).mean() > 0.9


def test_four_hundred_multipliers_in_amaranths_simulator(tmp_path: Path) -> None:
    quick = hwgen.build(MODEL, tmp_path / "quick", multipliers=400)
    result = hwgen.verify(quick, "python", inputs=digits(1)[0])
    assert result.difference is None
    assert result.interval <= 816
    assert result.run.levels == quick.plan.timing(3).high_water


def test_a_damaged_weight_is_found_in_its_layer(tmp_path: Path) -> None:
    need_compiler()
    broken = hwgen.build(MODEL, tmp_path / "broken", multipliers=64)
    image = broken.path / "mem" / "conv2_weights.hex"
    words = image.read_text().splitlines()
    words[0] = f"{int(words[0], 16) ^ 0x1F:0{len(words[0])}x}"
    image.write_text("\n".join(words) + "\n")
    assert main(["verify", str(broken.path), "--sim", "verilator"]) == 1
    result = broken.result("verify")
    assert result is not None
    assert "layer 'relu2'" in result["difference"]


def test_the_same_bytes_again(package: Package, tmp_path: Path) -> None:
    """Another process, another directory, another hash seed."""
    target = tmp_path / "elsewhere"
    command = [sys.executable, "-m", "hwgen", "build", str(MODEL), "--out", str(target)]
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    subprocess.run([*command, "--multipliers", "64"], check=True, env=environment)
    for name in package.manifest["files"]:
        assert filecmp.cmp(package.path / name, target / name, shallow=False), name
    assert (target / "manifest.json").read_bytes() == (package.path / "manifest.json").read_bytes()
