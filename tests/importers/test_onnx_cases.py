"""Small ONNX files as users have them, kept elsewhere: reals equal those of the runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.importers import load

CASES = ("01_reshape_first", "02_float_bias", "05_softmax_qdq", "06_nhwc_transpose_first",
         "07_qcdq_weight_clip", "08_split")  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_reals_are_those_of_the_runtime(name: str, shared: Callable[[str], Path]) -> None:
    path = shared(f"cases/{name}.onnx")
    x, y = (np.load(path.with_suffix(f".{key}.npy")) for key in "xy")
    graph = load(path)
    got = hwgen.run(graph, x, real=True)[graph.outputs[0]]
    # Both are one float32 product of the same integers and scale.
    assert got.shape == y.shape and np.array_equal(got, y)
