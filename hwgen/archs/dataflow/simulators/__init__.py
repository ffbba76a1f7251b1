"""Simulators of dataflow packages, by the names that --sim takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ....aliases import Progress
from ....flow import tools
from ....flow.engine import Beats, SimulationRun
from ...package import Package
from . import icarus, python, verilator

Engine = Callable[[Package, Beats, bool, "Path | None", Progress], SimulationRun]

ENGINES: dict[str, Engine] = {
    "verilator": verilator.run,
    "icarus": icarus.run,
    "python": python.run,
}
"""Simulators by the name that --sim takes."""

MEASURED_FRAMES = {"verilator": 8, "icarus": 4, "python": 3}
"""Fewest frames of a run, so that the steady state is reached; inputs are repeated for it."""


def default_simulator() -> str:
    """The quickest simulator that is there."""
    return "verilator" if tools.can_compile() else "python"
