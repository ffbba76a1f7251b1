"""RingConv: a convolution that reads its taps from the ring of rows, without a window."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring

from ..common.counter import Counter, delay_line
from ..common.streams import connect
from .conv import Conv
from .taps import TapReader


class RingConv(Conv):
    """Ring of rows, MAC array, requantizers. Parameters and members as Conv's.

    For windows too wide for registers: their values are read again for each fold of the outputs.
    One group, or one for each channel (depthwise). ``depths.parallel``: all rows of the kernel
    are read at once, and ``mac.simd`` is a multiple of them. The rest of it, or ``pe`` where the
    convolution is depthwise, divides ``geometry.lanes``.
    """

    @property
    def _chunk(self) -> int:
        """Channels read at a time."""
        if self._depthwise:
            return self.pe
        return self.mac.simd // (self.kernel[0] if self.depths.parallel else 1)

    @property
    def _depthwise(self) -> bool:
        return self.groups > 1

    @property
    def operand_latency(self) -> int:
        return max(super().operand_latency, TapReader.LATENCY)

    def matrix(self) -> Sequence[Sequence[int]]:
        if not self.depths.parallel:
            return self.weights
        rows, columns = self.kernel
        channels = self.taps // (rows * columns)
        chunk = 1 if self._depthwise else self._chunk
        return [
            self.weights[(row * columns + column) * channels + first + channel]
            for column in range(columns)
            for first in range(0, channels, chunk)
            for row in range(rows)
            for channel in range(chunk)
        ]

    def _read(
        self,
        m: Module,
        issue: Value,
        fold: Counter,
        tap_fold: Counter,
        room: Value,
        ready: Signal,
    ) -> Value:
        repeats = 0 if self._depthwise else fold.length // tap_fold.length
        m.submodules.taps = reader = TapReader(
            self.mac.x, self.geometry, self.dilation, self._chunk, self.depths.rows,
            self.depths.parallel, repeats, self.pad_value,
        )  # fmt: skip
        connect(m, wiring.flipped(self.i), reader.i)
        m.d.comb += [
            self.ring_level.eq(reader.level),
            ready.eq(reader.ready),
            reader.step.eq(issue),
        ]
        operands = Value.cast(reader.taps)
        if self._depthwise:
            rows = range(self.mac.simd)
            operands = Cat(reader.taps[row][pe] for pe in range(self.pe) for row in rows)
        return delay_line(m, operands, self.operand_latency - reader.LATENCY, "x", data=True)
