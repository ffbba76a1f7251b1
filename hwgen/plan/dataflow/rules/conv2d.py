"""Conv2D: its rule and its two units, with and without a window in registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....ir import ops
from ....numeric import ceil_div
from ... import latency
from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from ..events.window_events import tap_events
from ..units import MacUnit, Unit, WindowedUnit
from .mac import MacRule
from .rule import Place, Stage, pixels
from .windows import window_of

MAX_PIXELS = 8
"""Most output pixels that a unit computes side by side.

A limit of the search, set by hand: with each of them the window is a stride wider, in registers, in
every row of the kernel.
"""
WIDE, WIDE_DEPTHWISE = 8192, 1024
"""Bits of a window beyond which it is not kept in registers, for groups of 1 and depthwise.

Reading its taps from the ring allows fewer foldings, but those that depthwise layers need, so that
these lose nothing by a lower limit. Set by hand: with every window in registers MobileNetV1 for
VWW took 3.2 GB to build and could not be compiled for simulation, with these limits 0.9 GB.
"""


@dataclass(frozen=True)
class ConvUnit(WindowedUnit, MacUnit):
    """Ring of rows, window, MAC array, drain. See gateware Conv."""

    kind: ClassVar[str] = "conv"
    capacities: ClassVar[tuple[str, ...]] = ("rows", "parallel", "windows", "shadow", "fifo")

    @property
    def compute(self) -> int:
        rows = self.geometry.out_size[0]
        return rows * self.geometry.groups * self.tap_folds * self.out_folds

    def generous(self, field: str) -> int:
        return self.mac_latency + 4 if field == "shadow" else super().generous(field)

    def word_beats(self) -> list[int]:
        if self.pixels == 1:
            return super().word_beats()
        beats, full = ceil_div(self.outputs, self.output.lanes), self.geometry.groups - 1
        last = self.geometry.out_size[1] - full * self.pixels
        return [self.pixels * beats] * full + [last * beats]

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        g = self.geometry
        ready = self.window_queue(sim, source)
        words = g.out_size[0] * g.groups * self.out_folds
        shadow = sim.queue(f"{self.name}.shadow", self.shadow, words, self.mac_latency + 1)
        sim.process(
            Kind.CONVOLVE, words, ready.push, ready.pop, ready.freed, shadow.push, shadow.pop,
            sim.work(self.name).waits, self.out_folds, self.tap_folds, shadow.depth,
            self.mac_latency,
        )  # fmt: skip
        return self.drain(sim, shadow)


@dataclass(frozen=True)
class RingConvUnit(WindowedUnit, MacUnit):
    """Ring of rows, MAC array, drain; no window. See gateware RingConv. ``parallel`` is given."""

    kind: ClassVar[str] = "ring_conv"
    capacities: ClassVar[tuple[str, ...]] = ("rows", "shadow", "fifo")

    @property
    def mac_latency(self) -> int:
        rom = latency.rom(self.tap_folds * self.out_folds)
        return max(rom, latency.TAPS) + latency.mac(self.simd)

    @property
    def compute(self) -> int:
        return self.output.pixels * self.tap_folds * self.out_folds

    def generous(self, field: str) -> int:
        return self.mac_latency + 4 if field == "shadow" else super().generous(field)

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        words = self.output.pixels * self.out_folds
        shadow = sim.queue(f"{self.name}.shadow", self.shadow, words, self.mac_latency)
        tap_events(
            sim, self.name, self.geometry, source, self.rows, shadow, self.out_folds,
            self.tap_folds, self.mac_latency,
        )  # fmt: skip
        return self.drain(sim, shadow)


class Conv2DRule(MacRule[ops.Conv2D]):
    """A convolution, plain, grouped or depthwise."""

    def reads_ring(self, stage: Stage[ops.Conv2D]) -> bool:
        op, x = stage.op, stage.input
        if op.accumulator is not None:
            return False
        channels = x.hwc[2]
        bits = op.dilated_kernel[0] * op.dilated_kernel[1] * channels * x.type.width
        if op.groups == 1:
            return bits > WIDE
        return op.groups == channels == op.weights.shape[-1] and bits > WIDE_DEPTHWISE

    def ring_chunk(self, stage: Stage[ops.Conv2D], pe: int, simd: int) -> tuple[int, bool] | None:
        op = stage.op
        if op.accumulator is not None:
            return None
        channels, rows = stage.input.hwc[2], op.kernel[0]
        if op.groups > 1:
            depthwise = op.groups == channels == op.weights.shape[-1]
            suits = depthwise and channels % pe == 0 and simd in (1, rows)
            return (pe, simd == rows > 1) if suits else None
        if channels % simd == 0:
            return simd, False
        if simd % rows == 0 and channels % (simd // rows) == 0:
            return simd // rows, True
        return None

    def most_pixels(self, stage: Stage[ops.Conv2D]) -> int:
        return min(MAX_PIXELS, stage.output.hwc[1])

    def lanes(self, stage: Stage[ops.Conv2D], place: Place, target: int) -> int | None:
        """Take as few lanes as bring a frame in time, where a ring's words are read in chunks."""
        assert place.folding is not None
        if place.folding.ring is None:
            return None
        chunk, channels = place.folding.ring[0], stage.input.channels
        return next(
            n
            for n in range(chunk, channels + 1, chunk)
            if channels % n == 0
            and (n == channels or pixels(stage.input) * (channels // n) <= target)
        )

    def unit(self, stage: Stage[ops.Conv2D], place: Place) -> Unit:
        chosen = place.folding
        assert chosen is not None
        array = self.array(stage, place)
        geometry = window_of(stage, stage.op.dilated_kernel, place.inputs[0].lanes, chosen.pixels)
        if chosen.ring is not None:
            parallel = chosen.ring[1]
            return RingConvUnit(**array, geometry=geometry, rows=1, parallel=parallel, windows=0)
        return ConvUnit(**array, geometry=geometry, rows=1, parallel=True, windows=1)
