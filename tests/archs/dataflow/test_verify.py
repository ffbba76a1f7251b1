"""Verification finds what is wrong with a design, whatever it is, and says where."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.archs.dataflow.simulators import verilator
from hwgen.archs.dataflow.testbench import level_names
from hwgen.archs.package import Package
from hwgen.emit.contents import strangers
from hwgen.emit.packing import beat_bytes, pack_all
from hwgen.errors import UserError
from hwgen.flow import tools
from tests.helpers.packages import tiny_model, tiny_package


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return tiny_package(tmp_path_factory.mktemp("package"))


@pytest.fixture
def package(made: Package, tmp_path: Path) -> Package:
    return Package.open(Path(shutil.copytree(made.path, tmp_path / "copy")))


def need(simulator: str) -> None:
    there = {"python": True, "icarus": tools.icarus().found, "verilator": tools.can_compile()}
    if not there[simulator]:
        pytest.skip(f"{simulator} or what it needs is not installed")


@pytest.fixture(params=["icarus", "verilator"])
def simulator(request: pytest.FixtureRequest) -> str:
    """The simulators that read the package's own Verilog."""
    need(request.param)
    return request.param


@pytest.mark.parametrize("name", ["python", "icarus", "verilator"])
def test_all_simulators_measure_the_same(package: Package, name: str) -> None:
    need(name)
    timing = package.plan.timing()
    x = np.random.default_rng(5).integers(0, 256, (3, 4, 4, 1))
    result = hwgen.verify(package, name, inputs=x)
    assert result.equal
    assert result.frames == 3
    assert (result.interval, result.latency) == (timing.interval, timing.latency)


def test_a_changed_weight_is_found_in_its_layer(package: Package, simulator: str) -> None:
    image = package.path / "mem" / "scores_weights.hex"
    words = image.read_text().split()
    image.write_text("\n".join(f"{int(w, 16) ^ 1:0{len(w)}x}" for w in words) + "\n")
    result = hwgen.verify(package, simulator)
    assert not result.equal
    assert "layer 'scores'" in str(result.difference)
    assert result.changed == ("mem/scores_weights.hex",)
    assert package.result("verify")["equal"] is False  # pyright: ignore[reportOptionalSubscript]


HARNESS = """\
#!{python}
import json, pathlib, sys
_, source, output, frames, stats, _, edges = sys.argv
assert pathlib.Path(source).stat().st_size == int(frames) * {given}
pathlib.Path(output).write_bytes(bytes({taken}) * int(frames))
for number, (name, size) in enumerate({edges}.items(), 1):
    (pathlib.Path(edges) / (name + ".bin")).write_bytes(bytes([number]) * size * int(frames))
run = dict(levels=[0] * {levels}, work=[0] * {units})
run |= dict(first=dict(s_axis=[0]), ends=dict(m_axis=[9]))
run["given"] = [dict(cycles=[3, 9])] * {units}
pathlib.Path(stats).write_text(json.dumps(run))
"""


