"""What units with a ring of rows and a window share."""

from __future__ import annotations

from dataclasses import dataclass

from ....contract.geometry import WindowGeometry
from ... import latency
from ..events.simulation import Queue, Simulation
from ..events.window_events import window_events
from .base import StreamShape, Unit


@dataclass(frozen=True)
class WindowedUnit(Unit):
    """A unit that slides a window over its input.

    rows : of the ring. parallel : it reads all kernel rows at once. windows : queued ahead.
    """

    geometry: WindowGeometry
    rows: int
    parallel: bool
    windows: int

    @property
    def memory_bits(self) -> int:
        words = self.geometry.row_beats
        if not self.parallel:
            words = 1 << max(1, (words - 1).bit_length())  # so that no adder makes its address
        return super().memory_bits + self.rows * words * self.geometry.lanes * self.input.bits

    def smallest(self, field: str) -> int:
        if field == "rows":
            return rows_needed(self.geometry)
        return 0 if field == "parallel" else super().smallest(field)

    def generous(self, field: str) -> int:
        g = self.geometry
        sizes = {
            "rows": 2 * g.kernel[0] + g.stride[0] + 1,
            "windows": g.window_columns + latency.WINDOW + 2,
            "parallel": 1,
        }
        return sizes[field] if field in sizes else super().generous(field)

    @property
    def burst(self) -> int:
        return row_burst(self.geometry, self.output)

    def window_queue(self, sim: Simulation, source: Queue) -> Queue:
        """Add the processes of ring and window; returns the queue of windows."""
        return window_events(
            sim, self.name, self.geometry, source, self.rows, self.parallel, self.windows
        )


def rows_needed(geometry: WindowGeometry) -> int:
    """Rows that a window spans at most: the smallest ring."""
    return max(geometry.rows_waited(row) + 1 for row in range(geometry.out_size[0]))


def row_burst(geometry: WindowGeometry, output: StreamShape) -> int:
    """Beats of an output row where rows come in bursts, behind a vertical stride."""
    return output.beats // geometry.out_size[0] if geometry.stride[0] > 1 else 0
