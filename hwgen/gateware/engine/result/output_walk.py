"""The way of a tile's results through the feature memory: loops of run-time counts, and places."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
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

    What is loaded, or stepped to, is there in the next cycle.
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
        inner: Value | None = None  # all loops inside are at their end
        groups: Value | None = None  # one of them goes over groups
        more: list[Value] = []
        again: list[Value] = []
        for n in range(OUTPUT_LEVELS):
            loop = self.loops[n]
            left = reg(loop.count.shape(), f"left{n}")
            end = reg(1, f"end{n}")
            reached = self.step if inner is None else self.step & inner
            with m.If(self.load | (reached & end)):
                m.d.sync += [left.eq(loop.count - 1), end.eq(loop.count <= 1)]
            with m.Elif(reached):
                m.d.sync += [left.eq(left - 1), end.eq(left == 1)]
            m.d.comb += self.steps[n].eq(reached & ~end)
            more.append(self.steps[n] & loop.group)
            if groups is not None:
                again.append(self.steps[n] & groups & ~loop.group)
            groups = loop.group if groups is None else groups | loop.group
            inner = end if inner is None else inner & end
        m.d.comb += self.last.eq(inner)
        group = reg(self.group.shape(), "group_now")
        with m.If(self.load | Cat(again).any()):
            m.d.sync += group.eq(0)
        with m.Elif(Cat(more).any()):
            m.d.sync += group.eq(group + 1)
        m.d.comb += [
            self.group.eq(group),
            self.turns.eq(Cat(more).any() | (Cat(again).any() & (group != 0))),
        ]
        return m


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

    A place is there LATENCY cycles after it was stepped to: the row times the pitch is a product.
    Steps may follow each other in every cycle, the first in the cycle after ``load``.
    """

    LATENCY = LowProduct.LATENCY + 1

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
        row = self._row(m)
        position = reg(self.addr.shape(), "position")
        with m.If(self.load):
            m.d.sync += position.eq(0)
        with m.Elif(self.steps.any()):
            m.d.sync += position.eq(position + self._chosen([s.position for s in self.strides]))

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
            self.bank.eq(delay_line(m, row[:bits], self.LATENCY, "bank_late", data=True)),
        ]
        return m

    def _chosen(self, values: list[Value]) -> Value:
        """That of the loop which steps."""
        value = values[0]
        for n in range(1, OUTPUT_LEVELS):
            value = Mux(self.steps[n], values[n], value)
        return value

    def _row(self, m: Module) -> Value:
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
        stride = Signal(signed(len(row)), name="stride")
        m.d.comb += [
            stride.eq(self._chosen([s.row for s in self.strides])),
            near.eq(row + stride),
            far.eq(row + self._chosen(around)),
        ]
        with m.If(self.load):
            m.d.sync += row.eq(self.first)
        with m.Elif(self.steps.any()):
            # Backwards: around the ring where that is below row 0. Forwards: where it is not.
            m.d.sync += row.eq(Mux(Mux(stride < 0, near < 0, far >= 0), far, near))
        return row
