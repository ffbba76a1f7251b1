"""Frames on their way through the units: the event model's cycles are those of the RTL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hwgen
from hwgen import api
from hwgen.archs.package import Package
from hwgen.cli import main
from hwgen.plan.dataflow.timeline import estimated
from hwgen.plan.dataflow.units import ForkUnit
from tests.helpers.tiled import need_verilator

JOINED = Path(__file__).parents[2] / "importers" / "fixtures" / "joined.h5"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return hwgen.build(JOINED, tmp_path_factory.mktemp("timeline") / "p", multipliers=20)


def test_every_begin_and_end_is_predicted(package: Package) -> None:
    need_verilator()
    result = hwgen.verify(package, "verilator", trace=True)
    frames = len(result.run.ends)
    assert list(result.timeline) == estimated(package.plan, frames)
    units = [unit for unit in package.plan.units if not isinstance(unit, ForkUnit)]
    assert len(result.timeline) == frames * (len(units) + 1)


def test_the_trace_of_a_verification(package: Package, tmp_path: Path) -> None:
    need_verilator()
    file = tmp_path / "trace.json"
    assert main(["verify", str(package.path), "--sim", "verilator", "--trace", str(file)]) == 0
    events = [e for e in json.loads(file.read_text())["traceEvents"] if e["ph"] == "X"]
    assert [e["ts"] for e in events] == sorted(e["ts"] for e in events)
    assert all(event["dur"] > 0 for event in events)
    kept = package.result("verify")
    assert kept is not None
    frames = [event for event in events if event["cat"] == "frame"]
    assert len(frames) == kept["frames_simulated"]
    assert frames[0]["dur"] == kept["cycles"]["latency"]
    ends = [event["ts"] + event["dur"] for event in frames]
    assert ends[-1] - ends[-2] == kept["cycles"]["interval"]
    last = {e["args"]["number"]: e["ts"] + e["dur"] for e in events if "logits" in e["name"]}
    assert list(last.values()) == ends


def test_other_simulators_measure_none(
    package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "trace.json"
    assert main(["verify", str(package.path), "--sim", "python", "--trace", str(file)]) == 2
    assert "--sim verilator" in capsys.readouterr().err and not file.exists()


def test_a_place_is_refused_before_the_simulation(
    package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What is no file, what can not be written, and what belongs to the package."""
    monkeypatch.setattr(api, "verify", lambda *_, **__: pytest.fail("it was simulated"))
    for place, reason in (
        (tmp_path, "is a directory"),
        (tmp_path / "none" / "trace.json", "can not be written"),
        (package.path / "plan.json", "is read, and would be overwritten"),
        (package.path / "manifest.json", "is read, and would be overwritten"),
    ):
        before = sorted(package.path.rglob("*"))
        assert main(["verify", str(package.path), "--trace", str(place)]) == 2
        assert reason in capsys.readouterr().err
        assert sorted(package.path.rglob("*")) == before
