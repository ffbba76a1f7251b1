"""ONNX: softmax between quantizers, where single roundings of the runtime show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.importers import load
from hwgen.ir import execute
from tests.helpers.onnx_files import OnnxFile, runtime

CASES = [
    (0.02450060285627842, [0, 60, 94], 256, [193, 44, 19]),
    (0.010390639305114746, [102, 33, 0], 256, [43, 88, 125]),
    (0.015262980945408344, [0, 65, 17], 256, [119, 44, 92]),
    (0.01214588526636362, [23, 104, 0], 256, [95, 35, 126]),
    (0.02, [0, 9, 18, 27], 1000, [255, 255, 224, 187]),
    (0.05, [7], 600, [255]),
]
"""Scale of the input, how far its integers are below 255, steps of the output, and what ONNX
Runtime 1.32 gives. Quotients in float32, as up to 1.31, are other ones, or infinite."""


def softmax(path: Path, scale: float, channels: int, steps: int) -> Path:
    """A file of one softmax of bytes."""
    file = OnnxFile()
    y = file.op("Softmax", file.pair("x", scale, 0, np.uint8), axis=1)
    return file.save(path, (1, channels), file.pair(y, 1 / steps, 0, np.uint8))


@pytest.mark.parametrize(("scale", "below", "steps", "wanted"), CASES)
def test_quotients_have_more_bits_than_float32(
    scale: float, below: list[int], steps: int, wanted: list[int], tmp_path: Path
) -> None:
    graph = load(softmax(tmp_path / "soft.onnx", scale, len(below), steps))
    x = {graph.inputs[0].name: 255 - np.array([below])}
    assert execute(graph, x)[graph.outputs[0]].tolist() == [wanted]


@pytest.mark.oracle
@pytest.mark.parametrize(("scale", "below", "steps", "wanted"), CASES)
def test_what_the_runtime_gives_today(
    scale: float, below: list[int], steps: int, wanted: list[int], tmp_path: Path
) -> None:
    ort = pytest.importorskip("onnxruntime")
    if tuple(map(int, ort.__version__.split(".")[:2])) < (1, 32):
        pytest.skip("quotients of older versions are float32")
    path = softmax(tmp_path / "soft.onnx", scale, len(below), steps)
    x = ((255 - np.array([[below]])) * scale).astype(np.float32)
    (reals,) = runtime(path, x)
    assert np.rint(reals[0, 0] * steps).astype(int).tolist() == wanted
