"""The way of a tile's results through the feature memory: loops of run-time counts, and places."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import BANKS, EngineShape
from ....contract.isa import COMPUTE, OUTPUT_LEVELS
from ...common.counter import delay_line, index_shape, reg
from ...common.multiplier import LowProduct
from ..fetch.descriptor_layout import layout

FIELDS = layout(COMPUTE)
"""Shapes of the descriptor's fields."""

COUNTS = data.ArrayLayout(
    data.StructLayout({"count": FIELDS["out0_count"].shape, "group": unsigned(1)}), OUTPUT_LEVELS
)
"""Each loop, the innermost first: its steps, and whether it goes over groups."""

STRIDES = data.ArrayLayout(
    data.StructLayout({"position": FIELDS["out0_position"].shape, "row": FIELDS["out0_row"].shape}),
    OUTPUT_LEVELS,
)
"""What each loop adds where it steps."""


def set_counts(m: Module, loops, descriptor) -> None:
    """Give OutputLoops their fields of a descriptor."""
    for n in range(OUTPUT_LEVELS):
        for field in ("count", "group"):
            m.d.comb += loops.loops[n][field].eq(descriptor[f"out{n}_{field}"])


def set_place(m: Module, place, loops, descriptor, position: str, ring: str) -> None:
    """Give a RingPlace its fields of a descriptor, and the steps of loops.

    ``position`` : field of each loop; ``ring`` : what the names of the ring's fields begin with.
    """
    for n in range(OUTPUT_LEVELS):
        m.d.comb += [
            place.strides[n].position.eq(descriptor[f"out{n}_{position}"]),
            place.strides[n].row.eq(descriptor[f"out{n}_row"]),
        ]
    for name in ("first", "ring", "base", "pitch"):
        m.d.comb += getattr(place, name).eq(descriptor[f"{ring}_{name}"])
    m.d.comb += place.steps.eq(loops.steps)


