"""Engines of many shapes: small buffers, so that every loop is tiled, and every width of memory."""

from __future__ import annotations

from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.contract.isa import ErrorCode
from hwgen.flow.memory import Memory
from hwgen.plan.tiled.plan import TiledPlan
from tests.helpers.tiled import (
    MNIST,
    RESNET,
    need_verilator,
    outputs,
    random_job,
    say,
    tiled_package,
)

ADDS = Path(__file__).parents[2] / "importers" / "fixtures" / "tflite_adds.tflite"
FLOATS = Path(hwgen.__file__).parent / "models" / "cnn_qdq.onnx"
ENGINES: dict[str, dict[str, Any]] = {
    "4x4, 32 bits": {"array": "4x4", "mem_width": 32, "buffer_kib": 8},
    "4x8, 64 bits": {"array": "4x8", "mem_width": 64, "buffer_kib": 8},
    "8x4, 256 bits": {"array": "8x4", "mem_width": 256, "buffer_kib": 12, "requantizers": 2},
    "8x8, 128 bits": {"array": "8x8", "mem_width": 128, "buffer_kib": 16, "requantizers": 4},
}
MEMORIES = (Memory(), Memory(latency=1), Memory(latency=100, rate=0.25), Memory(gaps=3))


@cache
def plans(engine: str) -> list[TiledPlan]:
    """Networks with one, two and three tiles in each buffer; and with all tensors outside; one of
    float32's rounding."""
    found: list[TiledPlan] = []
    for model, resident in (*product((MNIST, RESNET, ADDS), (1, 2, 3)), (FLOATS, 1)):
        graph = hwgen.load(model)
        chosen: dict[str, Any] = ENGINES[engine] | {"resident": resident}
        plan = hwgen.plan(graph, arch="tiled", **chosen)
        assert isinstance(plan, TiledPlan)
        found += [plan, plan.outside()] if resident == 2 else [plan]
    return found


@pytest.mark.parametrize("name", ENGINES)
def test_outputs_are_golden_and_traffic_is_as_planned(name: str, tmp_path: Path) -> None:
    need_verilator()
    tried = plans(name)
    package = tiled_package(MNIST, tmp_path, **ENGINES[name])
    assert all(plan.shape == package.plan.shape for plan in tried)
    jobs, golden = zip(*(random_job(p, 1, seed) for seed, p in enumerate(tried)), strict=True)
    for memory in MEMORIES:
        runs = tiled_sim.run(package, jobs, memory, None, say).jobs
        for plan, run, expected in zip(tried, runs, golden, strict=True):
            assert run.errors() == [ErrorCode.NONE]
            assert np.array_equal(outputs(plan, run), expected)
            assert (run.read_beats[0], run.write_beats[0]) == plan.beats


def test_these_engines_tile_every_loop() -> None:
    for engine in ENGINES:
        cut = set()
        for plan in plans(engine):
            for s, t in zip(plan.placement.problems, plan.placement.tilings, strict=True):
                cut |= {
                    loop
                    for loop, whole, part in (
                        ("rows", s.size[0], t.rows),
                        ("columns", s.size[1], t.columns),
                        ("cout blocks", s.cout_blocks, t.cout_blocks),
                        ("taps", s.taps_in(t.stationarity).words, int(np.prod(t.taps))),
                    )
                    if part < whole
                }
        assert cut == {"rows", "columns", "cout blocks", "taps"}, engine
