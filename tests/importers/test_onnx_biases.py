"""ONNX: biases that the runtime makes integers of, that it adds in float32, and stored ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.importers import load
from tests.helpers.onnx_files import OnnxFile, runtime
from tests.helpers.refusals import refusal

TAPS, OUTPUTS = 7, 5
FLOAT = "its float32 bias has not one axis"
STORED = "its bias is not stored as int32 with the scale of its products"
PRODUCTS = float(np.float32(0.03) * np.float32(0.004))


def real(file: OnnxFile, *shape: int) -> str:
    """A float32 bias."""
    return file.const(file.rng.normal(0, 1, shape).astype(np.float32))


def stored(file: OnnxFile, scale: float, dtype: Any, *shape: int) -> str:
    """A bias of integers."""
    codes = file.const(file.rng.integers(-100, 100, shape).astype(dtype))
    return file.op("DequantizeLinear", codes, file.real(scale), file.const(dtype(0)))


def gemm(bias: Callable[[OnnxFile], str]) -> Callable[[OnnxFile, str, str], str]:
    return lambda f, x, w: f.op("Gemm", x, w, bias(f))


def added(bias: Callable[[OnnxFile], str]) -> Callable[[OnnxFile, str, str], str]:
    return lambda f, x, w: f.op("Add", f.op("MatMul", x, w), bias(f))


CASES: dict[str, tuple[Callable[[OnnxFile, str, str], str], str]] = {
    "one a channel": (gemm(lambda f: real(f, OUTPUTS)), ""),
    "one": (gemm(lambda f: real(f, 1)), ""),
    "a row": (gemm(lambda f: real(f, 1, OUTPUTS)), FLOAT),
    "a row of exact numbers": (
        gemm(lambda f: f.real(f.rng.integers(-999, 999, (1, OUTPUTS)) * 2.0**-13)),
        FLOAT,
    ),
    "no axis": (gemm(lambda f: real(f)), FLOAT),
    "added": (added(lambda f: real(f, OUTPUTS)), ""),
    "an added row": (added(lambda f: real(f, 1, OUTPUTS)), FLOAT),
    "integers": (gemm(lambda f: stored(f, PRODUCTS, np.int32, OUTPUTS)), ""),
    "a row of integers": (gemm(lambda f: stored(f, PRODUCTS, np.int32, 1, OUTPUTS)), ""),
    "another scale": (gemm(lambda f: stored(f, 2 * PRODUCTS, np.int32, OUTPUTS)), STORED),
    "few bits": (gemm(lambda f: stored(f, 0.01, np.int8, OUTPUTS)), STORED),
    "no number": (gemm(lambda f: f.real([0, 1, np.nan, 2, 3])), "numbers that are not finite"),
}


def made(path: Path, name: str, seed: int, scale: float = 0.03, weights: float = 0.004) -> Path:
    """A product with its bias between quantizers."""
    file = OnnxFile(seed)
    w = file.weights(TAPS, OUTPUTS, scale=weights)
    y = CASES[name][0](file, file.pair("x", scale, 3), w)
    return file.save(path, (1, TAPS), file.pair(y, 0.03, 2))


@pytest.mark.parametrize("name", CASES)
def test_which_biases_are_taken(name: str, tmp_path: Path) -> None:
    path, reason = made(tmp_path / "m.onnx", name, 1), CASES[name][1]
    if reason:
        assert reason in refusal(path)
    else:
        load(path)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [name for name, (_, reason) in CASES.items() if not reason])
def test_taken_biases_equal_the_runtime(name: str, tmp_path: Path) -> None:
    equal_to_the_runtime(made(tmp_path / "m.onnx", name, 2))


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["one a channel", "a row of exact numbers"])
def test_biases_of_exact_sums_equal_the_runtime(name: str, tmp_path: Path) -> None:
    equal_to_the_runtime(made(tmp_path / "m.onnx", name, 2, 2**-5, 2**-8))


def equal_to_the_runtime(path: Path) -> None:
    x = np.random.default_rng(7).normal(0, 1, (400, 1, TAPS)).astype(np.float32)
    graph = load(path)
    got = hwgen.run(graph, x[:, 0], real=True)[graph.outputs[0]]
    assert np.array_equal(got, runtime(path, x)[0][:, 0])
