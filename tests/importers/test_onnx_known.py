"""ONNX: attributes, inputs and versions of operators that are known, and those that are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

import hwgen
from hwgen.importers import load
from hwgen.importers.onnx import _HANDLERS
from hwgen.importers.onnx.known import KNOWN, OPSETS
from tests.helpers.onnx_files import OnnxFile, runtime
from tests.helpers.refusals import refusal

Array = np.ndarray[Any, Any]
Build = Callable[[OnnxFile, str], str]
UNIT, SHAPE = 0.0625, (1, 2, 4, 5)
REAL = (np.arange(40).reshape(SHAPE) - 20).astype(np.float32) * np.float32(UNIT)


def between(build: Build, path: Path, opset: int = 18) -> Path:
    """An operator between quantizers that keep what it gives."""
    file = OnnxFile()
    y = build(file, file.pair("x", UNIT))
    return file.save(path, SHAPE, file.pair(y, UNIT), opset=opset)


def test_every_operator_says_what_it_knows() -> None:
    assert set(KNOWN) == {kind for handlers in _HANDLERS.values() for kind in handlers}


def repeated(rows: int, columns: int) -> Array:
    """Pixels several times."""
    return REAL.repeat(rows, 2).repeat(columns, 3)


def resized(f: OnnxFile, y: str, *factors: float, **more: Any) -> str:
    """A Resize by factors, which repeats pixels."""
    names = {"mode": "nearest", "nearest_mode": "floor"}
    names |= {"coordinate_transformation_mode": "asymmetric"}
    return f.op("Resize", y, "", f.real(factors), **(names | more))


TAKEN: dict[str, tuple[Build, Array, int]] = {
    "padding of some axes": (
        lambda f, y: f.op("Pad", y, f.wholes(1, 0, 0, 2), f.real(0), f.wholes(2, 3)),
        np.pad(REAL, ((0, 0), (0, 0), (1, 0), (0, 2))), 18,
    ),
    "padding of axes in another order": (
        lambda f, y: f.op("Pad", y, f.wholes(1, 0, 0, 2), f.real(0), f.wholes(-1, 2)),
        np.pad(REAL, ((0, 0), (0, 0), (0, 2), (1, 0))), 18,
    ),
    "factors of some axes": (
        lambda f, y: resized(f, y, 2, 3, axes=[2, 3]), repeated(2, 3), 18,
    ),
    "factors of axes in another order": (
        lambda f, y: resized(f, y, 1, 1, 2, 3, axes=[0, 1, 3, -2]), repeated(3, 2), 18,
    ),
    "sizes of axes in another order": (
        lambda f, y: f.op(
            "Resize", y, "", "", f.wholes(10, 12), mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric", axes=[3, 2]),
        repeated(3, 2), 18,
    ),
    "twice, halves down": (
        lambda f, y: resized(f, y, 1, 1, 2, 2, nearest_mode="round_prefer_floor"),
        repeated(2, 2), 13,
    ),
    "resize of version 10": (
        lambda f, y: f.op("Resize", y, f.real([1, 1, 2, 3]), mode="nearest"), repeated(2, 3), 10,
    ),
    "upsample of version 7": (
        lambda f, y: f.op("Upsample", y, scales=[1., 1., 2., 3.], mode="nearest"),
        repeated(2, 3), 7,
    ),
    "an aspect ratio that is not kept": (
        lambda f, y: resized(f, y, 1, 1, 2, 3, keep_aspect_ratio_policy="stretch"),
        repeated(2, 3), 18,
    ),
    "a mean over no axes": (
        lambda f, y: f.op("ReduceMean", y, noop_with_empty_axes=1), REAL, 18,
    ),
    "a part of a shape": (
        lambda f, y: f.op("Reshape", y, f.op("Concat", f.op("Shape", y, start=0, end=2),
                                             f.wholes(20), axis=0)),
        REAL.reshape(1, 2, 20), 18,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_attributes_and_inputs_that_are_known(name: str, tmp_path: Path) -> None:
    build, wanted, opset = TAKEN[name]
    graph = load(between(build, tmp_path / "m.onnx", opset))
    got = hwgen.run(graph, REAL, real=True)[graph.outputs[0]]
    assert np.array_equal(got, wanted)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [n for n in TAKEN if TAKEN[n][2] > 7])
def test_the_runtime_knows_them_too(name: str, tmp_path: Path) -> None:
    build, wanted, opset = TAKEN[name]
    path = between(build, tmp_path / "m.onnx", opset)
    assert np.array_equal(runtime(path, REAL[np.newaxis])[0][0], wanted)


REFUSED: dict[str, tuple[Build, str]] = {
    "aspect ratio": (
        lambda f, y: resized(f, y, 1, 1, 2, 2, keep_aspect_ratio_policy="not_larger"),
        "attribute keep_aspect_ratio_policy of Resize is not supported"),
    "corners": (
        lambda f, y: resized(f, y, 1, 1, 3, 3, nearest_mode="round_prefer_floor"),
        "do not repeat all pixels alike, which is not supported; export it as asymmetric"),
    "linear": (lambda f, y: resized(f, y, 1, 1, 2, 2, mode="linear"),
               "mode linear is not supported, nearest is"),
    "own attribute": (lambda f, y: f.op("Relu", y, slope=0.5), "attribute slope of Relu"),
    "cut": (lambda f, y: f.op("Pad", y, f.wholes(0, 0, -1, 0, 0, 0, 0, 0)),
            "cuts elements off, which is not supported; cut them off with a Slice"),
    "mirrored": (lambda f, y: f.op("Pad", y, f.wholes(0, 0, 1, 0, 0, 0, 0, 0), mode="reflect"),
                 "padding of mode reflect is not supported"),
    "axis twice": (lambda f, y: f.op("Pad", y, f.wholes(1, 0, 0, 2), "", f.wholes(2, -2)),
                   "each one once"),
    "mean": (lambda f, y: f.op("ReduceMean", y), "a mean over axes [0, 1, 2, 3]"),
    "one input more": (lambda f, y: f.op("Sigmoid", y, y), "input 1 of Sigmoid"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_known_is_named(name: str, tmp_path: Path) -> None:
    build, reason = REFUSED[name]
    assert reason in refusal(between(build, tmp_path / "m.onnx"))


@pytest.mark.parametrize("opset", [5, OPSETS.start - 1, OPSETS.stop, 99])
def test_versions_that_are_not_known(opset: int, tmp_path: Path) -> None:
    path = between(lambda f, y: f.op("Relu", y), tmp_path / "m.onnx", opset)
    assert f"version {opset} of ONNX's operators (opset), 7 to 26 are known" in refusal(path)


def test_a_large_version_of_the_format(tmp_path: Path) -> None:
    path = between(lambda f, y: f.op("Relu", y), tmp_path / "m.onnx")
    content = path.read_bytes()
    assert content[:2] == b"\x08\x08"
    path.write_bytes(b"\x08\x40" + content[2:])
    load(path)


def picked(file: OnnxFile, to: int) -> str:
    """The place of the largest channel as another type."""
    return file.op("Cast", file.op("ArgMax", file.pair("x", UNIT), axis=1), to=to)


@pytest.mark.parametrize("to", [TensorProto.INT32, TensorProto.INT64, TensorProto.FLOAT])
def test_places_become_other_types(to: int, tmp_path: Path) -> None:
    file = OnnxFile()
    graph = load(file.save(tmp_path / "m.onnx", SHAPE, picked(file, to), results=(to,)))
    x = np.random.default_rng(1).permuted(REAL, axis=1)
    got = hwgen.run(graph, x, real=True)[graph.outputs[0]]
    assert np.array_equal(got.reshape(-1), x.argmax(1).reshape(-1))


def test_places_that_a_type_does_not_hold(tmp_path: Path) -> None:
    file = OnnxFile()
    y = file.op("ArgMax", file.op("Reshape", file.pair("x", UNIT), file.wholes(1, 260)), axis=1)
    y = file.op("Cast", y, to=TensorProto.UINT8)
    path = file.save(tmp_path / "m.onnx", (1, 2, 26, 5), y, results=(TensorProto.UINT8,))
    assert "a cast of a tensor" in refusal(path)
