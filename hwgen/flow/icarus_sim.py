"""Icarus Verilog through the cocotb bench of hwgen_sim."""

from __future__ import annotations

import time
from pathlib import Path

from ..errors import ToolError
from . import tools
from .engine import ByteArray, Progress, SimulationRun
from .package_files import Package


def run(
    package: Package, beats: ByteArray, edges: bool, wave: Path | None, say: Progress
) -> SimulationRun:
    """Drive packed frames (frames, beats, bytes) through the design under cocotb.

    Raises UserError when Icarus is missing, ToolError when the bench fails.
    """
    tools.icarus().require()
    # The benches import cocotb, which no other command needs.
    # (A type checker does not see that sim/ installs under this name.)
    from hwgen_sim.network import (  # pyright: ignore[reportMissingImports]
        BenchError,
        run_network,
    )

    say(f"simulating {len(beats)} frames with Icarus Verilog")
    begin = time.monotonic()
    try:
        result = run_network(package.path, "icarus", beats, edges=edges, wave=wave)
    except BenchError as error:
        raise ToolError(f"the cocotb bench failed: {error}") from None
    return SimulationRun(
        output=result.output,
        first=result.first,
        ends=result.ends,
        seconds=time.monotonic() - begin,
        edges=result.edges,
        wave=wave,
    )
