"""TapReader: the taps of a convolution, fold after fold, straight from a ring of rows."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...contract.geometry import WindowGeometry
from ..common.counter import Counter, delay_line, index_shape, reg, step_nested
from ..common.streams import connect, stream_of
from .ring import RowMemory, by_row, modulo, window_slot
from .window import inside


class TapReader(wiring.Component):
    """Reads each fold's taps from the ring's memory, where no register could hold the window.

    A fold is ``chunk`` channels of one position of the kernel, or, ``parallel``, of all rows of
    one of its columns (a memory for each row of the ring).

    Parameters
    ----------
    shape : of an element. geometry : of the window, one pixel at a time; its ``lanes`` are a
        multiple of ``chunk``.
    dilation : the kernel's taps are so far apart.
    rows, parallel : of the ring.
    repeats : how often a window is read, once for each fold of the outputs. 0: the positions of
        each chunk of channels follow each other (depthwise), else the chunks of each position do.
    pad_value : what a padded position holds.

    Members
    -------
    i (in stream): pixels in beats. ready (out): the window under way is in the ring. step (in):
    the next fold is taken. taps (out): its taps, kernel row by channel, LATENCY cycles after
    ``step``. level (out): rows held, a partly written one included.

    A beat written in cycle t can be part of a ready window in t+2. A fold a cycle.
    """

    LATENCY = 5
    """Cycles from step to taps: address, memory, register, choice among rows, padding."""

    def __init__(
        self,
        shape: Shape,
        geometry: WindowGeometry,
        dilation: tuple[int, int],
        chunk: int,
        rows: int,
        parallel: bool,
        repeats: int,
        pad_value: int,
    ) -> None:
        if geometry.pixels != 1 or geometry.channels % geometry.lanes or geometry.lanes % chunk:
            raise ValueError(f"{geometry.lanes} lanes do not suit chunks of {chunk} channels")
        self.shape, self.geometry, self.dilation, self.chunk = shape, geometry, dilation, chunk
        self.rows, self.parallel, self.repeats = rows, parallel, repeats
        self.pad_value = pad_value
        self.places = tuple(
            range(0, k, d) for k, d in zip(geometry.kernel, dilation, strict=True)
        )  # rows and columns of the kernel that have taps
        taps = data.ArrayLayout(shape, chunk)
        super().__init__(
            {
                "i": In(stream_of(shape, geometry.lanes)),
                "ready": Out(1),
                "step": In(1),
                "taps": Out(data.ArrayLayout(taps, len(self.places[0]) if parallel else 1)),
                "level": Out(index_shape(rows + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        m.submodules.memory = memory = RowMemory(self.shape, g, self.rows, self.parallel)
        connect(m, wiring.flipped(self.i), memory.i)
        m.d.comb += self.level.eq(memory.level)

        part = Counter(g.lanes // self.chunk, "part")
        word = Counter(g.beats, "word")
        kernel_row = Counter(1 if self.parallel else len(self.places[0]), "kernel_row")
        kernel_column = Counter(len(self.places[1]), "kernel_column")
        repeat = Counter(max(1, self.repeats), "repeat")
        group, out_row = Counter(g.groups, "group"), Counter(g.out_size[0], "out_row")
        nest = [part, word, kernel_column, kernel_row, repeat]
        if not self.repeats:
            nest = [kernel_column, kernel_row, part, word, repeat]
        window_done, row_done = Signal(name="window_done"), Signal(name="row_done")
        with m.If(self.step):
            m.d.comb += window_done.eq(step_nested(m, *nest))
            with m.If(window_done):
                m.d.comb += row_done.eq(group.last)
                step_nested(m, group, out_row)

        waited = by_row(m, "rows_waited", out_row.value, row_done, g.rows_waited, g)
        released = by_row(m, "rows_released", out_row.value, row_done, g.rows_released, g)
        reached = self._reached(m, memory.written, window_done, group)
        base = window_slot(m, row_done, out_row, g, self.rows)
        m.d.comb += [
            self.ready.eq((memory.complete > waited) | ((memory.complete == waited) & reached)),
            memory.released.eq(Mux(row_done, released, 0)),
        ]
        position = self._position(m, part, word, kernel_column, kernel_row, window_done, group)
        m.d.comb += memory.position.eq(delay_line(m, position, 1, "asked_position", data=True))
        if not self.parallel:
            slot = reg(index_shape(self.rows), "read_slot")
            row = Array(self.places[0])[kernel_row.value]
            m.d.sync += slot.eq(modulo(base + row, self.rows, self.rows + g.kernel[0] - 1))
            m.d.comb += memory.slot.eq(slot)
        chosen = self._chosen(m, list(memory.words), base, part.value)
        self._padded(m, chosen, group, out_row, kernel_column, kernel_row)
        return m

    def _reached(self, m: Module, written: Value, window_done: Value, group: Counter) -> Value:
        """Whether the last beat that the window under way needs of its last row had been written
        a cycle ago.

        As in the ring, that is compared in the cycle before, for this window and the next one.
        """
        g = self.geometry
        stride, last = g.step * g.beats, g.row_beats - 1
        first = min(last, g.first_steps * g.beats - 1)
        need, following = Signal.like(written, name="need", init=first), Signal.like(written)
        m.d.comb += following.eq(
            Mux(group.last, first, Mux(need > last - stride, last, need + stride))
        )
        with m.If(window_done):
            m.d.sync += need.eq(following)
        results = Cat(written > need, written > following)
        stayed, followed = delay_line(m, results, 1, "reached")
        return Mux(delay_line(m, window_done, 1, "stepped"), followed, stayed)

    def _position(
        self,
        m: Module,
        part: Counter,
        word: Counter,
        column: Counter,
        row: Counter,
        window_done: Value,
        group: Counter,
    ) -> Signal:
        """The beat of a row that this fold reads; beyond the frame it is any, and not used."""
        g = self.geometry
        shape = index_shape(g.row_beats)
        first = (-g.pads[1][0] * g.beats) % (1 << shape.width)
        position = Signal(shape, name="read_position", init=first)
        start = Signal(shape, name="window_start", init=first)
        next_start = Signal(shape, name="next_start")
        m.d.comb += next_start.eq(Mux(group.last, first, start + g.step * g.beats))
        across = self.dilation[1] * g.beats
        if self.repeats:
            moved = Mux(word.last, position + (1 + across - g.beats), position + 1)
            following = Mux(part.last, Mux(word.last & column.last, start, moved), position)
        else:
            # The same positions for each part of a word, then for the next word.
            chunk = Signal(shape, name="chunk_start", init=first)
            next_chunk = Mux(row.last & part.last, chunk + 1, chunk)
            following = Mux(column.last, next_chunk, position + across)
            with m.If(self.step & column.last):
                m.d.sync += chunk.eq(Mux(window_done, next_start, next_chunk))
        with m.If(self.step):
            m.d.sync += position.eq(Mux(window_done, next_start, following))
        with m.If(window_done):
            m.d.sync += start.eq(next_start)
        return position

    def _chosen(self, m: Module, words: list[Value], base: Value, part: Value) -> list[Value]:
        """The chunk of each kernel row, four cycles after step."""
        width = self.chunk * Shape.cast(self.shape).width
        read = [delay_line(m, word, 1, f"word{n}", data=True) for n, word in enumerate(words)]
        part = delay_line(m, part, 3, "part_late", data=True)
        base = delay_line(m, base, 3, "base_late", data=True)
        chunks = [Value.cast(word).word_select(part, width) for word in read]
        if not self.parallel:
            return [delay_line(m, chunks[0], 1, "chunk", data=True)]
        chosen = []
        for row in self.places[0]:
            turned = Array(chunks[(slot + row) % self.rows] for slot in range(self.rows))[base]
            chosen.append(delay_line(m, turned, 1, f"chunk{row}", data=True))
        return chosen

    def _padded(
        self,
        m: Module,
        chosen: list[Value],
        group: Counter,
        out_row: Counter,
        kernel_column: Counter,
        kernel_row: Counter,
    ) -> None:
        """The taps, those beyond the frame replaced."""
        g = self.geometry
        rows = inside(out_row.value, g.kernel[0], g.stride[0], g.pads[0][0], g.size[0],
                      g.out_size[0])  # fmt: skip
        columns = inside(group.value, g.window_columns, g.step, g.pads[1][0], g.size[1], g.groups)
        column = Array(columns[n] for n in self.places[1])[kernel_column.value]
        here = [rows[n] for n in self.places[0]]
        if not self.parallel:
            here = [Array(here)[kernel_row.value]]
        padded = any(max(pads) > 0 for pads in g.pads)
        for n, (chunk, row) in enumerate(zip(chosen, here, strict=True)):
            real = delay_line(m, row & column, 4, f"real{n}", data=True) if padded else Const(1)
            taps = data.ArrayLayout(self.shape, self.chunk)(chunk)
            for channel in range(self.chunk):
                value = reg(self.shape, f"tap{n}_{channel}")
                m.d.sync += value.eq(Mux(real, taps[channel], self.pad_value))
                m.d.comb += self.taps[n][channel].eq(value)
