"""A softmax in float32: the dataflow architecture has a unit for it, the tiled one's refusal says
why it has none, and what can be done where it stands."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import hwgen
from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan.dataflow.plan import DataflowPlan
from hwgen.plan.dataflow.rules.softmax import SoftmaxTableUnit

BYTE = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE)
PARTS = replace(BYTE, frac=0, scale=2.0**-8, zero_point=-128)


def network(steps: int | None, inside: bool, parts: QType = PARTS, width: int = 8) -> Graph:
    """A softmax of four numbers, at the end or followed by another layer."""
    kind = replace(BYTE, width=width)
    table = ops.SoftmaxTable(np.float32(0.9) ** np.arange(1 << width), parts, steps)
    nodes = [Node("first", ops.Requantize.scaled(kind, shift=1), ("x",))]
    nodes += [Node("soft", table, ("first",))]
    if inside:
        nodes += [Node("last", ops.Requantize.scaled(BYTE, shift=1), ("soft",))]
    return Graph("g", (Tensor("x", (4,), kind),), tuple(nodes), (nodes[-1].name,)).verify()


@pytest.mark.parametrize("steps", [None, 256])
@pytest.mark.parametrize("inside", [False, True])
def test_a_softmax_in_float32_on_the_tiled_engine(steps: int | None, inside: bool) -> None:
    graph = network(steps, inside)
    with pytest.raises(UserError, match="tiled architecture has no unit for a softmax") as found:
        hwgen.plan(graph, arch="tiled")
    hint = str(found.value.hint)
    assert found.value.layer == "soft" and ("--runtime tflm" in hint) == (steps is None)
    assert hint.startswith("use --arch dataflow")
    assert ("run --engine c" if inside else "--tail host") in hint
    assert inside != ("--tail host" in hint)
    assert ("LiteRT" if steps is None else "ONNX Runtime") in str(found.value)


@pytest.mark.parametrize(
    ("steps", "interval", "bits"), [(None, 165, 32), (256, 136, 66), (255, 136, 82)]
)
def test_a_softmax_in_float32_as_a_unit(steps: int | None, interval: int, bits: int) -> None:
    """Its cycles bound the network's; it has no multiplier, but a table of exponentials."""
    plan = hwgen.plan(network(steps, inside=True, width=4), arch="dataflow")
    assert isinstance(plan, DataflowPlan)
    (unit,) = (unit for unit in plan.units if isinstance(unit, SoftmaxTableUnit))
    assert unit.bounds == {"input": 4, "output": 4, "compute": interval}
    assert plan.interval_bound == plan.timing().interval == interval
    assert unit.requant_multipliers == 0 and unit.busy == interval
    assert unit.memory_bits == unit.fifo * 8 + 4 * 4 + (bits << 4)


def test_a_softmax_of_many_bits() -> None:
    parts = replace(PARTS, width=17, zero_point=0, scale=2.0**-17)
    hwgen.plan(network(1 << 16, True, replace(parts, width=16, scale=2.0**-16)), arch="dataflow")
    with pytest.raises(UserError, match=r"in float32 of up to 16 bits, this one gives 17") as found:
        hwgen.plan(network(1 << 17, True, parts), arch="dataflow")
    assert found.value.layer == "soft" and "a type of 16 bits" in str(found.value.hint)
