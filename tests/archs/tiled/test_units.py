"""Packages of several tile units in simulation: equal, and right again after wrong programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.archs.tiled.simulation import Fault
from hwgen.contract.isa import COMPUTE, TRANSFER, ErrorCode, Opcode
from hwgen.flow.memory import Memory
from hwgen.passes import legalize
from hwgen.plan.tiled.network.requant import CARRIED_OUT
from hwgen.plan.tiled.plan import plan_tiled
from tests.helpers.tiled import (
    MNIST,
    RESNET,
    need_verilator,
    outputs,
    random_job,
    say,
    softmax_network,
    tile_words,
    tiled_package,
)
from tests.helpers.tiled_programs import (
    DONE,
    IDLE,
    REFUSED,
    after_each,
    image,
    numbers,
    spread,
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("units")
    return tiled_package(RESNET, folder, array="4x4", tiles=4, buffer_kib=48)


def test_outputs_are_golden_and_every_unit_works(package: Package) -> None:
    need_verilator()
    result = hwgen.verify(package, random=2)
    assert result.equal
    kept, plan = package.result("verify"), package.plan
    assert kept is not None
    assert kept["steps"] == plan.unit_steps.sum(axis=0).tolist()
    assert all(kept["steps"]) and max(kept["steps"]) == plan.interval_bound
    assert plan.interval_bound <= kept["cycles"]["interval"] < 1.6 * plan.interval_bound


@pytest.mark.parametrize(
    "memory", [Memory(200, 0.25), Memory(gaps=5), Memory(1, gaps=6)], ids=("slow", "gaps", "fast")
)
def test_any_memory_gives_golden(package: Package, memory: Memory) -> None:
    need_verilator()
    job, golden = random_job(package.plan, 2)
    run = tiled_sim.run(package, [job], memory, None, say).jobs[0]
    assert run.errors() == [ErrorCode.NONE] * 2
    assert np.array_equal(outputs(package.plan, run), golden)


@pytest.mark.parametrize(
    ("op", "fields", "code"),
    [
        (Opcode.LOAD, {"units": 0}, ErrorCode.LOAD),
        (Opcode.LOAD, {"units": 0b1_0001}, ErrorCode.LOAD),
        (Opcode.STORE, {"unit": 4}, ErrorCode.STORE),
        (Opcode.COMPUTE, {"unit": 5}, ErrorCode.COMPUTE),
        (Opcode.COMPUTE, {"loop1_count": 0}, ErrorCode.COMPUTE),
        (Opcode.COMPUTE, {"out0_count": 4095}, ErrorCode.COMPUTE),
        (Opcode.COMPUTE, {"wait_load": 0x7000}, ErrorCode.STALL),
        (Opcode.STORE, {"wait_compute": 0x7000}, ErrorCode.STALL),
    ],
)
def test_errors_are_named_and_the_next_run_is_right(
    package: Package, tmp_path: Path, op: Opcode, fields: dict[str, int], code: ErrorCode
) -> None:
    need_verilator()
    program = package.plan.program
    good, golden = random_job(package.plan, 1)
    for number in [numbers(program, op)[n] for n in (0, 3, 6)]:
        wrong = replace(good, image=image(program, number, fields, tmp_path))
        runs = tiled_sim.run(package, [wrong, good], Memory(), None, say).jobs
        assert runs[0].errors() == [code]
        layer = program.descriptors[number]["layer"]
        assert code is ErrorCode.STALL or runs[0].layer == [layer]
        assert runs[1].errors() == [ErrorCode.NONE]
        assert np.array_equal(outputs(package.plan, runs[1]), golden)


def test_errors_of_memory_end_a_run_and_the_next_is_right(package: Package) -> None:
    need_verilator()
    job, _ = random_job(package.plan, 1)
    read, written = package.plan.beats
    for kind, most, codes in (
        ("read_error", read - 4, {ErrorCode.READ, ErrorCode.FETCH}),
        ("write_error", written, {ErrorCode.WRITE}),
    ):
        jobs = [replace(job, faults=(Fault(kind, beat),)) for beat in spread(6, most, 1)]
        found = {code for run in after_each(package, jobs) for code in run.errors()}
        assert found == codes


@pytest.mark.parametrize("channel", ["ar", "r", "aw", "w", "b"])
def test_a_memory_that_withholds_its_answer_makes_a_run_late(
    package: Package, channel: str
) -> None:
    need_verilator()
    job, golden = random_job(package.plan, 1, 2)
    jobs = [replace(job, faults=(Fault(channel, at, 10_000),)) for at in (0, 2_000)]
    for run in after_each(package, jobs):
        assert run.errors() == [ErrorCode.NONE] and run.cycles[0] > 10_000
        assert np.array_equal(outputs(package.plan, run), golden)


def test_resets_in_the_middle_and_starts_while_busy(package: Package) -> None:
    need_verilator()
    job, golden = random_job(package.plan, 1, 3)
    (undisturbed,) = after_each(package, [job])
    times = spread(8, undisturbed.cycles[0] - 20, 2)
    for run in after_each(package, [replace(job, faults=(Fault("reset", at),)) for at in times]):
        assert run.status == [IDLE] and run.cycles == [0]
    for run in after_each(package, [replace(job, faults=(Fault("start", at),)) for at in times]):
        assert run.status == [IDLE | DONE | REFUSED] and run.cycles == undisturbed.cycles
        assert np.array_equal(outputs(package.plan, run), golden)


def test_other_networks_follow_on_the_same_units(package: Package) -> None:
    """One that leaves units without work, and one with softmaxes."""
    need_verilator()
    shape, resnet = package.plan.shape, package.plan
    graphs = [legalize(g, CARRIED_OUT) for g in (hwgen.load(MNIST), softmax_network(9))]
    plans = [plan_tiled(graph, shape, 2, units=n) for graph in graphs for n in (1, 2, 4)]
    order = [resnet, *plans, resnet]
    jobs, golden = zip(*(random_job(plan, 1, n) for n, plan in enumerate(order)), strict=True)
    runs = tiled_sim.run(package, list(jobs), Memory(), None, say).jobs
    for plan, run, expected in zip(order, runs, golden, strict=True):
        assert run.errors() == [ErrorCode.NONE]
        assert np.array_equal(outputs(plan, run), expected)
        assert run.words == tile_words(plan)


def test_words_between_buffers_and_arrays_are_the_predicted_ones(package: Package) -> None:
    need_verilator()
    plan = package.plan
    job, _ = random_job(plan, 1)
    for memory in (Memory(), Memory(60, 0.4, gaps=3)):
        (run,) = tiled_sim.run(package, [job], memory, None, say).jobs
        assert run.words == tile_words(plan)
        assert plan.task_words(run.words) == plan.buffer_traffic


def test_records_have_room_for_the_units() -> None:
    """What says which units is behind all other fields: those of one unit are where they were."""
    assert [f.name for f in TRANSFER.fields[-2:]] == ["units", "unit"]
    assert COMPUTE.fields[-1].name == "unit"
