"""Tiled packages in simulation: equal, found where they are wrong, one engine for many networks."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.archs.tiled.ends import input_bytes
from hwgen.archs.tiled.simulation import Job
from hwgen.contract.isa import ErrorCode
from hwgen.errors import UserError
from hwgen.flow.memory import Memory
from hwgen.ir import execute
from hwgen.ir.json_format import graph_to_json
from hwgen.passes import legalize
from hwgen.plan.tiled.mapping.stationarity import Stationarity
from hwgen.plan.tiled.plan import plan_tiled
from hwgen.plan.tiled.schedule.tile_order import tile_order
from tests.helpers.folder_names import NAMES
from tests.helpers.images import DAMAGES, damage, refused
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
    traffic_is_as_planned,
)
from tests.helpers.tiled_layers import random_layers, square


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    folder = tmp_path_factory.mktemp("tiled")
    softmax = folder / "softmaxes.json"
    softmax.write_text(json.dumps(graph_to_json(softmax_network(9))))
    models = {"resnet": RESNET, "mnist": MNIST, "softmax": softmax}
    return {name: tiled_package(model, folder) for name, model in models.items()}


@pytest.fixture
def package(built: dict[str, Package], tmp_path: Path) -> Package:
    return Package.open(Path(shutil.copytree(built["resnet"].path, tmp_path / "copy")))


@pytest.mark.parametrize("name", ["resnet", "mnist"])
def test_outputs_are_golden_and_cycles_are_kept(built: dict[str, Package], name: str) -> None:
    need_verilator()
    package = built[name]
    result = hwgen.verify(package, random=3, memory=Memory(latency=7, rate=0.5))
    assert result.equal and result.frames == 3
    kept = package.result("verify")
    assert kept is not None
    assert kept["memory"]["latency"] == 7 and kept["memory"]["rate"] == 0.5
    assert kept["cycles"] == {"interval": result.interval, "latency": result.interval}
    plan = package.plan
    assert result.interval is not None and result.interval >= plan.interval_bound
    # Every task takes its steps at least; what is left is the end of the last store.
    assert all(kept["busy"][t.name] >= n for t, n in zip(plan.tasks, plan.steps, strict=True))
    assert 0 <= result.interval - sum(kept["busy"].values()) < 200
    traffic_is_as_planned(package)
    report = json.loads((package.path / "report.json").read_text())
    assert report["arch"] == "tiled"
    assert report["cycles"]["latency_measured"] == result.interval
    assert report["layers"][0]["interval_measured"] == kept["busy"][plan.tasks[0].name]
    used = report["macs"] / (result.interval * report["multipliers"])
    assert report["utilization"] == round(used, 4)


@pytest.mark.parametrize("name", NAMES)
def test_a_package_anywhere(built: dict[str, Package], tmp_path: Path, name: str) -> None:
    need_verilator()
    copy = shutil.copytree(built["mnist"].path, tmp_path / NAMES[name])
    result = hwgen.verify(Package.open(Path(copy)), random=1)
    assert result.equal, result.difference


def test_a_damaged_image_is_named(built: dict[str, Package], tmp_path: Path) -> None:
    need_verilator()
    for kind, (_, said) in DAMAGES.items():
        package = Package.open(Path(shutil.copytree(built["mnist"].path, tmp_path / kind)))
        image = package.path / "mem" / "image.hex"
        damage(image, kind)
        refused(lambda package=package: hwgen.verify(package), image, said)
        image.unlink()
        refused(lambda package=package: hwgen.verify(package), image, "is missing")


@pytest.mark.parametrize("name", ["resnet", "mnist"])
def test_words_between_buffers_and_array_are_the_predicted_ones(
    built: dict[str, Package], name: str
) -> None:
    need_verilator()
    package = built[name]
    plan = package.plan
    job, golden = random_job(package.plan, 2)
    for memory in (Memory(), Memory(60, 0.4, gaps=3)):
        run = tiled_sim.run(package, [job], memory, None, say).jobs[0]
        assert np.array_equal(outputs(package.plan, run), golden)
        assert run.words == tile_words(plan)
        assert plan.task_words(run.words) == plan.buffer_traffic
    assert hwgen.verify(package).equal
    kept = package.result("verify")
    assert kept is not None
    for row in plan.layers():
        assert kept["buffer_bytes"][row["name"]] == row["buffer_bytes"]


def test_every_order_of_loops_is_golden_and_moves_what_is_predicted(
    built: dict[str, Package],
) -> None:
    need_verilator()
    package = built["resnet"]
    shape = package.plan.shape
    graphs = [random_layers(seed) for seed in range(4)] + [square(8, 16), square(16, 8)]
    jobs, golden = [], []
    for n, graph in enumerate(map(legalize, graphs)):
        x = graph.inputs[0]
        values = np.random.default_rng(n).integers(x.range[0], x.range[1] + 1, (1, *x.shape))
        for order in (None, *Stationarity):
            plan = plan_tiled(graph, shape, 2, preferred=order)
            assert order is None or order in {t.stationarity for t in plan.placement.tilings}
            jobs.append(Job(plan, input_bytes(plan, {x.name: values})))
            golden.append(execute(graph, {x.name: values})[graph.outputs[0]])
    runs = tiled_sim.run(package, jobs, Memory(), None, say).jobs
    squares = 0
    for job, run, expected in zip(jobs, runs, golden, strict=True):
        plan, graph = job.plan, job.plan.graph
        assert run.errors() == [ErrorCode.NONE]
        assert np.array_equal(outputs(plan, run), expected)
        assert run.words == tile_words(plan)
        if graph.name == "square" and plan.preferred is Stationarity.INPUT:
            # The pixels are one tile: each word is read once in each tile that takes it.
            order = tile_order(plan.placement.problems[0], plan.placement.tilings[0])
            words = [6 * 6 * len(range(*tile.tile.taps[2])) for tile in order]
            assert run.words[0]["ifmaps"] == words != []
            squares += 1
    assert squares == 2


@pytest.mark.parametrize("keep", [True, False])
def test_softmaxes_in_the_midst_and_at_the_end(built: dict[str, Package], keep: bool) -> None:
    """On the same compiled engine, with all tensors on chip and with none."""
    need_verilator()
    package = built["softmax"]
    assert [row["operand"] for row in package.plan.layers()].count("softmax") == 2
    plan = package.plan if keep else package.plan.outside()
    job, golden = random_job(plan, 3)
    assert len({*golden.reshape(-1).tolist()}) > 10, "probabilities of all sizes"
    run = tiled_sim.run(package, [job], Memory(), None, say).jobs[0]
    assert run.errors() == [ErrorCode.NONE] * 3
    assert np.array_equal(outputs(plan, run), golden)
    result = hwgen.verify(package, random=2)
    assert result.equal and result.interval is not None
    busy = package.result("verify")
    assert busy is not None and busy["busy"]["probabilities"] >= 3 * 19 + 45


def test_slow_memory_takes_longer_and_gaps_change_nothing(built: dict[str, Package]) -> None:
    need_verilator()
    package = built["mnist"]
    job, golden = random_job(package.plan, 1)
    cycles = []
    for memory in (Memory(1), Memory(200, 0.25), Memory(gaps=5)):
        run = tiled_sim.run(package, [job], memory, None, say).jobs[0]
        assert np.array_equal(outputs(package.plan, run), golden)
        cycles.append(run.cycles[0])
    assert cycles[0] < cycles[1]


def test_one_engine_runs_one_network_after_the_other(built: dict[str, Package]) -> None:
    need_verilator()
    first, second = built["resnet"], built["mnist"]
    rtl = [
        {file.name: file.read_bytes() for file in (p.path / "rtl").iterdir()}
        for p in built.values()
    ]
    assert rtl[0] == rtl[1] == rtl[2]
    order = [first, second, first]
    jobs, golden = zip(*(random_job(p.plan, 2, seed) for seed, p in enumerate(order)), strict=True)
    runs = tiled_sim.run(first, jobs, Memory(), None, say).jobs
    for package, run, expected in zip(order, runs, golden, strict=True):
        assert np.array_equal(outputs(package.plan, run), expected)
        assert run.errors() == [ErrorCode.NONE] * 2
    assert runs[0].cycles == runs[2].cycles


def test_an_error_of_the_engine_is_a_difference(package: Package) -> None:
    need_verilator()
    path, plan = package.path / "mem" / "image.hex", package.plan
    lines = path.read_text().split()
    first = plan.program.start // plan.shape.bus_bytes
    lines[first] = lines[first][:-1] + "9"  # the op of the first descriptor
    path.write_text("\n".join(lines) + "\n")
    result = hwgen.verify(package, random=1)
    assert not result.equal
    assert "error UNKNOWN_OP" in str(result.difference)
    assert result.interval is None


def test_a_wrong_weight_is_found_in_its_layer(package: Package) -> None:
    need_verilator()
    plan = package.plan
    path = package.path / "mem" / "image.hex"
    lines = path.read_text().split()
    # The last constants loaded are those of the last task.
    load = next(d for d in reversed(plan.program.descriptors) if d["op"] == 1 and d["target"] == 1)
    for n in range(load["address"] // 8, (load["address"] + load["bytes"]) // 8):
        lines[n] = f"{int(lines[n], 16) ^ 0x2121212121212121:016x}"
    path.write_text("\n".join(lines) + "\n")
    result = hwgen.verify(package)
    assert not result.equal
    assert f"layer {plan.tasks[load['layer']].y!r}" in str(result.difference)
    assert result.changed == ("mem/image.hex",)


def test_an_image_without_its_program_is_a_difference(package: Package) -> None:
    """All of it is zero, which ends at once and is no error."""
    need_verilator()
    path = package.path / "mem" / "image.hex"
    words = path.read_text().splitlines()
    path.write_text("\n".join([*words[:8], *["0" * len(words[0])] * (len(words) - 8)]) + "\n")
    result = hwgen.verify(package)
    assert result.difference is not None and "mem/image.hex" in result.changed
    kept = package.result("verify")
    assert kept is not None and not kept["equal"] and "busy" not in kept


def test_wrong_rtl_is_found_in_the_first_layer(package: Package) -> None:
    need_verilator()
    path = package.path / "rtl" / "hwgen_mul.v"
    text = path.read_text()
    assert "assign p = " in text
    path.write_text(text.replace("assign p = ", "assign p = 1 ^ "))
    result = hwgen.verify(package)
    assert not result.equal
    plan = package.plan
    assert f"layer {plan.tasks[0].y!r}" in str(result.difference)
    assert re.search(r"row \d+, column \d+, channel \d+", str(result.difference))


def test_waveform(package: Package) -> None:
    need_verilator()
    result = hwgen.verify(package, random=1, wave=True)
    assert result.run.wave is not None
    assert "m_axi_araddr" in result.run.wave.read_text()[:1_000_000]


@pytest.mark.parametrize(
    "arguments",
    [{"simulator": "python"}, {"simulator": "modelsim"}, {"random": 0}],
)
def test_refusals(package: Package, arguments: dict) -> None:
    with pytest.raises(UserError):
        hwgen.verify(package, **arguments)
    for wrong in ({"latency": 0}, {"rate": 0}, {"rate": 2}):
        with pytest.raises(UserError, match="--mem"):
            Memory(**wrong)
