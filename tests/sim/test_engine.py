"""The cocotb bench of tiled packages, on both simulators, and what it finds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.archs.tiled.ends import to_bytes
from hwgen.archs.tiled.simulation import JobRun
from hwgen.archs.tiled.stored import memory_fault
from hwgen.cli import main
from hwgen.contract.isa import ErrorCode
from hwgen.flow.memory import Memory
from hwgen.ir import execute
from hwgen.passes import legalize
from hwgen.plan.tiled.network.requant import CARRIED_OUT
from hwgen.plan.tiled.options import TiledOptions
from hwgen.plan.tiled.plan import TiledPlan, plan_tiled
from tests.helpers.packages import tiny_model
from tests.helpers.processes import breaks_off
from tests.helpers.tiled import (
    MNIST,
    need_verilator,
    outputs,
    random_inputs,
    random_job,
    say,
    softmax_network,
)
from tests.helpers.tiled_layers import random_layers

engine = pytest.importorskip("hwgen_sim.engine", reason="hwgen_sim is not installed")

ARRAY: dict[str, Any] = {"arch": "tiled", "array": "4x4"}
STALLS = Memory(30, 0.7, gaps=11)
TWO_HEADS = Path(__file__).parents[1] / "importers" / "fixtures" / "tflite_two_heads.tflite"
SEEN = (
    "cycles", "status", "layer", "read_beats", "write_beats", "tiles", "loads", "stores", "begun",
    "asked", "asked_at", "sent", "steps", "read_bytes", "written_bytes", "words",
)  # fmt: skip
"""What both benches say of a job."""


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return hwgen.build(MNIST, tmp_path_factory.mktemp("engine") / "mnist", **ARRAY)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The example of docs/model_format.md, some hundred cycles on the same engine."""
    folder = tmp_path_factory.mktemp("tiny")
    return hwgen.build(tiny_model(folder), folder / "tiny", **ARRAY)


@pytest.fixture
def copy(tiny: Package, tmp_path: Path) -> Package:
    return Package.open(Path(shutil.copytree(tiny.path, tmp_path / "copy")))


