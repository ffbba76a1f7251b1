"""Window: assembles the columns of a row ring into windows with their padding masks."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..geometry import WindowGeometry
from .counter import Counter, index_shape
from .fifo import HeadQueue
from .ring import column_beat
from .streams import positive


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
    ahead of the consumer (at least 1: the one it works on).

    Members: i (in stream) column beats, o (out stream) windows, level (out) windows waiting.

    The beat that completes a window in cycle t makes it enter the queue in t+1. A window that
    has entered the queue is at ``o`` a cycle later (two when ``queue`` > 1).
    """

    def __init__(
        self, shape: Shape, geometry: WindowGeometry, parallel: bool, queue: int = 1
    ) -> None:
        positive(queue=queue)
        self.shape, self.geometry, self.parallel = shape, geometry, parallel
        self.queue = queue
        super().__init__(
            {
                "i": In(stream.Signature(column_beat(shape, geometry, parallel))),
                "o": Out(stream.Signature(window_layout(shape, geometry))),
                "level": Out(index_shape(queue + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        layout = window_layout(self.shape, g)
        m.submodules.queue = queue = HeadQueue(layout, self.queue)
        m.d.comb += self.level.eq(queue.level)
        complete = Signal(name="complete")
        window = Signal(layout, name="shifted")
        handed_on = Signal(name="handed_on")
        m.d.comb += [
            handed_on.eq(complete & queue.i.ready),
            queue.i.valid.eq(complete),
            queue.i.payload.eq(window),
            self.i.ready.eq(~complete | handed_on),
            self.o.valid.eq(queue.o.valid),
            self.o.payload.eq(queue.o.payload),
            queue.o.ready.eq(self.o.ready),
        ]
        accept = Signal(name="accept")
        m.d.comb += accept.eq(self.i.valid & self.i.ready)
        with m.If(handed_on):
            m.d.sync += complete.eq(0)
        with m.If(accept):
            self._shift(m, window)
        with m.If(accept & self.i.payload.last):
            self._count(m, complete, window)
        return m

    def _shift(self, m: Module, window) -> None:
        g, beat = self.geometry, self.i.payload
        newest = g.window_columns - 1
        with m.If(beat.first):
            for column in range(newest):
                m.d.sync += window.taps[column].eq(window.taps[column + 1])
        for chunk in range(g.beats):
            for row in range(g.kernel[0]):
                mine: Value = beat.chunk == chunk
                if not self.parallel:
                    mine = mine & (beat.row == row)
                with m.If(mine):
                    for lane in range(g.lanes):
                        target = window.taps[newest][row][chunk * g.lanes + lane]
                        m.d.sync += target.eq(beat.taps[row if self.parallel else 0][lane])

    def _count(self, m: Module, complete: Signal, window) -> None:
        """Columns still missing; when none are, the window is complete with its masks."""
        g = self.geometry
        group = Counter(g.groups, "group")
        out_row = Counter(g.out_size[0], "out_row")
        again = g.first_steps - (g.virtual_steps if g.fused else 0)
        missing = Signal(
            index_shape(max(g.first_steps, g.step) + 1), name="missing", init=g.first_steps
        )
        with m.If(missing != 1):
            m.d.sync += missing.eq(missing - 1)
        with m.Else():
            m.d.sync += [
                complete.eq(1),
                window.columns.eq(self._column_mask(group.value)),
                window.rows.eq(self._row_mask(out_row.value)),
                missing.eq(Mux(group.last, Mux(out_row.last, g.first_steps, again), g.step)),
            ]
            group.step(m)
            with m.If(group.last):
                out_row.step(m)

    def _column_mask(self, group: Value) -> Value:
        g = self.geometry
        return _inside(group, g.window_columns, g.step, g.pads[1][0], g.size[1], g.groups)

    def _row_mask(self, out_row: Value) -> Value:
        g = self.geometry
        return _inside(out_row, g.kernel[0], g.stride[0], g.pads[0][0], g.size[0], g.out_size[0])


def _inside(position: Value, taps: int, step: int, pad: int, size: int, count: int) -> Value:
    """Bit t is high when ``position * step - pad + t`` lies in 0..size-1."""
    bits = []
    for tap in range(taps):
        first = max(0, -(-(pad - tap) // step))
        last = (size - 1 + pad - tap) // step
        low = position >= first if first > 0 else Const(1)
        high = position <= last if last < count - 1 else Const(1)
        bits.append(low & high if last >= 0 else Const(0))
    return Cat(*bits)
