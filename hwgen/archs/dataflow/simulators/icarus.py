"""Icarus Verilog through the cocotb bench of hwgen_sim."""

from __future__ import annotations

from pathlib import Path

from ....aliases import Progress
from ....errors import OptionError
from ....flow import tools
from ....flow.engine import Beats, DesignFault, SimulationRun
from ...package import Package


def run(
    package: Package, beats: Beats, edges: bool, wave: Path | None, say: Progress
) -> SimulationRun:
    """Drive packed frames (frames, beats, bytes) of each input through the design under cocotb.

    Raises UserError when Icarus or the benches are missing, ToolError when Icarus fails,
    DesignFault when the design hangs or breaks its streams' contract.
    """
    tools.icarus().require()
    try:
        # The benches import cocotb, which no other command needs.
        # (A type checker does not see that sim/ installs under this name.)
        from hwgen_sim.network import (  # pyright: ignore[reportMissingImports]
            BenchError,
            run_network,
        )
    except ModuleNotFoundError as missing:
        raise OptionError(
            f"the cocotb benches can not be imported ({missing})", hint="pip install hwgen"
        ) from None

    say(f"simulating {len(next(iter(beats.values())))} frames with Icarus Verilog")
    try:
        result = run_network(package.path, "icarus", beats, edges=edges, wave=wave)
    except BenchError as error:
        raise DesignFault(error.checked[0] if error.checked else str(error)) from None
    return SimulationRun(
        outputs=result.outputs,
        first=result.first,
        ends=result.ends,
        seconds=result.seconds,
        edges=result.edges,
        wave=result.wave,
        ports=result.ports,
    )
