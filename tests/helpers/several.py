"""A small network with several inputs and outputs: sums of inputs, outputs at all depths."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import hwgen
from hwgen.archs.package import Package
from hwgen.emit.parts import dump_json
from hwgen.ir import Graph, Node, Tensor, graph_to_json, ops
from hwgen.numeric import Overflow, QType, Rounding

ACT = QType(False, 6, 3, Rounding.HALF_EVEN, Overflow.SATURATE)
SUM = QType(True, 12, 0, Rounding.HALF_EVEN, Overflow.SATURATE)
WEIGHT = QType(True, 4, 2, Rounding.HALF_EVEN, Overflow.SATURATE)


def several() -> Graph:
    """Two inputs that meet at once; an output behind the last layer, two that inner layers read,
    one of which is a change of shape only, and an input's own tensor."""
    rng = np.random.default_rng(5)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(WEIGHT.min, WEIGHT.max + 1, shape)

    nodes = (
        Node("sum", ops.Add(), ("left", "right")),
        Node("half", ops.Requantize.scaled(ACT, shift=1), ("sum",)),
        Node("conv", ops.Conv2D(weights(3, 3, 2, 3), WEIGHT, padding="same"), ("half",)),
        Node("map", ops.Requantize.scaled(ACT, shift=3, bias=[20, -9, 40]), ("conv",)),
        Node("pool", ops.MaxPool((2, 2), (1, 1)), ("map",)),
        Node("flat", ops.Flatten(), ("pool",)),
        Node("dense", ops.Dense(weights(3 * 4 * 3, 5), WEIGHT), ("flat",)),
        Node("scores", ops.Requantize.scaled(SUM), ("dense",)),
    )
    inputs = (Tensor("left", (4, 5, 2), ACT), Tensor("right", (4, 5, 2), ACT))
    return Graph("several", inputs, nodes, ("scores", "map", "right", "flat")).verify()


def write(graph: Graph, folder: Path) -> Path:
    """The graph as a model file."""
    path = folder / f"{graph.name}.json"
    path.write_text(dump_json(graph_to_json(graph)), encoding="utf-8")
    return path


def several_package(folder: Path) -> Package:
    """Build it as ``folder``/several."""
    return hwgen.build(write(several(), folder), folder / "several", multipliers=12)


def frames(graph: Graph, count: int, seed: int) -> dict[str, np.ndarray]:
    """Seeded integers for each input."""
    rng = np.random.default_rng(seed)
    return {
        x.name: rng.integers(x.type.min, x.type.max + 1, (count, *x.shape)) for x in graph.inputs
    }
