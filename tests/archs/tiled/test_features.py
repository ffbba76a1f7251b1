"""Engines without what a network does not need, as RTL: golden, in the cycles that are planned;
what is not there is a fault, and so is a program for another engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from hwgen.archs.package import Package
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.contract.features import Feature
from hwgen.contract.isa import ErrorCode, Opcode, Operand, Target
from hwgen.flow.memory import Memory
from hwgen.plan.tiled.plan import plan_tiled
from tests.contract.test_features import ASKING
from tests.helpers.tiled import (
    MNIST,
    need_verilator,
    outputs,
    random_job,
    say,
    tiled_package,
    verified_as_planned,
)
from tests.helpers.tiled_graphs import random_tiled_graph
from tests.helpers.tiled_programs import after_each, image, numbers

NOT_NEEDED = ("softmax", "product", "second", "tables", "window", "tap_rows", "float", "double")
"""By the shipped CNN on 4x4."""
SLOWER = ("softmax", "product", "window", "tap_rows", "float", "double")
"""What networks of sums, tables and pools can do without."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    need_verilator()
    folder = tmp_path_factory.mktemp("less")
    return tiled_package(MNIST, folder, array="4x4", buffer_kib=None, without=NOT_NEEDED)


def test_a_network_without_all_that_it_does_not_need(package: Package) -> None:
    assert package.plan.could_leave_out == () and package.plan.shape.without == NOT_NEEDED
    verified_as_planned(package)


def test_what_is_left_out_is_not_there(package: Package) -> None:
    text = "".join(file.read_text() for file in (package.path / "rtl").glob("*.v"))
    stage = "top_tile_units_unit0_result_stage_"
    assert f"{stage}writer" in text and f"{stage}lane0" in text
    for part in ("operand", "softmax", "combine"):
        assert f"{stage}{part}" not in text
    # Registers of windows, and of what is beside a tie.
    for name in ("before0_0", "oldest0_0", "alike_0"):
        assert name not in text
    assert "largest0" in text


def test_what_is_left_out_is_a_fault(package: Package, tmp_path: Path) -> None:
    program = package.plan.program
    given, _ = random_job(package.plan, 1, 7)
    tile = numbers(program, Opcode.COMPUTE)[0]
    load = numbers(program, Opcode.LOAD, Target.PARAMETERS)[0]
    jobs = [
        replace(given, image=image(program, tile, ASKING[Feature(name)], tmp_path))
        for name in NOT_NEEDED
    ]
    jobs.append(replace(given, image=image(program, load, {"target": Target.TABLES}, tmp_path)))
    *tiles, tables = after_each(package, jobs)
    for name, run in zip(NOT_NEEDED, tiles, strict=True):
        assert run.errors() == [ErrorCode.COMPUTE], name
        assert run.layer == [program.descriptors[tile]["layer"]], name
    assert tables.errors() == [ErrorCode.LOAD]


def test_a_program_for_another_engine_is_refused_by_the_hardware(package: Package) -> None:
    """Nothing of it is read; the next run is right."""
    given, _ = random_job(package.plan, 1, 8)
    shape = package.plan.shape
    others = [
        replace(shape, without=()),
        replace(shape, psum_words=2 * shape.psum_words),
        replace(shape, requantizers=2),
    ]
    jobs = [
        replace(given, plan=plan_tiled(package.graph, other, package.plan.resident))
        for other in others
    ]
    for run in after_each(package, jobs):
        assert run.errors() == [ErrorCode.IDENTITY] and run.layer == [0]
        assert (run.cycles, run.read_beats, run.write_beats) == ([0], [0], [0])


def test_random_networks_on_an_engine_without_the_quicker_ways(tmp_path: Path) -> None:
    """Depthwise layers without windows, first layers without steps of several rows; sums, tables
    and wide results are there."""
    need_verilator()
    options = {"array": "4x16", "buffer_kib": 32, "without": SLOWER}
    package = tiled_package(MNIST, tmp_path, **options)
    plans = [
        plan_tiled(random_tiled_graph(Random(seed)), package.plan.shape, 2) for seed in range(8)
    ]
    needs = set().union(*(plan.needs for plan in plans))
    assert {Feature.SECOND, Feature.TABLES, Feature.MAXPOOL} <= needs
    given = [random_job(plan, 1, seed) for seed, plan in enumerate(plans)]
    runs = tiled_sim.run(package, [job for job, _ in given], Memory(), None, say).jobs
    for plan, (_, golden), run in zip(plans, given, runs, strict=True):
        assert run.errors() == [ErrorCode.NONE]
        assert np.array_equal(outputs(plan, run), golden)
        assert run.cycles == [plan.estimate().cycles]
    # Nothing but what it lacks is wrong with these.
    at, tile = next(
        (n, number)
        for n, plan in enumerate(plans)
        for number in numbers(plan.program, Opcode.COMPUTE)
        if plan.program.descriptors[number].get("second")
    )
    for change in ({"product": 1}, {"operand": Operand.DEPTHWISE_WINDOW}, {"tap_rows": 3}):
        wrong = image(plans[at].program, tile, change, tmp_path)
        (run,) = tiled_sim.run(
            package, [replace(given[at][0], image=wrong)], Memory(), None, say
        ).jobs
        assert run.errors() == [ErrorCode.COMPUTE], change
