"""A softmax in float32 has no unit in any architecture: the refusal says why, and what can be done
where it stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hwgen
from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding

BYTE = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE)
PARTS = replace(BYTE, frac=0, scale=2.0**-8, zero_point=-128)


@pytest.mark.parametrize("arch", ["dataflow", "tiled"])
@pytest.mark.parametrize("steps", [None, 256])
@pytest.mark.parametrize("inside", [False, True])
def test_a_softmax_in_float32(arch: str, steps: int | None, inside: bool) -> None:
    table = ops.SoftmaxTable(np.float32(0.9) ** np.arange(256), PARTS, steps)
    same = ops.Requantize.scaled(BYTE, shift=1)
    nodes = [Node("first", same, ("x",)), Node("soft", table, ("first",))]
    nodes += [Node("last", same, ("soft",))] if inside else []
    graph = Graph("g", (Tensor("x", (4,), BYTE),), tuple(nodes), (nodes[-1].name,))
    with pytest.raises(UserError, match=f"{arch} architecture has no unit for a softmax") as found:
        hwgen.plan(graph, arch=arch)
    hint = str(found.value.hint)
    assert found.value.layer == "soft" and ("--runtime tflm" in hint) == (steps is None)
    assert ("run --engine c" if inside else "--tail host") in hint
    assert inside != ("--tail host" in hint)
    assert ("LiteRT" if steps is None else "ONNX Runtime") in str(found.value)
