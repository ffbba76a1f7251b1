"""WindowConv: a convolution whose windows are assembled in registers."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from ..common.counter import Counter, delay_line, index_shape, reg
from ..common.streams import connect, positive
from .conv import Conv
from .ring import RowRing
from .window import WindowAssembler

SELECT_LATENCY = 2
"""Cycles of a choice among the taps: a ROM, read meanwhile, takes as many at least."""
_SELECT = 4
"""Choices that the first register selects among."""


def select(m: Module, choices: Sequence[Value], index: Value, shape, name: str) -> Value:
    """One of many values in two steps: registered groups, and the group with the rest of index.

    The result follows ``index`` by one cycle, for the user to register once more.
    """
    groups = []
    for start in range(0, len(choices), _SELECT):
        group = reg(shape, f"{name}_{len(groups)}")
        m.d.sync += group.eq(Array(choices[start : start + _SELECT])[index[:2]])
        groups.append(group)
    if len(groups) == 1:
        return groups[0]
    rest = reg(index_shape(len(groups)), f"{name}_group")
    m.d.sync += rest.eq(index[2:])
    return Array(groups)[rest]


ZERO, ONE = Const(0, 1), Const(1, 1)
"""What stands for a tap where there is none."""


class WindowConv(Conv):
    """Ring of rows, window, MAC array, requantizers: each value of a row is read from the ring
    once for an output row. Parameters and members as Conv's; window_level (out): windows held.
    """

    def members(self) -> dict[str, wiring.Member]:
        positive(windows=self.depths.windows)
        return {"window_level": Out(index_shape(self.depths.windows + 1))}

    def _read(
        self,
        m: Module,
        issue: Value,
        fold: Counter,
        tap_fold: Counter,
        room: Value,
        ready: Signal,
    ) -> Value:
        g, d = self.geometry, self.depths
        m.submodules.ring = ring = RowRing(self.mac.x, g, d.rows, d.parallel)
        m.submodules.window = window = WindowAssembler(
            self.mac.x, g, d.parallel, d.windows, early=True
        )
        connect(m, wiring.flipped(self.i), ring.i)
        connect(m, ring.o, window.i)
        m.d.comb += [
            self.ring_level.eq(ring.level),
            self.window_level.eq(window.level),
            ready.eq(window.o.valid),
            window.o.ready.eq(issue & fold.last),
        ]
        self._free(m, issue, fold, tap_fold, room, window.free)
        chosen = tap_fold if self.groups == 1 else fold
        operands = self._operands(m, window.o.payload, chosen.value)
        return delay_line(m, operands, self.operand_latency - SELECT_LATENCY, "x", data=True)

    def _free(
        self, m: Module, issue: Value, fold: Counter, tap_fold: Counter, room: Value, free: Value
    ) -> None:
        """Give a window's place back: a cycle before its last fold where that is sure to follow.

        It is when it does not wait for room, which only a fold's last taps take.
        """
        if tap_fold.length == 1:
            m.d.comb += free.eq(issue & fold.last)
            return
        freed, early = Signal(name="freed"), Signal(name="freed_early")
        m.d.comb += [
            early.eq(issue & (fold.value == fold.length - 2) & room),
            free.eq(early | (issue & fold.last & ~freed)),
        ]
        with m.If(issue):
            m.d.sync += freed.eq(early)

    def _operands(self, m: Module, window, index: Value) -> Value:
        """The ``simd`` taps of this fold for every pixel (and PE), padded positions replaced.

        They come SELECT_LATENCY cycles later.
        """
        g = self.geometry
        padded = any(max(p) > 0 for p in g.pads) or self._overhangs
        operands, made = [], {}
        for pixel in range(g.pixels):
            taps, inside = self._flat_taps(window, pixel * g.stride[1])
            for pe in range(1 if self.groups == 1 else self.pe):
                for lane in range(self.mac.simd):
                    mine = self._taps_of(pe, lane)
                    # PEs of one group see the same taps.
                    key = (pixel, *mine)
                    if key in made:
                        operands.append(made[key])
                        continue
                    name = f"tap{len(operands)}"
                    values = [ZERO if t is None else taps[t] for t in mine]
                    value = select(m, values, index, self.mac.x, name)
                    if padded:
                        real = [ONE if t is None else inside[t] for t in mine]
                        real = select(m, real, index, 1, f"real_{name}")
                        value = Mux(real, value, self.pad_value)
                    operand = reg(self.mac.x, f"operand{len(operands)}")
                    m.d.sync += operand.eq(value)
                    operands.append(operand)
                    made[key] = operand
        return Cat(*operands)

    def _taps_of(self, pe: int, lane: int) -> list[int | None]:
        """Which tap of the window a lane works on, fold by fold.

        Without groups only the taps' folds count. Beyond the last tap the weight is a filler: any
        tap will do if that is zero, else none. Beyond the last output any will do.
        """
        channels = self.geometry.channels // self.groups
        outputs = self.parameters.channels // self.groups
        first = range(0, self.parameters.channels, self.pe) if self.groups > 1 else (0,)
        result: list[int | None] = []
        for fold in first:
            group = min(fold + pe, self.parameters.channels - 1) // outputs
            for start in range(0, self.taps, self.mac.simd):
                if start + lane >= self.taps and self.mac.filler:
                    result.append(None)
                    continue
                place, channel = divmod(min(start + lane, self.taps - 1), channels)
                result.append(place * self.geometry.channels + group * channels + channel)
        return result

    @property
    def _overhangs(self) -> bool:
        """Whether a group of pixels may reach beyond the row (its results are dropped)."""
        return self.geometry.virtual_steps > 0

    def _flat_taps(self, window, offset: int) -> tuple[list[Value], list[Value]]:
        """Taps in (row, column, channel) order from column ``offset`` on, and whether inside."""
        g = self.geometry
        taps, inside = [], []
        for row in range(0, g.kernel[0], self.dilation[0]):
            for column in range(0, g.kernel[1], self.dilation[1]):
                real = window.rows[row] & window.columns[offset + column]
                for channel in range(g.channels):
                    taps.append(window.taps[offset + column][row][channel])
                    inside.append(real)
        return taps, inside
