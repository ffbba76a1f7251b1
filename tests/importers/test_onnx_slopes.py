"""ONNX: LeakyRelu and PRelu with slopes of either sign, in golden and against the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.importers import load
from tests.helpers.onnx_files import OnnxFile, runtime
from tests.helpers.refusals import refusal

SHAPE = (1, 4, 3, 5)
SCALE, ZERO, OUT = 0.05, 20, (0.03, -17)
X = np.random.default_rng(3).normal(0, 4, (9, *SHAPE[1:])).astype(np.float32)
SLOPES: dict[str, Any] = {
    "one that falls": -0.37,
    "one that rises": 0.2,
    "either sign": np.array([0.25, -0.4, 0, -1.3]).reshape(4, 1, 1),
    "all fall": np.array([-0.25, -0.4, -2, -1.3]).reshape(4, 1, 1),
}


def made(path: Path, name: str, kind: str, then: str = "") -> Path:
    """An activation between quantizers, with a bound behind it."""
    file = OnnxFile()
    x, slopes = file.pair("x", SCALE, ZERO), SLOPES[name]
    y = (
        file.op(kind, x, alpha=slopes)
        if kind == "LeakyRelu"
        else file.op(kind, x, file.real(slopes))
    )
    y = file.op(then, y) if then else y
    return file.save(path, SHAPE, file.pair(y, *OUT), opset=16)


CASES = [("one that falls", "LeakyRelu", ""), *((name, "PRelu", "") for name in SLOPES),
         ("either sign", "PRelu", "Sigmoid")]  # fmt: skip


@pytest.mark.parametrize(("name", "kind", "then"), CASES)
def test_slopes_of_either_sign(name: str, kind: str, then: str, tmp_path: Path) -> None:
    graph = load(made(tmp_path / "m.onnx", name, kind, then))
    codes = np.clip(np.rint(X / np.float32(SCALE)) + ZERO, -128, 127) - ZERO
    real = codes.astype(np.float32) * np.float32(SCALE)
    real = np.where(real >= 0, real, real * np.float32(SLOPES[name]))
    real = np.float32(1 / (1 + np.exp(-real.astype(np.float64)))) if then else real
    wanted = np.clip(np.rint(real / np.float32(OUT[0])) + OUT[1], -128, 127)
    assert np.array_equal(hwgen.run(graph, X, real=True)[graph.outputs[0]],
                          (wanted - OUT[1]).astype(np.float32) * np.float32(OUT[0]))  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "kind", "then"), CASES)
def test_slopes_equal_the_runtime(name: str, kind: str, then: str, tmp_path: Path) -> None:
    path = made(tmp_path / "m.onnx", name, kind, then)
    graph = load(path)
    wanted = runtime(path, X[:, np.newaxis])[0][:, 0]
    assert np.array_equal(hwgen.run(graph, X, real=True)[graph.outputs[0]], wanted)


def test_slopes_that_are_no_numbers(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.pair(file.op("LeakyRelu", file.pair("x", SCALE), alpha=float("nan")), SCALE)
    assert "a slope that is not finite" in refusal(file.save(tmp_path / "m.onnx", SHAPE, y))
