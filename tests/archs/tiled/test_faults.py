"""What goes wrong around a tiled engine: it says so, ends, and its next run is right.

All jobs of a test run one after the other on one instance, which is never reset between them.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from hwgen.archs.package import Package
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.archs.tiled.simulation import Fault
from hwgen.cli import main
from hwgen.contract.isa import COMPUTE, TRANSFER, ErrorCode, Opcode, Target
from hwgen.flow.engine import DesignFault
from hwgen.flow.memory import Memory
from tests.helpers.tiled import MNIST, need_verilator, outputs, random_job, say, tiled_package
from tests.helpers.tiled_programs import (
    DONE,
    IDLE,
    REFUSED,
    after_each,
    image,
    numbers,
    spread,
)

LATE = Fault("reset", 40_000)
"""Ends a run that is no longer waited for."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    need_verilator()
    return tiled_package(MNIST, tmp_path_factory.mktemp("tiled"))


def test_an_error_in_any_beat_read(package: Package) -> None:
    job, golden = random_job(package.plan, 1, 2)
    read, _ = package.plan.beats
    beats = spread(36, read, 1)
    jobs = [replace(job, faults=(Fault("read_error", beat),)) for beat in beats]
    seen = []
    for run in after_each(package, jobs):
        seen += run.errors()
        assert run.status[0] & 0xFF == IDLE | DONE
        assert run.layer[0] < len(package.plan.tasks)
        if seen[-1] is ErrorCode.NONE:
            # Nothing depends on the rest of END.
            assert np.array_equal(outputs(package.plan, run), golden)
    assert set(seen) <= {ErrorCode.READ, ErrorCode.FETCH, ErrorCode.NONE}
    assert seen.count(ErrorCode.READ) > 20 and seen.count(ErrorCode.NONE) < 4
    assert ErrorCode.FETCH in seen


def test_an_error_in_any_beat_written(package: Package) -> None:
    """With every tensor in external memory, so that there are many."""
    outside = package.plan.outside()
    job = replace(random_job(package.plan, 1, 3)[0], plan=outside)
    _, written = outside.beats
    beats = spread(12, written, 2)
    jobs = [replace(job, faults=(Fault("write_error", beat),)) for beat in beats]
    for run in after_each(package, jobs):
        assert run.errors() == [ErrorCode.WRITE]
        assert run.layer[0] < len(outside.tasks)
        assert run.write_beats[0] <= written


@pytest.mark.parametrize("channel", ["ar", "r", "aw", "w", "b"])
def test_a_memory_that_withholds_its_answer_makes_a_run_late(
    package: Package, channel: str
) -> None:
    outside = package.plan.outside()
    given, golden = random_job(package.plan, 1, 4)
    times = (0, 100, 2_000, 9_000)
    jobs = [replace(given, plan=outside, faults=(Fault(channel, at, 10_000),)) for at in times]
    late = 0
    for run, at in zip(after_each(package, jobs), times, strict=True):
        assert run.errors() == [ErrorCode.NONE]
        assert np.array_equal(outputs(package.plan, run), golden)
        late += run.cycles[0] > at + 10_000
    assert late == len(times)


def test_a_reset_in_the_middle(package: Package) -> None:
    job, _ = random_job(package.plan, 1, 5)
    last = after_each(package, [job])[0].cycles[0]
    jobs = [
        replace(job, faults=(Fault("reset", at),)) for at in [0, 1, 2, *spread(20, last - 10, 3)]
    ]
    for memory in (Memory(), Memory(latency=100, gaps=7)):
        for run in after_each(package, jobs, memory):
            assert run.status == [IDLE] and run.cycles == [0]


def test_a_start_while_busy_is_refused_and_changes_nothing(package: Package) -> None:
    job, golden = random_job(package.plan, 1, 6)
    undisturbed = after_each(package, [job])[0].cycles
    times = [1, *spread(20, undisturbed[0] - 20, 4)]
    jobs = [replace(job, faults=(Fault("start", at),)) for at in times]
    for run in after_each(package, jobs):
        assert run.status == [IDLE | DONE | REFUSED]
        assert run.cycles == undisturbed
        assert np.array_equal(outputs(package.plan, run), golden)


