"""MaxPool and SumPool: their rule and units, with and without overlapping windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ....contract.geometry import WindowGeometry
from ....ir import ops
from ... import latency
from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from ..events.times import Words
from ..units import BeatUnit, Unit, WindowedUnit, row_burst
from .rule import Place, Rule, Stage
from .windows import window_of


@dataclass(frozen=True)
class StreamPoolUnit(BeatUnit):
    """Pool without overlap. See gateware StreamPool."""

    kind: ClassVar[str] = "stream_pool"

    geometry: WindowGeometry
    partial_bits: int

    @property
    def burst(self) -> int:
        return row_burst(self.geometry, self.output)

    def completes(self) -> Words:
        g = self.geometry
        rows, columns = (_last_of_window(g, axis) for axis in (0, 1))
        return np.repeat(np.outer(rows, columns), g.beats)

    @property
    def memory_bits(self) -> int:
        g = self.geometry
        words = g.out_size[1] << (g.beats - 1).bit_length()
        return super().memory_bits + words * g.lanes * self.partial_bits


def _last_of_window(g: WindowGeometry, axis: int) -> list[bool]:
    """Tell for each coordinate whether it is the last real one of a window."""
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


class PoolRule(Rule[ops.Pool]):
    """A pool: without overlap each input belongs to one window at most, and none is kept."""

    def unit(self, stage: Stage[ops.Pool], place: Place) -> Unit:
        op, common = stage.op, self.common(stage, place)
        geometry = window_of(stage, op.kernel, place.inputs[0].lanes)
        if all(s >= k for s, k in zip(op.stride, op.kernel, strict=True)):
            return StreamPoolUnit(
                **common,
                delay=latency.STREAM_POOL,
                geometry=geometry,
                partial_bits=stage.output.type.width,
            )
        return WindowPoolUnit(**common, geometry=geometry, rows=1, parallel=True, windows=1)