def test_streams_of_units_have_files_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the units are called: a bench that only writes files stands for the real one."""
    model = tiny_model(tmp_path)
    text = model.read_text().replace('"conv"', '"out"').replace('"pool"', '"in"')
    model.write_text(text.replace('"scores"', '"stats"'))
    package = hwgen.build(model, tmp_path / "package", multipliers=4)
    units = package.plan.units
    assert {"out", "in", "stats"} <= {unit.name for unit in units}
    sizes = {u.name: u.output.beats * -(-u.output.lanes * u.output.bits // 8) for u in units}
    binary = tmp_path / "harness"
    binary.write_text(
        HARNESS.format(
            python=sys.executable,
            given=package.plan.inputs[0].shape.beats * beat_bytes(package.plan.inputs[0].shape),
            taken=package.plan.outputs[0].shape.beats * beat_bytes(package.plan.outputs[0].shape),
            edges=sizes,
            levels=len(level_names(package.plan)),
            units=len(units),
        )
    )
    binary.chmod(0o755)
    monkeypatch.setattr(verilator, "build", lambda *arguments: binary)
    inputs = package.plan.inputs
    beats = pack_all({inputs[0].tensor: np.zeros((2, 4, 4, 1), int)}, inputs)
    run = verilator.run(package, beats, True, None, lambda text: None)
    (output,) = run.outputs.values()
    assert not output.any() and len(output) == 2
    assert run.given == {unit.name: [(3, 9)] for unit in units}
    for number, (name, size) in enumerate(sizes.items(), 1):
        assert run.edges[name].size == 2 * size and (run.edges[name] == number).all()


def test_a_design_that_hangs_is_a_difference(package: Package, simulator: str) -> None:
    path = package.path / "rtl" / "top.v"
    text = path.read_text()
    start = text.index("module top(")
    whole = text[start : text.index("endmodule", start)]
    # The same ports and probes, nothing behind them: frames go in, nothing comes out.
    head = whole[: whole.index(";") + 1]
    declared = re.findall(r"^ *(?:input|output|wire|reg) .*;$", whole, re.M)
    outputs = re.findall(r"^ *output (?:\[.*\] )?(\w+);$", whole, re.M)
    driven = [f"assign {name} = {int(name == 's_axis_tready')};" for name in outputs]
    hollow = "\n".join([head, *declared, *driven, "endmodule\n"])
    path.write_text(text.replace(whole, whole.replace("module top(", "module unused(")) + hollow)
    result = hwgen.verify(package, simulator)
    assert not result.equal
    assert "hang" in str(result.difference)
    assert result.interval is None


def test_amaranths_simulator_refuses_changed_rtl(package: Package) -> None:
    path = package.path / "rtl" / "top.v"
    path.write_text(path.read_text() + "// mine\n")
    with pytest.raises(UserError, match="does not read it"):
        hwgen.verify(package, "python")


@pytest.mark.parametrize("name", ["python", "icarus", "verilator"])
def test_waveforms(package: Package, name: str) -> None:
    need(name)
    result = hwgen.verify(package, name, random=1, wave=True)
    assert result.equal
    wave = result.run.wave
    assert wave is not None
    assert wave.parent == package.path / "results"
    assert not strangers(package.path, package.manifest), "the package can be built again"
    assert wave.stat().st_size > 1000
    if wave.suffix == ".vcd":
        text = wave.read_text()
        assert "$enddefinitions" in text
        assert "m_axis_tvalid" in text
    else:
        assert wave.suffix == ".fst"


def test_inputs_must_fit(package: Package) -> None:
    for x, said in (
        (np.zeros((1, 4, 4, 2), int), "shape"),
        (np.full((1, 4, 4, 1), 256), "255"),
        (np.zeros((0, 4, 4, 1), int), "no frames"),
        (np.zeros((1, 4, 4, 1)), "integers"),
    ):
        with pytest.raises(UserError, match=said):
            hwgen.verify(package, "python", inputs=x)
    with pytest.raises(UserError, match="not one of"):
        hwgen.verify(package, "modelsim")
    assert package.result("verify") is None


def test_levels_watched_earlier_stay(package: Package) -> None:
    if not tools.icarus().found:
        pytest.skip("Icarus Verilog is not installed")
    hwgen.verify(package, "python")
    watched = package.result("verify")
    hwgen.verify(package, "icarus")
    later = package.result("verify")
    assert watched and later
    assert later["simulator"] == "icarus"
    assert later["high_water"] == watched["high_water"] == package.plan.timing(3).high_water


def test_an_undefined_value_is_told_as_one_of_the_design(package: Package) -> None:
    """Not as a failed test of a bench."""
    need("icarus")
    top = package.path / "rtl" / "top.v"
    text = top.read_text()
    assert ".o__payload(m_axis_tdata)" in text
    top.write_text(text.replace(".o__payload(m_axis_tdata)", ".o__payload()"))
    result = hwgen.verify(package, "icarus")
    assert str(result.difference) == "frame 0, beat 0, byte 0 of m_axis is undefined"
    assert result.changed == ("rtl/top.v",)