IMPOSSIBLE = [
    (Opcode.LOAD, Target.FEATURES, {"rows": 0}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.FEATURES, {"bytes": 0}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.FEATURES, {"ring": 0}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.FEATURES, {"ring": 6}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.FEATURES, {"ring": 4, "first": 4}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.FEATURES, {"bytes": 0xFFFFFF}, ErrorCode.LOAD_OUTSIDE),
    (Opcode.LOAD, Target.FEATURES, {"rows": 0xFFF, "pitch": 64}, ErrorCode.LOAD_OUTSIDE),
    (Opcode.LOAD, Target.FEATURES, {"address": 0xFFFFFFFF}, ErrorCode.LOAD_OUTSIDE),
    (Opcode.LOAD, Target.WEIGHTS, {"rows": 2}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.WEIGHTS, {"bytes": 0}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.WEIGHTS, {"bytes": 12}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.WEIGHTS, {"address": 4}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.WEIGHTS, {"word_beats": 0}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.WEIGHTS, {"word_beats": 0xFFF}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.PARAMETERS, {"one_lane": 1}, ErrorCode.LOAD),
    (Opcode.LOAD, Target.WEIGHTS, {"bytes": 0xFFFFF8}, ErrorCode.LOAD_OUTSIDE),
    (Opcode.LOAD, Target.PARAMETERS, {"address": 0xFFFFFFF8}, ErrorCode.LOAD_OUTSIDE),
    (Opcode.LOAD, Target.PARAMETERS, {"op": 9}, ErrorCode.UNKNOWN_OP),
    (Opcode.LOAD, Target.PARAMETERS, {"wait_load": 0x7FFF}, ErrorCode.STALL),
    (Opcode.STORE, None, {"rows": 0}, ErrorCode.STORE),
    (Opcode.STORE, None, {"bytes": 0}, ErrorCode.STORE),
    (Opcode.STORE, None, {"ring": 2}, ErrorCode.STORE),
    (Opcode.STORE, None, {"target": 1}, ErrorCode.STORE),
    (Opcode.STORE, None, {"bytes": 0xFFFFFF}, ErrorCode.STORE_OUTSIDE),
    (Opcode.STORE, None, {"address": 0}, ErrorCode.STORE_OUTSIDE),
    (Opcode.STORE, None, {"wait_store": 1}, ErrorCode.STALL),
    (Opcode.COMPUTE, None, {"loop0_count": 0}, ErrorCode.COMPUTE),
    (Opcode.COMPUTE, None, {"loop5_count": 0}, ErrorCode.COMPUTE),
    (Opcode.COMPUTE, None, {"out2_count": 0}, ErrorCode.COMPUTE),
    (Opcode.COMPUTE, None, {"x_ring": 3}, ErrorCode.COMPUTE),
    (Opcode.COMPUTE, None, {"y_first": 0xFFF}, ErrorCode.COMPUTE),
    (Opcode.COMPUTE, None, {"out2_count": 7}, ErrorCode.COMPUTE),
    (Opcode.COMPUTE, None, {"loop5_count": 7}, ErrorCode.COMPUTE),
    (Opcode.COMPUTE, None, {"tap_rows": 1, "operand": 1}, ErrorCode.COMPUTE),
    (Opcode.COMPUTE, None, {"product": 1, "second": 0}, ErrorCode.COMPUTE),
    (Opcode.COMPUTE, None, {"no_writeback": 1, "wait_compute": 0x7FFF}, ErrorCode.STALL),
]


def test_impossible_descriptors_are_named(package: Package, tmp_path: Path) -> None:
    program = package.plan.program
    given, _ = random_job(package.plan, 1, 7)
    jobs, layers = [], []
    for op, target, changes, _ in IMPOSSIBLE:
        number = numbers(program, op, target)[0]
        layers.append(program.descriptors[number]["layer"])
        jobs.append(replace(given, image=image(program, number, changes, tmp_path)))
    runs = after_each(package, jobs)
    for (op, _, changes, code), run, layer in zip(IMPOSSIBLE, runs, layers, strict=True):
        assert run.errors() == [code], (op, changes)
        assert run.layer == [layer], (op, changes)


def test_any_field_may_be_wrong(package: Package, tmp_path: Path) -> None:
    """Whatever a program says: the run ends or is late, and nothing else is harmed by it."""
    program, rng = package.plan.program, Random(1)
    given, _ = random_job(package.plan, 1, 8)
    jobs = []
    for op, record, count in (
        (Opcode.LOAD, TRANSFER, 30),
        (Opcode.STORE, TRANSFER, 15),
        (Opcode.COMPUTE, COMPUTE, 75),
    ):
        fields = [f for f in record.fields if f.name != "layer"]
        for field in rng.sample(fields * 6, count):
            number = rng.choice(numbers(program, op))
            value = rng.choice([*field.range, rng.randint(*field.range)])
            path = image(program, number, {field.name: value}, tmp_path)
            jobs.append(replace(given, image=path, faults=(LATE,)))
    runs = after_each(package, jobs)
    ended = [run for run in runs if run.status[0] & DONE]
    assert all(run.status[0] & 0xFF in (IDLE | DONE, IDLE) for run in runs)
    assert len(ended) > len(runs) // 2
    assert {ErrorCode.NONE, ErrorCode.COMPUTE, ErrorCode.STALL} <= {
        code for run in ended for code in run.errors()
    }


def test_a_memory_that_never_answers_is_a_hang(package: Package) -> None:
    job, _ = random_job(package.plan, 1)
    forever = replace(job, faults=(Fault("ar", 500, 10**9),))
    with pytest.raises(DesignFault, match="nothing moves any more: the engine hangs"):
        tiled_sim.run(package, [forever], Memory(), None, say)


def verify_hangs(package: Package, capsys: pytest.CaptureFixture[str]) -> str:
    """What ``hwgen verify`` says; it must be short, with the exit code of a difference."""
    assert main(["verify", str(package.path), "--random", "1"]) == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    said = [line for line in (out + err).splitlines() if "hangs" in line]
    assert len(said) == 1
    return said[0]


def test_work_without_end_is_a_hang(
    package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tile of 4095 times as many steps, in which the array never rests."""
    copy = Package.open(Path(shutil.copytree(package.path, tmp_path / "copy")))
    program = package.plan.program
    changes = {f"loop{n}_count": 0xFFF for n in range(6)}
    path = image(program, numbers(program, Opcode.COMPUTE)[0], changes, tmp_path)
    shutil.copy(path, copy.path / "mem" / "image.hex")
    assert "no end after" in verify_hangs(copy, capsys)


def test_registers_that_never_answer_are_a_hang(
    package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Package.open(Path(shutil.copytree(package.path, tmp_path / "copy")))
    path = copy.path / "rtl" / "top.v"
    text = path.read_text()
    wire = ".rvalid(s_axi_rvalid)"
    assert text.count(wire) == 1
    path.write_text(text.replace(wire, ".rvalid()"))
    assert "a register does not answer" in verify_hangs(copy, capsys)
