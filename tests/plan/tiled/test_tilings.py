"""Every tiling that fits an engine is right, not only those that the search finds best."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan.tiled.mapping import tiling
from tests.plan.tiled.test_program import SHAPES, check_graph

BYTE = QType(True, 8, 0, Rounding.HALF_UP, Overflow.SATURATE)
SCALED = ops.Requantize.scaled(BYTE, shift=7)
PASSES_OF_ONE_STRIP = 59
"""Of a seed with which the ring of an ifmap was too small: the last tile of pixels is followed by
the first one, for other weights, and these two share no rows."""


def network(rng: Random, values: np.random.Generator) -> Graph:
    """A convolution of any kernel and stride, and one that takes its results where they are."""
    kernel = rng.choice([3, 5, 6, 10]), rng.choice([1, 3, 4])
    stride = rng.choice([(1, 1), (2, 2), (2, 1), (3, 2)])
    size = rng.randint(kernel[0], 30), rng.randint(kernel[1], 12)
    channels, outputs = rng.choice([1, 2, 5]), rng.choice([12, 24, 40])
    x = Tensor("x", (*size, channels), BYTE)
    weights = values.integers(-20, 21, (*kernel, channels, outputs))
    conv = ops.Conv2D(weights, BYTE, stride=stride, padding=rng.choice(["same", "valid"]))
    last = ops.Conv2D(values.integers(-20, 21, (1, 1, outputs, 6)), BYTE)
    nodes = (
        Node("a", conv, ("x",)), Node("b", SCALED, ("a",)),
        Node("c", last, ("b",)), Node("d", SCALED, ("c",)),
    )  # fmt: skip
    return Graph("network", (x,), nodes, ("d",)).verify()


@pytest.mark.parametrize("seed", [*range(14), PASSES_OF_ONE_STRIP])
def test_any_tiling_gives_golden(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    print("seed", seed)
    rng, values = Random(seed), np.random.default_rng(seed)

    def cost(_s: Any, _split: Any, _order: Any, candidates: Any, *_: Any) -> Any:
        drawn = values.random(len(candidates.rows))
        return drawn * 1000, drawn

    monkeypatch.setattr(tiling, "_cost", cost)
    shape = replace(rng.choice(list(SHAPES.values())), tiles=rng.choice([1, 1, 2, 4]))
    resident, keep = rng.choice([1, 2, 2, 3]), rng.random() < 0.5
    check_graph(network(rng, values), shape, resident, keep, seed)