@pytest.fixture(scope="module")
def compiled(mnist: Package, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The engine under cocotb by simulator, compiled once where it is asked for."""
    made: dict[str, Any] = {}

    def design(simulator: str) -> Any:
        if simulator not in made:
            try:
                folder = tmp_path_factory.mktemp(simulator)
                made[simulator] = engine.build_engine(mnist, simulator, folder)
            except engine.SimulatorMissing as missing:
                pytest.skip(str(missing))
        return made[simulator]

    return design


def check_memory(plan: TiledPlan, run: JobRun, seed: int, frames: int) -> None:
    """Every byte that was stored is golden."""
    inputs = random_inputs(plan.graph, frames, seed)
    assert run.after is not None and run.stored is not None
    for n in range(frames):
        frame = {name: values[n : n + 1] for name, values in inputs.items()}
        golden = execute(plan.graph, frame, list(plan.graph.tensors))
        assert memory_fault(plan, run.after[n], run.stored[n], golden, n) is None


@pytest.mark.parametrize(
    ("simulator", "memory"),
    [("verilator", Memory()), ("verilator", STALLS), ("icarus", STALLS)],
    ids=("regular", "stalls", "icarus"),
)
def test_both_benches_see_the_same(
    mnist: Package, compiled: Any, simulator: str, memory: Memory
) -> None:
    """Networks with all tensors on chip and with none, of several inputs and outputs; every event
    in the same cycle."""
    need_verilator()
    print(memory)
    shape = mnist.plan.shape
    layers, softmax = (legalize(g) for g in (random_layers(0), softmax_network(4)))
    plans = [plan_tiled(layers, shape, 2).outside()]
    frames = 1
    if simulator == "verilator":  # Icarus takes some hundred cycles a second
        plans += [plan_tiled(layers, shape, 2), plan_tiled(softmax, shape, 2).outside()]
        plans += [plan_tiled(legalize(hwgen.load(TWO_HEADS), CARRIED_OUT), shape, 2)]
        frames = 2
    jobs, golden = zip(*(random_job(plan, frames, 3) for plan in plans), strict=True)
    runs = engine.run_engine(mnist, compiled(simulator), jobs, memory, None, say)
    others = tiled_sim.run(mnist, jobs, memory, None, say)
    assert np.array_equal(runs.memory, others.memory)
    for plan, run, other, expected in zip(plans, runs.jobs, others.jobs, golden, strict=True):
        assert run.errors() == [ErrorCode.NONE] * frames
        assert np.array_equal(outputs(plan, run), expected)
        check_memory(plan, run, 3, frames)
        for name in SEEN:
            assert getattr(run, name) == getattr(other, name), name
        if memory.regular:
            assert run.cycles == [plan.estimate().cycles] * frames


def verified(package: Package) -> dict[str, Any]:
    kept = package.result("verify")
    assert kept is not None
    return {name: value for name, value in kept.items() if name not in ("seconds", "digest")}


def test_mnist_with_random_stalls(mnist: Package, capsys: pytest.CaptureFixture[str]) -> None:
    need_verilator()
    stalls = ["--random", "1", "--mem-gaps", "5", "--mem-latency", "33", "--mem-rate", "0.6"]
    assert main(["verify", str(mnist.path), "--sim", "verilator", *stalls]) == 0
    out, err = capsys.readouterr()
    assert "of seed 5" in out and "RTL equals golden" in out
    assert "simulating frame 1 of 1, cycle" in err
    ours = verified(mnist)
    assert main(["verify", str(mnist.path), *stalls]) == 0
    theirs = verified(mnist)
    assert (ours.pop("bench"), theirs.pop("bench")) == ("cocotb", "c++")
    assert ours == theirs and ours["memory"]["gaps"] == 5
    assert ours["cycles"]["interval"] > mnist.plan.estimate().cycles


def test_verify_with_icarus(tiny: Package) -> None:
    result = run_icarus(tiny)
    assert result.equal and result.interval == tiny.plan.estimate().cycles
    assert result.simulator == "icarus" and verified(tiny)["bench"] == "cocotb"
    assert result.timeline and [span.kind for span in result.timeline].count("frame") == 1


def run_icarus(package: Package) -> hwgen.Verification:
    try:
        return hwgen.verify(package, "icarus", random=1, trace=True)
    except hwgen.UserError as missing:
        if "is not installed" not in str(missing):
            raise
        pytest.skip(str(missing))


def test_a_changed_byte_of_the_image_is_found(copy: Package) -> None:
    plan, path = copy.plan, copy.path / "mem" / "image.hex"
    lines = path.read_text().split()
    load = next(d for d in reversed(plan.program.descriptors) if d["op"] == 1 and d["target"] == 1)
    line = load["address"] // plan.shape.bus_bytes
    lines[line] = f"{int(lines[line], 16) ^ 0x40:0{len(lines[line])}x}"
    path.write_text("\n".join(lines) + "\n")
    result = run_icarus(copy)
    assert not result.equal and result.changed == ("mem/image.hex",)
    assert f"layer {plan.tasks[load['layer']].y!r}" in str(result.difference)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("hwgen_mul.v", "assign p = ", "assign p = 1 ^ ", "frame 0, layer 'act'"),
        ("top.v", "assign m_axi_wlast = ", "wire unused = ", "m_axi_wlast is "),
        ("top.v", ".rvalid(s_axi_rvalid)", ".rvalid()", "s_axi_rvalid is "),
    ],
)
def test_wrong_rtl_is_found(copy: Package, file: str, old: str, new: str, said: str) -> None:
    path = copy.path / "rtl" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    result = run_icarus(copy)
    assert not result.equal and said in str(result.difference)


def test_an_engine_that_hangs(
    copy: Package, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does not see what memory answers."""
    run_icarus(copy)
    monkeypatch.setattr(engine, "QUIET_LIMIT", 300)
    path = copy.path / "rtl" / "top.v"
    text = path.read_text()
    assert text.count(".rvalid(m_axi_rvalid)") == 1
    path.write_text(text.replace(".rvalid(m_axi_rvalid)", ".rvalid(1'h0)"))
    assert main(["verify", str(copy.path), "--sim", "icarus", "--random", "1"]) == 1
    assert "nothing moves any more: the engine hangs" in capsys.readouterr().out


def test_what_the_simulator_can_not_read_is_its_failure(
    copy: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    run_icarus(copy)
    (copy.path / "rtl" / "hwgen_mul.v").write_text("module hwgen_mul (\n")
    assert main(["verify", str(copy.path), "--sim", "icarus"]) == 3
    assert "icarus" in capsys.readouterr().err


def test_a_simulation_that_breaks_off_is_no_difference(
    tiny: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run_icarus(tiny)
    breaks_off(tmp_path, monkeypatch)
    assert main(["verify", str(tiny.path), "--sim", "icarus"]) == 3
    assert "return code: 9" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--sim", "python"], ["--mem-gaps", "-1"]])
def test_bad_uses(tiny: Package, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tiny.path), *arguments]) == 2
    assert arguments[0] in capsys.readouterr().err


def test_every_fault_in_memory_is_named(tiny: Package) -> None:
    """After a right run memory is changed, a byte at a time."""
    plan = tiny.plan.outside()
    job, _ = random_job(plan, 1)
    try:
        run = engine.run_engine(tiny, "icarus", [job], Memory(), None, say).jobs[0]
    except engine.SimulatorMissing as missing:
        pytest.skip(str(missing))
    check_memory(plan, run, 1, 1)
    assert run.after is not None and run.stored is not None
    x, program = plan.graph.inputs[0], plan.program
    values = np.random.default_rng(1).integers(x.range[0], x.range[1] + 1, (1, *x.shape))
    golden = execute(plan.graph, {x.name: values}, list(plan.graph.tensors))
    for name, start in program.tensors.items():
        for byte in (start, start + plan.task_graph.stored[name].bytes - 1):
            memory, stored = run.after[0].copy(), run.stored[0].copy()
            memory[byte] ^= 1
            fault = memory_fault(plan, memory, stored, golden, 4)
            if name == plan.task_graph.sources[0]:
                assert fault is None, "the engine does not write it"
                stored[byte] = True
                fault = str(memory_fault(plan, memory, stored, golden, 4))
                assert fault == f"frame 4: byte {byte} of memory is written, a part of no layer"
                continue
            assert f"layer {name!r}" in str(fault) and "frame 4" in str(fault)
            stored[byte] = False
            fault = str(memory_fault(plan, run.after[0], stored, golden, 4))
            assert fault == f"frame 4: byte {byte - start} of layer {name!r} is not stored"
    for byte in (0, program.start, program.writable - 1):
        stored = run.stored[0].copy()
        stored[byte] = True
        assert f"byte {byte} of memory" in str(memory_fault(plan, run.after[0], stored, golden, 0))


def test_rows_for_other_tile_units_are_compared() -> None:
    """Of tensors on chip rows at borders lie in external memory; the others are never written."""
    shape = TiledOptions(array="4x4", tiles=2).engine()[0]
    plan = plan_tiled(legalize(random_layers(1)), shape, 2)
    program, work = plan.program, plan.task_graph
    name, start = next(iter(program.shared.items()))
    assert start >= program.borders and name not in program.tensors
    x = plan.graph.inputs[0]
    values = np.random.default_rng(1).integers(x.range[0], x.range[1] + 1, (1, *x.shape))
    golden = execute(plan.graph, {x.name: values}, list(plan.graph.tensors))
    memory, written = program.memory.copy(), np.zeros(len(program.memory), bool)
    for tensor, place in program.tensors.items():
        if tensor != work.sources[0]:
            raw = to_bytes(golden[tensor], work.stored[tensor])[0]
            memory[place : place + len(raw)], written[place : place + len(raw)] = raw, True
    raw = to_bytes(golden[name], work.stored[name])[0]
    row = work.stored[name].row_bytes
    memory[start + row : start + 2 * row] = raw[row : 2 * row]
    written[start + row : start + 2 * row] = True
    assert memory_fault(plan, memory, written, golden, 0) is None
    memory[start + row + 3] ^= 4
    said = str(memory_fault(plan, memory, written, golden, 0))
    assert said.startswith(f"frame 0: byte {row + 3} of layer {name!r} in memory: expected ")