class OutputLoops(wiring.Component):
    """Nested loops whose counts come from a descriptor.

    Members
    -------
    load (in): begin. loops (in): of the descriptor; they stay from ``load`` on. step (in): to the
    next result.
    steps (out): the loop that steps with this step, none at the end. group (out): index of the
    group; turns (out): this step leads to another group. last (out): this is the last result.

    What is loaded, or stepped to, is there in the next cycle. ``last``, and the loop that a step is
    one of, are registers.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "load": In(1),
                "step": In(1),
                "loops": In(COUNTS),
                "steps": Out(OUTPUT_LEVELS),
                "group": Out(FIELDS["groups"].shape),
                "turns": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # Whether all loops inside are at their end, now and in the next cycle.
        inner: Value = Const(1)
        next_inner: Value = Const(1)
        moves = reg(OUTPUT_LEVELS, "moves")
        on = self.load | self.step
        for n in range(OUTPUT_LEVELS):
            end, next_end = self._loop(m, n, inner)
            with m.If(on):
                m.d.sync += moves[n].eq(next_inner & ~next_end)
            inner, next_inner = inner & end, next_inner & next_end
        last = reg(1, "is_last")
        with m.If(on):
            m.d.sync += last.eq(next_inner)
        m.d.comb += [self.steps.eq(Mux(self.step, moves, 0)), self.last.eq(last)]
        self._groups(m, moves)
        return m

    def _loop(self, m: Module, n: int, inner: Value) -> tuple[Value, Value]:
        """One of the loops; returns whether it is at its end, and whether it will be."""
        count = self.loops[n].count
        left, end = reg(count.shape(), f"left{n}"), reg(1, f"end{n}")
        # A step more is the last one.
        end_follows, restarts = reg(1, f"end_follows{n}"), Signal(name=f"restarts{n}")
        m.d.comb += restarts.eq(self.load | (inner & end))
        next_end = Mux(restarts, count <= 1, Mux(inner, end_follows, end))
        with m.If(self.load | (self.step & inner)):
            m.d.sync += [
                left.eq(Mux(restarts, count, left - 1)),
                end_follows.eq(Mux(restarts, count == 2, left == 3)),
                end.eq(next_end),
            ]
        return end, next_end

    def _groups(self, m: Module, moves: Value) -> None:
        """The index of the group: steps of loops over groups count, a step of another loop around
        one begins again."""
        more: list[Value] = []
        again: list[Value] = []
        inside: Value = Const(0)
        for n in range(OUTPUT_LEVELS):
            group = self.loops[n].group
            more.append(moves[n] & group)
            again.append(moves[n] & inside & ~group)
            inside = inside | group
        counts, begins = Cat(more).any(), Cat(again).any()
        group, some = reg(self.group.shape(), "group_now"), reg(1, "some_group")
        with m.If(self.load | (self.step & begins)):
            m.d.sync += [group.eq(0), some.eq(0)]
        with m.Elif(self.step & counts):
            m.d.sync += [group.eq(group + 1), some.eq(1)]
        m.d.comb += [
            self.group.eq(group),
            self.turns.eq(self.step & (counts | (begins & some))),
        ]


class RingPlace(wiring.Component):
    """Bank and address of a result: a position in a row of a ring of rows.

    Parameters
    ----------
    shape : of the engine.

    Members
    -------
    load (in): begin at position 0 of ring row ``first``. steps (in): the loop that steps, of
    OutputLoops. strides, first, ring, base, pitch (in): of the descriptor; they stay from
    ``load`` on. bank, addr (out).

    A place is there LATENCY cycles after it was stepped to: what is added is chosen, and the row
    times the pitch is a product.
    Steps may follow each other in every cycle, the first in the cycle after ``load``.
    """

    LATENCY = 1 + LowProduct.LATENCY + 1

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "load": In(1),
                "steps": In(OUTPUT_LEVELS),
                "strides": In(STRIDES),
                "first": In(FIELDS["y_first"].shape),
                "ring": In(FIELDS["y_ring"].shape),
                "base": In(FIELDS["y_base"].shape),
                "pitch": In(FIELDS["y_pitch"].shape),
                "bank": Out(index_shape(BANKS)),
                "addr": Out(index_shape(shape.bank_bytes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        load, steps = Signal(name="loads"), Signal(name="moves")
        m.d.sync += [load.eq(self.load), steps.eq(self.steps.any())]
        row = self._row(m, load, steps)
        position = reg(self.addr.shape(), "position")
        move = self._chosen(m, [s.position for s in self.strides], "position_move")
        with m.If(load):
            m.d.sync += position.eq(0)
        with m.Elif(steps):
            m.d.sync += position.eq(position + move)

        bits = len(self.bank)
        pitch = self.pitch[: len(self.addr)]
        m.submodules.mul = mul = LowProduct(len(row) - bits, len(pitch), len(self.addr))
        m.d.comb += [mul.a.eq(row[bits:]), mul.b.eq(pitch)]
        offset = reg(self.addr.shape(), "offset")
        m.d.sync += offset.eq(self.base + position)
        offset = delay_line(m, offset, LowProduct.LATENCY - 1, "offset_late", data=True)
        addr = reg(self.addr.shape(), "addr_now")
        m.d.sync += addr.eq(mul.p + offset)
        m.d.comb += [
            self.addr.eq(addr),
            self.bank.eq(delay_line(m, row[:bits], self.LATENCY - 1, "bank_late", data=True)),
        ]
        return m

    def _chosen(self, m: Module, values: list[Value], name: str) -> Value:
        """That of the loop which steps, a cycle later."""
        value = values[0]
        for n in range(1, OUTPUT_LEVELS):
            value = Mux(self.steps[n], values[n], value)
        chosen = reg(values[0].shape(), name)
        m.d.sync += chosen.eq(value)
        return chosen

    def _row(self, m: Module, load: Value, steps: Value) -> Value:
        """The ring row: what each step adds, and what it adds where that is outside the ring."""
        row = reg(self.first.shape(), "ring_row")
        bits = signed(len(row) + 2)
        around = []
        for n in range(OUTPUT_LEVELS):
            stride = self.strides[n].row
            other = reg(bits, f"around{n}")
            m.d.sync += other.eq(Mux(stride < 0, stride + self.ring, stride - self.ring))
            around.append(other)
        near, far = Signal(bits, name="near"), Signal(bits, name="far")
        stride = self._chosen(m, [s.row for s in self.strides], "stride")
        m.d.comb += [
            near.eq(row + stride),
            far.eq(row + self._chosen(m, around, "around")),
        ]
        with m.If(load):
            m.d.sync += row.eq(self.first)
        with m.Elif(steps):
            # Backwards: around the ring where that is below row 0. Forwards: where it is not.
            m.d.sync += row.eq(Mux(Mux(stride < 0, near < 0, far >= 0), far, near))
        return row
