"""The timeline of a run: the model's cycles are those of the RTL, and the trace has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.cli import main
from hwgen.contract.isa import Opcode
from hwgen.flow.memory import Memory
from hwgen.plan.tiled.timeline import estimated
from hwgen.plan.tiled.timing import MemoryTiming
from tests.helpers.tiled import RESNET, need_verilator, tiled_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    need_verilator()
    return tiled_package(RESNET, tmp_path_factory.mktemp("timeline"))


@pytest.mark.parametrize(("latency", "rate"), [(20, 1.0), (90, 0.3)])
def test_every_begin_and_end_is_predicted(latency: int, rate: float, package: Package) -> None:
    result = hwgen.verify(package, random=1, memory=Memory(latency, rate), trace=True)
    assert list(result.timeline) == estimated(package.plan, MemoryTiming(latency, rate))
    assert result.timeline[-1].end == result.latency


def test_every_descriptor_has_a_span(package: Package) -> None:
    *spans, frame = estimated(package.plan)
    ops = [d["op"] for d in package.plan.program.descriptors]
    for kind, op in (("load", Opcode.LOAD), ("tile", Opcode.COMPUTE), ("store", Opcode.STORE)):
        numbers = [span.number for span in spans if span.kind == kind]
        assert numbers == list(range(ops.count(op))) and numbers
    assert all(0 < span.begin < span.end <= frame.end for span in spans)
    for span in spans:
        if span.waited_for is not None:
            assert spans[span.waited_for].end < span.begin


def test_the_trace_of_a_verification(
    package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "trace.json"
    assert main(["verify", str(package.path), "--trace", str(file)]) == 0
    assert f"timeline: {file}" in capsys.readouterr().out
    events = [e for e in json.loads(file.read_text())["traceEvents"] if e["ph"] == "X"]
    kept = package.result("verify")
    assert kept is not None
    assert len(events) == len(package.plan.program.descriptors) + 1
    assert [e["ts"] for e in events] == sorted(e["ts"] for e in events)
    assert all(event["dur"] > 0 for event in events)
    assert max(e["ts"] + e["dur"] for e in events) == kept["cycles"]["interval"]
    (frame,) = (event for event in events if event["cat"] == "frame")
    assert (frame["ts"], frame["dur"]) == (0, kept["cycles"]["latency"])
