"""Window: assembles the columns of a row ring into windows with their padding masks."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...contract.geometry import WindowGeometry
from ...numeric.division import ceil_div
from ..common.counter import Counter, delay_line, index_shape, reg
from ..common.fifo import CreditFifo
from ..common.streams import connect, positive
from .ring import column_beat


def window_layout(shape: Shape, geometry: WindowGeometry) -> data.StructLayout:
    """Payload of the window stream.

    taps[column][row][channel] with ``window_columns`` columns; columns, rows: bit masks, high
    where that column or kernel row is inside the frame. Channels are padded to whole beats.
    """
    channels = geometry.beats * geometry.lanes
    rows = data.ArrayLayout(data.ArrayLayout(shape, channels), geometry.kernel[0])
    return data.StructLayout(
        {
            "taps": data.ArrayLayout(rows, geometry.window_columns),
            "columns": geometry.window_columns,
            "rows": geometry.kernel[0],
        }
    )


class WindowAssembler(wiring.Component):
    """Shift register of columns; gives one window for each group of output pixels.

    Parameters: shape of an element, geometry, ``parallel`` as the ring's, ``queue`` windows kept
    for the consumer (at least 1: the one it works on), ``early`` of the queue, see CreditFifo.

    Members: i (in stream) column beats, o (out stream) windows, level (out) windows in the queue,
    free (in) where ``early``.

    The window of a beat accepted in cycle t is pushed in t + LATENCY where the queue has a place
    for it in t. Else it waits in the shift register, and no beat is accepted, until there is one:
    in that cycle it is pushed and the next beat accepted. The shift register's wide enable is a
    register. One beat a cycle; one window a cycle with LATENCY + 2 places.
    """

    LATENCY = 2
    """Cycles from the beat that completes a window to the queue: beat register, shift register."""

    def __init__(
        self,
        shape: Shape,
        geometry: WindowGeometry,
        parallel: bool,
        queue: int = 1,
        early: bool = False,
    ) -> None:
        positive(queue=queue)
        self.shape, self.geometry, self.parallel = shape, geometry, parallel
        self.queue, self.early = queue, early
        super().__init__(
            {
                "i": In(stream.Signature(column_beat(shape, geometry, parallel))),
                "o": Out(stream.Signature(window_layout(shape, geometry))),
                "level": Out(index_shape(queue + 1)),
            }
            | ({"free": In(1)} if early else {})
        )

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        layout = window_layout(self.shape, g)
        m.submodules.queue = queue = CreditFifo(layout, self.queue, self.early)
        connect(m, queue.o, wiring.flipped(self.o))
        if self.early:
            m.d.comb += queue.free.eq(self.free)
        accept, completes = Signal(name="accept"), Signal(name="completes")
        waits, settled = Signal(name="waits"), Signal(name="settled")
        now, late = Signal(name="pushed_at_once"), Signal(name="pushed_late")
        m.d.comb += [
            self.level.eq(queue.level),
            late.eq(settled & queue.room),
            accept.eq(self.i.valid & (~waits | late)),
            self.i.ready.eq(accept),
            now.eq(accept & completes & queue.room & ~waits),
            queue.take.eq(now | late),
            queue.push.eq(delay_line(m, now, self.LATENCY, "push") | late),
        ]
        m.d.sync += settled.eq(waits & ~late)
        with m.If(accept & completes & ~now):
            m.d.sync += waits.eq(1)
        with m.Elif(late):
            m.d.sync += waits.eq(0)
        beat = reg(self.i.payload.shape(), "beat")
        current = reg(layout, "current")
        m.d.sync += beat.eq(self.i.payload)
        self._shift(m, accept, beat, current)
        masks = self._count(m, accept & self.i.payload.last, completes)
        m.d.comb += queue.data.eq(current)
        for name, mask in masks.items():
            kept = reg(len(mask), f"kept_{name}")
            with m.If(accept & completes):
                m.d.sync += kept.eq(mask)
            m.d.comb += queue.data[name].eq(delay_line(m, kept, 1, name, data=True))
        return m

    def _shift(self, m: Module, accept: Value, beat, window) -> None:
        """Each beat shifts its own rows and channels, by registers that know it a cycle before."""
        g, coming = self.geometry, self.i.payload
        newest = g.window_columns - 1
        for chunk in range(g.beats):
            channels = range(chunk * g.lanes, (chunk + 1) * g.lanes)
            for row in range(g.kernel[0]):
                mine: Value = coming.chunk == chunk
                if not self.parallel:
                    mine = mine & (coming.row == row)
                shift = Signal(name=f"shift{chunk}_{row}")
                m.d.sync += shift.eq(accept & (mine | coming.virtual))
                with m.If(shift):
                    for lane, channel in enumerate(channels):
                        taps = [window.taps[column][row][channel] for column in range(newest + 1)]
                        m.d.sync += [old.eq(new) for old, new in pairwise(taps)]
                        m.d.sync += taps[-1].eq(beat.taps[row if self.parallel else 0][lane])

    def _count(self, m: Module, column: Value, completes: Signal) -> dict[str, Value]:
        """Columns still missing, stepped by each; the masks of the window under way."""
        g = self.geometry
        group = Counter(g.groups, "group")
        out_row = Counter(g.out_size[0], "out_row")
        again = g.first_steps - (g.virtual_steps if g.fused else 0)
        shape = index_shape(max(g.first_steps, g.step) + 1)
        missing = Signal(shape, name="missing", init=g.first_steps)
        following = Signal(shape, name="following")
        last_missing = Signal(name="last_missing", init=g.first_steps == 1)
        m.d.comb += [
            completes.eq(last_missing & self.i.payload.last),
            following.eq(missing - 1),
        ]
        with m.If(last_missing):
            m.d.comb += following.eq(
                Mux(group.last, Mux(out_row.last, g.first_steps, again), g.step)
            )
        with m.If(column):
            m.d.sync += [missing.eq(following), last_missing.eq(following == 1)]
            with m.If(last_missing):
                group.step(m)
                with m.If(group.last):
                    out_row.step(m)
        return {
            "columns": self._column_mask(group.value),
            "rows": self._row_mask(out_row.value),
        }

    def _column_mask(self, group: Value) -> Value:
        g = self.geometry
        return inside(group, g.window_columns, g.step, g.pads[1][0], g.size[1], g.groups)

    def _row_mask(self, out_row: Value) -> Value:
        g = self.geometry
        return inside(out_row, g.kernel[0], g.stride[0], g.pads[0][0], g.size[0], g.out_size[0])


def inside(position: Value, taps: int, step: int, pad: int, size: int, count: int) -> Value:
    """Bit t is high when ``position * step - pad + t`` lies in 0..size-1."""
    bits = []
    for tap in range(taps):
        first = max(0, ceil_div(pad - tap, step))
        last = (size - 1 + pad - tap) // step
        low = position >= first if first > 0 else Const(1)
        high = position <= last if last < count - 1 else Const(1)
        bits.append(low & high if last >= 0 else Const(0))
    return Cat(*bits)
