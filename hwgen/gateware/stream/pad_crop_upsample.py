"""Units that change rows and columns without arithmetic: Pad, Crop and Upsample."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.counter import Counter, delay_line, index_shape, step_nested
from ..common.fifo import CreditFifo
from ..common.memory import SimpleDualPort
from ..common.streams import connect, positive, stream_of


def _members(shape: Shape, lanes: int, fifo: int) -> dict:
    return {
        "i": In(stream_of(shape, lanes)),
        "o": Out(stream_of(shape, lanes)),
        "issue": Out(1),
        "level": Out(index_shape(fifo + 1)),
    }


class Pad(wiring.Component):
    """Puts rows and columns of a constant around each frame.

    Parameters: shape of an element; lanes; ``size`` rows and columns of the input, ``beats`` of a
    pixel; ``pads`` ((top, bottom), (left, right)); ``value`` of the border; ``fifo`` beats at the
    output. Members: i, o streams, issue (out), level (out).

    A beat a cycle, of the input or of the border; it is in the output FIFO in the same cycle. A
    frame's border begins when its first beat is offered.
    """

    def __init__(
        self,
        shape: Shape,
        lanes: int,
        size: tuple[int, int],
        beats: int,
        pads: tuple[tuple[int, int], tuple[int, int]],
        value: int,
        fifo: int,
    ) -> None:
        positive(lanes=lanes, beats=beats, fifo=fifo, rows=size[0], columns=size[1])
        self.shape, self.lanes, self.size, self.beats = shape, lanes, size, beats
        self.pads, self.value, self.fifo = pads, value, fifo
        super().__init__(_members(shape, lanes, fifo))

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CreditFifo(self.o.payload.shape(), self.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        chunk = Counter(self.beats, "chunk")
        row = Counter(self.size[0] + sum(self.pads[0]), "row")
        column = Counter(self.size[1] + sum(self.pads[1]), "column")
        inside: Value = Const(1)
        for counter, (before, after) in zip((row, column), self.pads, strict=True):
            if before:
                inside = inside & (counter.value >= before)
            if after:
                inside = inside & (counter.value < counter.length - after)
        take, begins = Signal(name="taking"), Signal(name="begins", init=1)
        border = Cat(Const(self.value, self.shape) for _ in range(self.lanes))
        m.d.comb += [
            take.eq(fifo.room & (self.i.valid | ~(inside | begins))),
            self.i.ready.eq(take & inside),
            self.issue.eq(take),
            fifo.take.eq(take),
            fifo.push.eq(take),
            fifo.data.eq(Mux(inside, Value.cast(self.i.payload), border)),
            self.level.eq(fifo.level),
        ]
        with m.If(take):
            m.d.sync += begins.eq(step_nested(m, chunk, column, row))
        return m


class Crop(wiring.Component):
    """Lets some of the beats of a frame through.

    Parameters: shape of an element; lanes; ``kept`` whether each row, each column and each beat
    of a pixel is; ``fifo`` beats at the output. Members: i, o streams, issue (out), level (out).

    Takes a beat a cycle; one that is kept is in the output FIFO in the same cycle.
    """

    def __init__(
        self, shape: Shape, lanes: int, kept: tuple[tuple[bool, ...], ...], fifo: int
    ) -> None:
        positive(lanes=lanes, fifo=fifo)
        if len(kept) != 3 or not all(any(axis) for axis in kept):
            raise ValueError("a row, a column and a beat at least must be kept")
        self.shape, self.lanes, self.kept, self.fifo = shape, lanes, kept, fifo
        super().__init__(_members(shape, lanes, fifo))

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CreditFifo(self.o.payload.shape(), self.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        names = ("row", "column", "chunk")
        counters = [Counter(len(axis), name) for axis, name in zip(self.kept, names, strict=True)]
        keeps: Value = Const(1)
        for counter, axis in zip(counters, self.kept, strict=True):
            if not all(axis):
                keeps = keeps & Array(Const(int(keep), 1) for keep in axis)[counter.value]
        take, kept = Signal(name="taking"), Signal(name="kept")
        m.d.comb += [
            kept.eq(keeps),
            take.eq(self.i.valid & (fifo.room | ~kept)),
            self.i.ready.eq(take),
            self.issue.eq(take),
            fifo.take.eq(take & kept),
            fifo.push.eq(take & kept),
            fifo.data.eq(self.i.payload),
            self.level.eq(fifo.level),
        ]
        with m.If(take):
            step_nested(m, *reversed(counters))
        return m


class Upsample(wiring.Component):
    """Gives every row and every column of pixels several times.

    Parameters: shape of an element; lanes; ``columns`` of the input; ``beats`` of a pixel;
    ``factor`` (rows, columns); ``fifo`` beats at the output. Members: i, o streams, issue (out),
    level (out).

    Two rows are stored: one is read while the next one is written. A beat a cycle on both sides;
    a beat asked for is in the output FIFO LATENCY cycles later, and can be asked for in the cycle
    after its row is complete.
    """

    LATENCY = 1

    def __init__(
        self,
        shape: Shape,
        lanes: int,
        columns: int,
        beats: int,
        factor: tuple[int, int],
        fifo: int,
    ) -> None:
        positive(lanes=lanes, columns=columns, beats=beats, fifo=fifo)
        positive(row_factor=factor[0], column_factor=factor[1])
        self.shape, self.lanes, self.columns, self.beats = shape, lanes, columns, beats
        self.factor, self.fifo = factor, fifo
        super().__init__(_members(shape, lanes, fifo))

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CreditFifo(self.o.payload.shape(), self.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        width = Shape.cast(self.shape).width * self.lanes
        bits = (self.columns * self.beats - 1).bit_length()
        m.submodules.rows = rows = SimpleDualPort(width, 2 << bits)
        held, position = Signal(signed(3), name="held"), Counter(self.columns * self.beats, "write")
        slot, write = Signal(name="write_slot"), Signal(name="writing")
        row_written, row_read = Signal(name="row_written"), Signal(name="row_read")
        # A row counts as held from its first beat on, as complete after its last one.
        complete = Signal(range(3), name="complete")
        m.d.comb += [
            self.i.ready.eq(held < 2),
            write.eq(self.i.valid & self.i.ready),
            row_written.eq(write & position.last),
            rows.w_en.eq(write),
            rows.w_addr.eq(Cat(position.value[:bits], slot)),
            rows.w_data.eq(self.i.payload),
        ]
        with m.If(write):
            position.step(m)
        m.d.sync += [
            slot.eq(slot ^ row_written),
            complete.eq(complete + row_written - row_read),
            held.eq(held + row_written - row_read),
        ]
        self._read(m, rows, fifo, complete, row_read, bits)
        m.d.comb += self.level.eq(fifo.level)
        return m

    def _read(self, m: Module, rows, fifo: CreditFifo, complete, row_read, bits: int) -> None:
        chunk, again = Counter(self.beats, "chunk"), Counter(self.factor[1], "column_again")
        column, row = Counter(self.columns, "column"), Counter(self.factor[0], "row_again")
        slot, address = Signal(name="read_slot"), Signal(bits, name="read_position")
        issue = Signal(name="issuing")
        m.d.comb += [
            issue.eq((complete != 0) & fifo.room),
            self.issue.eq(issue),
            fifo.take.eq(issue),
            rows.r_en.eq(1),
            rows.r_addr.eq(Cat(address, slot)),
            fifo.push.eq(delay_line(m, issue, self.LATENCY, "push")),
            fifo.data.eq(rows.r_data),
            row_read.eq(issue & chunk.last & again.last & column.last & row.last),
        ]
        m.d.sync += slot.eq(slot ^ row_read)
        with m.If(issue):
            step_nested(m, chunk, again, column, row)
            m.d.sync += address.eq(address + 1)
            with m.If(chunk.last & ~again.last):
                m.d.sync += address.eq(address - (self.beats - 1))
            with m.If(chunk.last & again.last & column.last):
                m.d.sync += address.eq(0)
