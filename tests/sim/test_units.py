"""Single components under cocotb, on both simulators from the same benches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

runner = pytest.importorskip("hwgen_sim.runner", reason="hwgen_sim is not installed")
units = pytest.importorskip("hwgen_sim.units")


@pytest.fixture(scope="module")
def verilated(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All components of all benches in one design: Verilator compiles slowly and runs quickly."""
    return _built("verilator", tmp_path_factory.mktemp("units"), units.FAMILIES)


@pytest.mark.parametrize("family", units.FAMILIES)
def test_components_under_verilator(verilated: Any, family: str) -> None:
    assert units.run_family(verilated, family).tests


@pytest.mark.parametrize("family", units.FAMILIES)
def test_components_under_icarus(tmp_path: Path, family: str) -> None:
    """Each family is a design of its own: Icarus spends its time on all that has a clock."""
    assert units.run_family(_built("icarus", tmp_path, (family,)), family).tests


def _built(simulator: str, folder: Path, families: Sequence[str]) -> Any:
    try:
        return units.build_units(simulator, folder, families)
    except runner.SimulatorMissing as missing:
        pytest.skip(str(missing))
