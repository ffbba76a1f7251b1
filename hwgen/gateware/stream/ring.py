"""Ring of rows: the line buffer of a sliding window, read in columns.

Rows are written beat by beat into the next free slot and kept until no output row needs them.
Writing and reading go on independently; reading may begin as soon as the beat it needs is there,
and the next frame's rows enter while the last rows of a frame are still read.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...contract.geometry import WindowGeometry
from ..common.counter import Counter, delay_line, index_shape, reg
from ..common.fifo import CreditFifo
from ..common.memory import SimpleDualPort
from ..common.streams import beat, connect, stream_of


def column_beat(shape: Shape, geometry: WindowGeometry, parallel: bool) -> data.StructLayout:
    """Payload of the column stream: part of a column of the window.

    taps: ``lanes`` elements of every kernel row (parallel) or of one. virtual: the beat stands
    for a whole column beyond the frame; last: it completes a column; chunk: which ``lanes``
    channels; row: which kernel row (serial only).
    """
    rows = geometry.kernel[0] if parallel else 1
    return data.StructLayout(
        {
            "taps": data.ArrayLayout(beat(shape, geometry.lanes), rows),
            "virtual": 1,
            "last": 1,
            "chunk": index_shape(geometry.beats),
            "row": index_shape(geometry.kernel[0]),
        }
    )


class RowMemory(wiring.Component):
    """The written side of a ring of rows, and its memories.

    Parameters: as RowRing's.

    Members
    -------
    i (in stream): pixels in beats. position (in): which beat of a row is read; slot (in): of which
    row, where they are not read in parallel. words (out): of the row, or of every slot, a cycle
    after ``position``. complete (out): rows written completely and not yet released, as reading
    sees them, a cycle late: negative where rows were released that are still to come. written
    (out): beats of the row under way. released (in): rows given back in this cycle. level (out):
    rows held, a partly written one included.
    """

    def __init__(self, shape: Shape, geometry: WindowGeometry, rows: int, parallel: bool) -> None:
        needed = max(geometry.rows_waited(r) + 1 for r in range(geometry.out_size[0]))
        if rows < needed:
            raise ValueError(f"a ring of {rows} rows is too small, the window needs {needed}")
        self.geometry, self.rows, self.parallel = geometry, rows, parallel
        # Reading may release rows that are still to come: a stride beyond the kernel, rows below
        # the last window.
        lead = max(geometry.rows_released(r) for r in range(geometry.out_size[0]))
        self.word = beat(shape, geometry.lanes)
        self.count = signed(max(rows, lead).bit_length() + 2)
        place = index_shape(geometry.row_beats)
        super().__init__(
            {
                "i": In(stream_of(shape, geometry.lanes)),
                "position": In(place),
                "slot": In(index_shape(1 if parallel else rows)),
                "words": Out(data.ArrayLayout(self.word, rows if parallel else 1)),
                "complete": Out(self.count),
                "written": Out(place),
                "released": In(index_shape(lead + 1)),
                "level": Out(index_shape(rows + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        # What writing sees of the rows: it is told a cycle later, when the last beat was read.
        held = Signal(self.count, name="held")
        slot = Counter(self.rows, "write_slot")
        position = Counter(g.row_beats, "write_position")
        write, row_done = Signal(name="write"), Signal(name="row_done")
        m.d.comb += [
            self.i.ready.eq(held < self.rows),
            write.eq(self.i.valid & self.i.ready),
            row_done.eq(write & position.last),
            self.written.eq(position.value),
        ]
        with m.If(write):
            position.step(m)
            with m.If(position.last):
                slot.step(m)
        m.d.sync += [
            self.complete.eq(
                self.complete + delay_line(m, row_done, 1, "seen_row") - self.released
            ),
            held.eq(held + row_done - delay_line(m, self.released, 1, "freed")),
        ]
        partial = position.value != 0
        with m.If(held >= 0):
            m.d.comb += self.level.eq(held + partial)
        for index in range(self.rows if self.parallel else 1):
            # One memory of several rows gives each a power of two of words: no adder then stands
            # before its address.
            depth = g.row_beats if self.parallel else self.rows << len(position.value)
            bank = SimpleDualPort(self.word.size, depth)
            m.submodules[f"bank{index}"] = bank
            chosen = (slot.value == index) if self.parallel else 1
            m.d.comb += [
                bank.w_en.eq(write & chosen),
                bank.w_addr.eq(
                    position.value if self.parallel else Cat(position.value, slot.value)
                ),
                bank.w_data.eq(self.i.payload),
                bank.r_en.eq(1),
                bank.r_addr.eq(self.position if self.parallel else Cat(self.position, self.slot)),
                self.words[index].eq(bank.r_data),
            ]
        return m


class RowRing(wiring.Component):
    """Stores ``rows`` rows, gives the columns of one output row after the other.

    Parameters
    ----------
    shape : of an element; geometry; rows : capacity, at least the rows a window needs.
    parallel : read all kernel rows of a column at once (a memory for each row), else one kernel
        row a cycle (one memory).

    Members
    -------
    i (in stream): pixels in beats. o (out stream): column beats, see ``column_beat``; a virtual
    column is a single beat with undefined taps. level (out): rows held, a partly written one
    included.

    A beat written in cycle t can be asked for in t+1 and is at ``o`` in t+2+LATENCY. One beat a
    cycle on both sides. No signal passes from ``o`` to the reading side in the same cycle.
    """

    LATENCY = 3
    """Cycles from asking to the queue at the output: address, memory, register."""
    QUEUE = LATENCY + 2
    """Column beats that the output queue needs for one a cycle."""

    def __init__(self, shape: Shape, geometry: WindowGeometry, rows: int, parallel: bool) -> None:
        self.shape, self.geometry, self.rows, self.parallel = shape, geometry, rows, parallel
        self.memory = RowMemory(shape, geometry, rows, parallel)
        super().__init__(
            {
                "i": In(stream_of(shape, geometry.lanes)),
                "o": Out(stream.Signature(column_beat(shape, geometry, parallel))),
                "level": Out(index_shape(rows + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = self.memory
        connect(m, wiring.flipped(self.i), memory.i)
        m.d.comb += self.level.eq(memory.level)
        m.submodules.queue = queue = CreditFifo(self.o.payload.shape(), self.QUEUE)
        connect(m, queue.o, wiring.flipped(self.o))
        reader = self._reader(m, memory.complete, memory.written, queue)
        m.d.comb += [
            memory.position.eq(reader["position"]),
            memory.slot.eq(reader["slot"]),
            memory.released.eq(reader["released"]),
        ]
        self._output(m, reader, list(memory.words), queue)
        return m

    def _reader(
        self, m: Module, complete: Value, written: Value, queue: CreditFifo
    ) -> dict[str, Value]:
        """Counters of the reading side: which beat is asked for, and whether it may be."""
        g = self.geometry
        out_row = Counter(g.out_size[0], "out_row")
        column = Counter(g.columns_read, "column")
        chunk = Counter(g.beats, "chunk")
        kernel_row = Counter(1 if self.parallel else g.kernel[0], "kernel_row")
        position = Signal(index_shape(g.row_beats), name="read_position")
        virtual = Signal(name="beyond")

        next_row = Signal(name="next_row")
        waited = by_row(m, "rows_waited", out_row.value, next_row, g.rows_waited, g)
        column_done = chunk.last & kernel_row.last
        row_done = column_done & column.last
        issue, available = Signal(name="issue"), Signal(name="available")
        # With stride, the last column may lie before the end of the row.
        reached = self._reached(
            m, written, position, chunk, column_done, row_done, issue & ~virtual
        )
        m.d.comb += available.eq((complete > waited) | ((complete == waited) & reached))
        m.d.comb += [issue.eq(queue.room & (available | virtual)), queue.take.eq(issue)]

        released_rows = by_row(m, "rows_released", out_row.value, next_row, g.rows_released, g)
        released = Signal.like(released_rows, name="released", init=0)
        with m.If(issue & ~virtual):
            # Serial: all chunks of a kernel row, then the next kernel row.
            chunk.step(m)
            with m.If(chunk.last):
                kernel_row.step(m)
            with m.If(column_done):
                column.step(m)
            with m.If(row_done):
                m.d.comb += released.eq(released_rows)
            self._step_position(m, position, chunk, column_done, row_done)
        m.d.comb += next_row.eq(issue & self._row_ends(m, issue, row_done, virtual, out_row))
        with m.If(next_row):
            out_row.step(m)

        base = window_slot(m, issue & ~virtual & row_done, out_row, g, self.rows)
        # The memory is read a cycle after the decision.
        asked = delay_line(m, position, 1, "asked_position", data=True)
        slot: Value = Const(0)
        if not self.parallel:
            slot = reg(index_shape(self.rows), "read_slot")
            total = base + kernel_row.value
            m.d.sync += slot.eq(modulo(total, self.rows, self.rows + g.kernel[0] - 1))
        return {
            "issue": issue,
            "position": asked,
            "slot": slot,
            "released": released,
            "base": base,
            "virtual": virtual,
            "last": virtual | column_done,
            "chunk": chunk.value,
            "row": kernel_row.value,
        }

    def _reached(
        self,
        m: Module,
        written: Value,
        position: Value,
        chunk: Counter,
        column_done,
        row_done,
        step,
    ) -> Value:
        """Whether the beat at ``position`` had been written in the row under way a cycle ago.

        That is compared in the cycle before, for the position then and for the one that follows
        it, since a comparison would be too long before a decision.
        """
        stays = written > position
        following = stays & (written != position + 1)
        if not self.parallel and self.geometry.beats > 1:
            first = Signal.like(position, name="first_position")
            with m.If(step & chunk.last & column_done):
                m.d.sync += first.eq(Mux(row_done, 0, position + 1))
            following = Mux(chunk.last & ~column_done, written > first, following)
        elif not self.parallel:
            following = Mux(column_done, following, stays)
        results = Cat(stays, Mux(row_done, written != 0, following))
        stayed, followed = delay_line(m, results, 1, "reached")
        return Mux(delay_line(m, step, 1, "stepped"), followed, stayed)

    def _step_position(self, m, position, chunk: Counter, column_done, row_done) -> None:
        m.d.sync += position.eq(position + 1)
        if not self.parallel:
            # The same chunks of the next kernel row.
            with m.If(chunk.last & ~column_done):
                m.d.sync += position.eq(position - (self.geometry.beats - 1))
        with m.If(row_done):
            m.d.sync += position.eq(0)

    def _row_ends(self, m: Module, issue, row_done, virtual, out_row: Counter) -> Value:
        """Whether the beat is the last of an output row; virtual columns follow where needed."""
        g = self.geometry
        if g.virtual_steps == 0:
            return row_done
        steps = Counter(g.virtual_steps, "virtual_step")
        begins = ~virtual & row_done & (out_row.last if g.fused else 1)
        with m.If(issue & virtual):
            steps.step(m)
        with m.If(issue & (begins | (virtual & steps.last))):
            m.d.sync += virtual.eq(~virtual)
        return Mux(virtual, steps.last, row_done & ~begins)

    def _output(
        self, m: Module, reader: dict[str, Value], banks: list[Value], queue: CreditFifo
    ) -> None:
        """The words that were read, registered and rotated so that kernel row 0 comes first."""
        g = self.geometry
        payload = Signal(self.o.payload.shape(), name="column")
        late = {
            name: delay_line(m, reader[name], self.LATENCY, f"column_{name}", data=name != "issue")
            for name in ("issue", "base", "virtual", "last", "chunk", "row")
        }
        m.d.comb += [queue.push.eq(late["issue"]), queue.data.eq(payload)]
        m.d.comb += [payload[name].eq(late[name]) for name in ("virtual", "last", "chunk", "row")]
        words = [
            delay_line(m, bank, 1, f"word{index}", data=True) for index, bank in enumerate(banks)
        ]
        if not self.parallel:
            m.d.comb += payload.taps[0].eq(words[0])
            return
        with m.Switch(late["base"]):
            for slot in range(self.rows):
                with m.Case(slot):
                    for row in range(g.kernel[0]):
                        m.d.comb += payload.taps[row].eq(words[(slot + row) % self.rows])


def window_slot(
    m: Module, row_read: Value, out_row: Counter, g: WindowGeometry, rows: int
) -> Signal:
    """Slot of kernel row 0 of the current output row, which may be a row above the frame."""
    base = Signal(index_shape(rows), name="window_slot", init=(-g.pads[0][0]) % rows)
    step = g.stride[0] % rows
    # After the last output row: on to the next frame's first.
    wrap = (g.size[0] - (g.out_size[0] - 1) * g.stride[0]) % rows
    following = Signal(index_shape(2 * rows), name="following_slot")
    m.d.comb += following.eq(base + Mux(out_row.last, wrap, step))
    with m.If(row_read):
        m.d.sync += base.eq(modulo(following, rows, 2 * rows - 2))
    return base


def by_row(
    m: Module, name: str, out_row: Value, step: Value, function, g: WindowGeometry
) -> Signal:
    """A register with the function of the output row, which moves on with ``step``.

    It is loaded from a table of the following rows, so that no table stands before what it
    decides. Rows with the common value share a case.
    """
    values = [function(row) for row in range(g.out_size[0])]
    result = Signal(index_shape(max(values) + 1), name=name, init=values[0])
    common = max(set(values), key=values.count)
    with m.If(step):
        m.d.sync += result.eq(common)
        with m.Switch(out_row):
            for row, value in enumerate(values[1:] + values[:1]):
                if value != common:
                    with m.Case(row):
                        m.d.sync += result.eq(value)
    return result


def modulo(value: Value, modulus: int, largest: int) -> Value:
    """``value % modulus`` for values up to ``largest``, by subtraction."""
    while largest >= modulus:
        multiple = (largest // modulus) * modulus
        value = Mux(value >= multiple, value - multiple, value)
        largest = max(modulus - 1, multiple - 1) if multiple > modulus else modulus - 1
    return value
