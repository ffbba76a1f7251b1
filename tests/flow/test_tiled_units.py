"""Packages of several tile units in simulation: equal, and right again after wrong programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.descriptors import COMPUTE, TRANSFER, ErrorCode, Op
from hwgen.flow import tiled_sim
from hwgen.flow.package_files import Package
from hwgen.flow.tiled_sim import Fault, Memory
from tests.helpers.tiled import (
    RESNET,
    need_verilator,
    outputs,
    random_job,
    say,
    tile_words,
    tiled_package,
)
from tests.helpers.tiled_programs import image, numbers


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("units")
    return tiled_package(RESNET, folder, array="4x4", tiles=4, buffer_kib=48)


def test_outputs_are_golden_and_every_unit_works(package: Package) -> None:
    need_verilator()
    result = hwgen.verify(package, random=2)
    assert result.equal
    kept, plan = package.result("verify"), package.tiled
    assert kept is not None
    assert kept["steps"] == plan.unit_steps.sum(axis=0).tolist()
    assert all(kept["steps"]) and max(kept["steps"]) == plan.interval_bound
    assert plan.interval_bound <= kept["cycles"]["interval"] < 1.6 * plan.interval_bound


@pytest.mark.parametrize(
    "memory", [Memory(200, 0.25), Memory(gaps=5), Memory(1, gaps=6)], ids=("slow", "gaps", "fast")
)
def test_any_memory_gives_golden(package: Package, memory: Memory) -> None:
    need_verilator()
    job, golden = random_job(package.tiled, 2)
    run = tiled_sim.run(package, [job], memory, None, say).jobs[0]
    assert run.errors() == [ErrorCode.NONE] * 2
    assert np.array_equal(outputs(package.tiled, run), golden)


@pytest.mark.parametrize(
    ("op", "fields", "code"),
    [
        (Op.LOAD, {"units": 0}, ErrorCode.LOAD),
        (Op.LOAD, {"units": 0b1_0001}, ErrorCode.LOAD),
        (Op.STORE, {"unit": 4}, ErrorCode.STORE),
        (Op.COMPUTE, {"unit": 5}, ErrorCode.COMPUTE),
        (Op.COMPUTE, {"loop1_count": 0}, ErrorCode.COMPUTE),
        (Op.COMPUTE, {"out0_count": 4095}, ErrorCode.COMPUTE),
        (Op.COMPUTE, {"wait_load": 0x7000}, ErrorCode.STALL),
        (Op.STORE, {"wait_compute": 0x7000}, ErrorCode.STALL),
    ],
)
def test_errors_are_named_and_the_next_run_is_right(
    package: Package, tmp_path: Path, op: Op, fields: dict[str, int], code: ErrorCode
) -> None:
    need_verilator()
    program = package.tiled.program
    good, golden = random_job(package.tiled, 1)
    for number in [numbers(program, op)[n] for n in (0, 3, 6)]:
        wrong = replace(good, image=image(program, number, fields, tmp_path))
        runs = tiled_sim.run(package, [wrong, good], Memory(), None, say).jobs
        assert runs[0].errors() == [code]
        layer = program.descriptors[number]["layer"]
        assert code is ErrorCode.STALL or runs[0].layer == [layer]
        assert runs[1].errors() == [ErrorCode.NONE]
        assert np.array_equal(outputs(package.tiled, runs[1]), golden)


def test_an_error_of_memory_ends_the_run(package: Package) -> None:
    need_verilator()
    good, golden = random_job(package.tiled, 1)
    for kind, beat in (("read_error", 700), ("write_error", 9)):
        wrong = replace(good, faults=(Fault(kind, beat),))
        runs = tiled_sim.run(package, [wrong, good], Memory(), None, say).jobs
        assert runs[0].errors()[0] in (ErrorCode.READ, ErrorCode.FETCH, ErrorCode.WRITE)
        assert runs[1].errors() == [ErrorCode.NONE]
        assert np.array_equal(outputs(package.tiled, runs[1]), golden)


def test_words_between_buffers_and_arrays_are_the_predicted_ones(package: Package) -> None:
    need_verilator()
    plan = package.tiled
    job, _ = random_job(plan, 1)
    for memory in (Memory(), Memory(60, 0.4, gaps=3)):
        (run,) = tiled_sim.run(package, [job], memory, None, say).jobs
        assert run.words == tile_words(plan)
        assert plan.task_words(run.words) == plan.buffer_traffic


def test_records_have_room_for_the_units() -> None:
    """What says which units is behind all other fields: those of one unit are where they were."""
    assert [f.name for f in TRANSFER.fields[-2:]] == ["units", "unit"]
    assert COMPUTE.fields[-1].name == "unit"
