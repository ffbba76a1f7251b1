"""A small network under cocotb, on both simulators, with and without gaps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.emit.packing import pack_all, unpack_all
from hwgen.flow import tools
from hwgen.ir import execute
from tests.helpers.processes import breaks_off

network = pytest.importorskip("hwgen_sim.network", reason="hwgen_sim is not installed")
runner = pytest.importorskip("hwgen_sim.runner")
streams = pytest.importorskip("hwgen_sim.streams")

FRAMES = 6


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """The example of docs/model_format.md as hardware."""
    folder = tmp_path_factory.mktemp("cocotb")
    text = (Path(__file__).parents[2] / "docs" / "model_format.md").read_text()
    block = re.search(r"```json\n(.*?)```", text, re.S)
    assert block is not None
    json.loads(block[1])
    (folder / "tiny.json").write_text(block[1])
    return hwgen.build(folder / "tiny.json", folder / "tiny", multipliers=6)


@pytest.fixture(scope="module", params=["icarus", "verilator"])
def design(
    package: Package, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Any:
    """The package's RTL, compiled once for runs with any gaps."""
    try:
        return network.build_network(package.path, request.param, tmp_path_factory.mktemp("rtl"))
    except runner.SimulatorMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("gaps", ["always", "random", "bursty"])
def test_rtl_equals_golden(package: Package, design: Any, gaps: str) -> None:
    plan, graph = package.plan, package.graph
    rng = np.random.default_rng(5)
    x = rng.integers(0, 256, (FRAMES, *graph.inputs[0].shape))
    modes = [streams.Gaps(gaps, seed) for seed in (1, 2)]
    run = network.run_network(
        package.path, design, pack_all({graph.inputs[0].name: x}, plan.inputs), edges=True,
        source_gaps=modes[0], sink_gaps=modes[1],
    )  # fmt: skip
    name = graph.outputs[0]
    got = unpack_all(run.outputs, plan.outputs, graph)[name]
    assert np.array_equal(got, execute(graph, {graph.inputs[0].name: x})[name])
    assert set(run.edges) == {unit.name for unit in plan.units}
    if gaps == "always":
        timing = plan.timing(FRAMES)
        offset = run.first[0] - timing.first[0]
        assert run.ends == [end + offset for end in timing.ends]
        assert run.first == [first + offset for first in timing.first]


def test_verify_with_icarus(package: Package) -> None:
    try:
        result = hwgen.verify(package, "icarus")
    except hwgen.UserError as missing:
        pytest.skip(str(missing))
    timing = package.plan.timing(4)
    assert result.difference is None
    assert (result.interval, result.latency) == (timing.interval, timing.latency)


def test_a_simulation_that_breaks_off_is_no_difference(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tools.icarus().found:
        pytest.skip("Icarus is needed")
    breaks_off(tmp_path, monkeypatch)
    with pytest.raises(hwgen.ToolError, match="return code: 9"):
        hwgen.verify(package, "icarus")
