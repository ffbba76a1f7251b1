"""Engines of other operands than bytes, as RTL: outputs, traffic and cycles."""

from __future__ import annotations

import json
from random import Random

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.contract.isa import ErrorCode
from hwgen.errors import UserError
from hwgen.flow import tools
from hwgen.flow.memory import Memory
from hwgen.ir import graph_to_json
from hwgen.plan.tiled.plan import TiledPlan, plan_tiled
from tests.helpers.tiled import (
    need_verilator,
    outputs,
    random_job,
    say,
    tile_words,
    tiled_package,
    verified_as_planned,
)
from tests.helpers.tiled_graphs import random_tiled_graph
from tests.helpers.tiled_layers import of_widths

WIDTHS = [(4, 4), (16, 8), (3, 5)]
NETWORKS = 5
"""Random ones on each engine."""


@pytest.fixture(scope="module", params=WIDTHS, ids=lambda bits: f"{bits[0]},{bits[1]}")
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("widths")
    model = folder / "network.json"
    model.write_text(json.dumps(graph_to_json(of_widths(*request.param))))
    bits = ",".join(map(str, request.param))
    return tiled_package(model, folder / "out", array="4x4", buffer_kib=8, bits=bits)


def test_a_network_is_golden_in_the_cycles_and_bytes_that_are_planned(package: Package) -> None:
    need_verilator()
    kept = verified_as_planned(package)
    rows = package.plan.layers()
    assert kept["buffer_bytes"] == {row["name"]: row["buffer_bytes"] for row in rows}


def test_every_stored_byte_is_golden(package: Package) -> None:
    """What fills a pixel's last byte too: the cocotb bench looks at all of them."""
    if not tools.icarus().found:
        pytest.skip("Icarus Verilog is needed")
    outside = package.plan.outside()
    assert {t.bits for t in outside.task_graph.stored.values()} == {outside.shape.stored_bits, 32}
    verified = hwgen.verify(package, "icarus", random=1, memory=Memory(gaps=5))
    assert verified.equal, verified.difference


def plans(package: Package) -> list[TiledPlan]:
    """Random networks that the engine carries out, some with all tensors outside."""
    shape, found, seed = package.plan.shape, [], 0
    bits = shape.ifmap_bits, shape.weight_bits
    while len(found) < NETWORKS:
        seed += 1
        try:
            plan = plan_tiled(random_tiled_graph(Random(seed), bits), shape, 1 + seed % 3)
        except UserError:
            continue  # borders of more than a byte; averages of many results
        found.append(plan.outside() if seed % 2 else plan)
    return found


def test_random_networks_of_these_widths(package: Package) -> None:
    need_verilator()
    tried = plans(package)
    jobs, golden = zip(*(random_job(p, 1, seed) for seed, p in enumerate(tried)), strict=True)
    for memory in (Memory(), Memory(gaps=3)):
        runs = tiled_sim.run(package, jobs, memory, None, say).jobs
        for plan, run, expected in zip(tried, runs, golden, strict=True):
            assert run.errors() == [ErrorCode.NONE]
            assert np.array_equal(outputs(plan, run), expected)
            assert run.words == tile_words(plan)
            assert (run.read_beats[0], run.write_beats[0]) == plan.beats
            if memory.regular:
                assert run.cycles[0] == plan.estimate().cycles
