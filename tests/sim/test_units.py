"""Single components under cocotb, on both simulators from the same benches."""

from __future__ import annotations

from pathlib import Path

import pytest

runner = pytest.importorskip("hwgen_sim.runner", reason="hwgen_sim is not installed")
units = pytest.importorskip("hwgen_sim.units")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All components of all benches in one design."""
    folder = tmp_path_factory.mktemp("units")
    units.write_units(folder)
    return folder


@pytest.mark.parametrize("simulator", runner.SIMULATORS)
def test_components(written: Path, simulator: str) -> None:
    try:
        built = units.build_units(simulator, written)
    except runner.SimulatorMissing as missing:
        pytest.skip(str(missing))
    tests = units.run_units(built)
    assert set(tests) == set(units.FAMILIES)
    assert all(tests.values()), "a family without tests"
