"""The cocotb bench of a tiled engine, in Icarus Verilog or Verilator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...aliases import Progress
from ...flow import tools
from ...flow.benches import benches
from ...flow.memory import Memory
from ..package import Package
from .simulation import Job, Runs

SIMULATORS = ("verilator", "icarus")


def run(
    simulator: str,
    package: Package,
    jobs: Sequence[Job],
    memory: Memory,
    wave: Path | None,
    say: Progress,
) -> Runs:
    """As ``simulation.run``, by a bench in Python that keeps the memory after each frame.

    Raises UserError when the simulator or the benches are missing, ToolError when the simulator
    fails, DesignFault when the engine hangs, breaks the rules of AXI or gives undefined bits.
    """
    if simulator == "icarus":
        tools.icarus().require()
    with benches():
        from hwgen_sim.engine import run_engine  # pyright: ignore[reportMissingImports]

        return run_engine(package, simulator, jobs, memory, wave, say)
