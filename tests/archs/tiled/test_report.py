"""The report of a tiled package, before it is simulated and after."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.cli import main
from hwgen.emit.seals import unsealed
from tests.helpers.commands import made_by, parsed
from tests.helpers.tiled import RESNET, need_verilator, tiled_package
from tests.report.test_browser import BROWSER, probe


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return tiled_package(RESNET, tmp_path_factory.mktemp("report"))


def report_of(package: Package) -> dict:
    report = unsealed(json.loads((package.path / "report.json").read_text()))
    assert report is not None
    return report


def test_what_is_known_before_a_simulation(package: Package) -> None:
    report, plan = report_of(package), package.plan
    cycles = report["cycles"]
    assert report["arch"] == "tiled"
    assert report["multipliers"] == 64 and report["requant_multipliers"] == 2
    assert report["macs"] == sum(layer["macs"] for layer in report["layers"])
    assert cycles["interval_bound"] == plan.interval_bound <= cycles["interval_estimate"]
    assert cycles["interval_estimate"] == cycles["latency_estimate"]
    assert cycles["interval_measured"] is None and report["utilization"] is None
    # Buffers, tables, a softmax's vector.
    assert report["memory_bits"] == plan.memory_bits <= 8 * (32 + 2 + 2) * 1024
    for layer in report["layers"]:
        assert layer["interval_measured"] is None and layer["buffer_bytes_measured"] is None
        assert {"name", "op", "pe", "simd", "interval_estimate", "utilization"} <= layer.keys()
    for kind, total in report["bytes_estimate"].items():
        assert total == sum(layer["bytes"][kind] for layer in report["layers"])


def test_after_a_simulation(
    package: Package,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need_verilator()
    x = package.graph.inputs[0]
    inputs = np.random.default_rng(2).integers(x.range[0], x.range[1] + 1, (2, *x.shape))
    assert hwgen.verify(package, inputs=inputs).equal
    before = report_of(package)
    assert main(["report", str(package.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == before == report_of(package)
    assert before["memory"]["latency"] == 20
    assert before["bytes_measured"]["(program)"]["read"] > 0
    page = (package.path / "report.html").read_text()
    for layer in before["layers"]:
        assert layer["interval_measured"] >= layer["interval_bound"]
        assert layer["utilization"] is None or layer["utilization"] <= 1
        assert layer["name"] in page
        assert layer["buffer_bytes_measured"] == layer["buffer_bytes"]
    assert "The RTL counted the same" in page
    np.save(tmp_path / "FRAMES.npy", inputs)
    (tmp_path / "PACKAGE").symlink_to(package.path)
    monkeypatch.chdir(tmp_path)
    build, verify = made_by(package.path)
    assert parsed(build).buffer_kib == 32 and "--mem-latency 20" in verify
    assert main(shlex.split(verify)[1:]) == 0
    assert report_of(package)["cycles"] == before["cycles"]


@pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [420, 1000])
def test_the_page_is_drawn(width: int, package: Package, tmp_path: Path) -> None:
    found = probe(package.path, tmp_path, width)
    for part in (
        "The engine",
        "Network",
        "Timeline",
        "where the cycles go",
        "external memory",
        "Edges",
        "Made by",
    ):
        assert any(part in heading for heading in found["headings"]), found["headings"]
    assert found["overflow"] <= 0
    assert found["bars"] >= len(package.plan.tasks)
    assert found["fetched"] == [] and found["wrapped"] == [] and found["cards"] == []
    assert len(found["boxes"]) == len(package.plan.tasks) + 1 and found["outside"] == 0
    assert len(found["spans"]) >= 2 * len(package.plan.tasks)


def test_layers_bear_the_names_of_the_file(package: Package) -> None:
    titles = [layer["title"] for layer in report_of(package)["layers"]]
    assert titles[:6] == ["conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "conv2d_5", "conv2d_4"]
    page = (package.path / "report.html").read_text()
    for text in ("compute bound", "slowest layer", "bytes a frame", "frames a second"):
        assert text in page
    assert "s8, scale 0.0163, zero -128" in page
