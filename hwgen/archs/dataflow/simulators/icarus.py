"""Icarus Verilog through the cocotb bench of hwgen_sim."""

from __future__ import annotations

from pathlib import Path

from ....aliases import Progress
from ....flow import tools
from ....flow.benches import benches
from ....flow.engine import Beats, SimulationRun
from ...package import Package


def run(
    package: Package, beats: Beats, edges: bool, wave: Path | None, say: Progress
) -> SimulationRun:
    """Drive packed frames (frames, beats, bytes) of each input through the design under cocotb.

    Raises UserError when Icarus or the benches are missing, ToolError when Icarus fails,
    DesignFault when the design hangs or breaks its streams' contract.
    """
    tools.icarus().require()
    say(f"simulating {len(next(iter(beats.values())))} frames with Icarus Verilog")
    with benches():
        from hwgen_sim.network import run_network  # pyright: ignore[reportMissingImports]

        result = run_network(package.path, "icarus", beats, edges=edges, wave=wave)
    return SimulationRun(
        outputs=result.outputs,
        first=result.first,
        ends=result.ends,
        seconds=result.seconds,
        edges=result.edges,
        wave=result.wave,
        ports=result.ports,
    )
