"""The cycle model against the RTL: every tile, load and store ends in the cycle that it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.archs.tiled.ends import input_bytes
from hwgen.archs.tiled.simulation import Job
from hwgen.contract.isa import Opcode
from hwgen.errors import UserError
from hwgen.flow.memory import Memory
from hwgen.ir.json_format import graph_to_json
from hwgen.plan.tiled import timing as cycles
from hwgen.plan.tiled.plan import TiledPlan
from tests.helpers.tiled import MNIST, RESNET, SMALL, need_verilator, softmax_network, tiled_package
from tests.helpers.tiled_layers import random_layers, random_sums

ENGINES: dict[str, dict[str, Any]] = {
    "some": {},
    "tight": {"buffer_kib": 24},
    "single": {"buffer_kib": 24, "resident": 1, "requantizers": 2},
    "narrow": {"array": "4x8", "mem_width": 32, "buffer_kib": None, "requantizers": 1},
}

TILES: dict[str, Any] = SMALL | {"array": "4x4", "tiles": 4, "buffer_kib": 48}


@pytest.mark.parametrize("engine", ENGINES)
def test_cycles_are_those_of_the_rtl(engine: str, tmp_path: Path) -> None:
    need_verilator()
    softmaxes = tmp_path / "softmaxes.json"
    softmaxes.write_text(json.dumps(graph_to_json(softmax_network(9))))
    package = tiled_package(RESNET, tmp_path, **ENGINES[engine])
    others = [
        hwgen.plan(hwgen.load(model), **(SMALL | ENGINES[engine])) for model in (MNIST, softmaxes)
    ]
    # Second operands wait for taps that keep their bank.
    others += [hwgen.plan(random_sums(seed), **(SMALL | ENGINES[engine])) for seed in range(4)]
    others += [plan.outside() for plan in others[-3:] if isinstance(plan, TiledPlan)]
    for plan in (package.plan, *others):
        assert isinstance(plan, TiledPlan)
        assert plan.shape == package.plan.shape
        x, program = plan.graph.inputs[0], plan.program
        frame = np.random.default_rng(1).integers(x.range[0], x.range[1] + 1, (1, *x.shape))
        job = Job(plan, input_bytes(plan, {x.name: frame}))
        for latency in (20, 100):
            for rate in (1.0, 0.5):
                memory = Memory(latency, rate)
                (run,) = tiled_sim.run(package, [job], memory, None, lambda text: None).jobs
                expected = cycles.times(
                    program.descriptors,
                    program.start,
                    plan.shape,
                    cycles.MemoryTiming(latency, rate),
                )
                case = f"{plan.graph.name} on {engine} at {latency}, {rate}"
                assert run.loads == list(expected.finished[Opcode.LOAD]), case
                assert run.tiles == list(expected.finished[Opcode.COMPUTE]), case
                assert run.stores == list(expected.finished[Opcode.STORE]), case
                assert run.cycles == [expected.total], case


def test_verify_says_what_was_predicted(tmp_path: Path) -> None:
    need_verilator()
    package = tiled_package(MNIST, tmp_path)
    assert hwgen.verify(package, random=1, memory=Memory(latency=33, rate=0.75)).equal
    kept = package.result("verify")
    assert kept is not None
    assert kept["predicted"]["interval"] == kept["cycles"]["interval"]
    assert kept["predicted"]["busy"] == kept["busy"]
    assert hwgen.verify(package, random=1, memory=Memory(gaps=1)).equal
    kept = package.result("verify")
    assert kept is not None and "predicted" not in kept


def test_layers_on_several_tile_units_take_as_many_cycles(tmp_path: Path) -> None:
    """Single stores may end in other cycles; random networks stay within 3 % on slow memory."""
    need_verilator()
    package = tiled_package(RESNET, tmp_path, **TILES)
    for memory in (Memory(), Memory(100, 0.5)):
        assert hwgen.verify(package, random=1, memory=memory).equal
        kept = package.result("verify")
        assert kept is not None
        assert kept["predicted"]["interval"] == kept["cycles"]["interval"]
        assert kept["predicted"]["busy"] == kept["busy"]
    taken = 0
    for seed in range(16):
        print(f"seed {seed}")
        try:
            plan = hwgen.plan(random_layers(seed, most=7), **TILES)
        except UserError:
            continue
        assert isinstance(plan, TiledPlan) and plan.shape == package.plan.shape
        x = plan.graph.inputs[0]
        frame = np.random.default_rng(seed).integers(x.range[0], x.range[1] + 1, (1, *x.shape))
        job = Job(plan, input_bytes(plan, {x.name: frame}))
        (run,) = tiled_sim.run(package, [job], Memory(100, 0.5), None, lambda text: None).jobs
        expected = plan.estimate(cycles.MemoryTiming(100, 0.5)).cycles
        assert abs(run.cycles[0] - expected) <= 0.03 * run.cycles[0], (run.cycles, expected)
        taken += 1
    assert taken >= 12
