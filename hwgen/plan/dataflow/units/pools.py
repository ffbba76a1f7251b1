"""Pools, with and without overlapping windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....contract.geometry import WindowGeometry
from ... import latency
from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from .base import BeatUnit
from .windowed import WindowedUnit, row_burst


@dataclass(frozen=True)
class StreamPoolUnit(BeatUnit):
    """Pool without overlap. See gateware StreamPool."""

    kind: ClassVar[str] = "stream_pool"

    geometry: WindowGeometry
    partial_bits: int

    @property
    def burst(self) -> int:
        return row_burst(self.geometry, self.output)

    def completes(self) -> list[bool]:
        g = self.geometry
        rows, columns = (_last_of_window(g, axis) for axis in (0, 1))
        return [r and c for r in rows for c in columns for _ in range(g.beats)]

    @property
    def memory_bits(self) -> int:
        g = self.geometry
        words = g.out_size[1] << (g.beats - 1).bit_length()
        return super().memory_bits + words * g.lanes * self.partial_bits


def _last_of_window(g: WindowGeometry, axis: int) -> list[bool]:
    """For each coordinate, whether it is the last real one of a window."""
    size, kernel, stride = g.size[axis], g.kernel[axis], g.stride[axis]
    last = [False] * size
    for window in range(g.out_size[axis]):
        last[min(size - 1, window * stride - g.pads[axis][0] + kernel - 1)] = True
    return last


@dataclass(frozen=True)
class WindowPoolUnit(WindowedUnit):
    """Pool with overlap: ring of rows and window. See gateware WindowPool."""

    kind: ClassVar[str] = "window_pool"
    capacities: ClassVar[tuple[str, ...]] = ("rows", "parallel", "windows", "fifo")

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {"compute": self.output.beats}

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        ready = self.window_queue(sim, source)
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.output.beats)
        delay = latency.window_pool(self.geometry.kernel[0] * self.geometry.kernel[1])
        sim.process(
            Kind.REDUCE, self.output.beats, ready.push, ready.pop, ready.freed, out.push, out.pop,
            sim.work(self.name).waits, self.geometry.beats, out.depth, delay,
        )  # fmt: skip
        return out
