"""Single components under cocotb, on both simulators from the same benches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

runner = pytest.importorskip("hwgen_sim.runner", reason="hwgen_sim is not installed")
units = pytest.importorskip("hwgen_sim.units")


@pytest.fixture(scope="module", params=["icarus", "verilator"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All components of all benches in one design, compiled once a simulator."""
    folder: Path = tmp_path_factory.mktemp("units")
    try:
        return units.build_units(request.param, folder)
    except runner.SimulatorMissing as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("family", units.FAMILIES)
def test_components(built: Any, family: str) -> None:
    assert units.run_family(built, family).tests
