"""The queue at the end of every pipeline: a FIFO whose slots are reserved ahead."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Shape, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .counter import Counter, index_shape, reg
from .memory import SimpleDualPort

FEW = 16
"""Entries of a queue in a small memory that reads asynchronously; deeper ones are block RAM.

It is the depth of one distributed memory of ECP5 (16 x 4 bits; Lattice FPGA-TN-02204).
"""


class CreditFifo(wiring.Component):
    """FIFO at the end of a pipeline that can not stall.

    A producer raises ``take`` when it puts work into its pipeline, which it may only while
    ``room`` is high; the result arrives later with ``push`` and always finds its slot.

    Parameters
    ----------
    shape : of an entry; depth : entries, at least 1.
    early : the consumer says itself when a slot is free, by ``free``: up to a cycle before it
    takes the entry, which is then read for the last time while its successor is written.
    late : a slot freed in t counts as room in t+2: for a producer far from here.
    registered : the payload comes from a register, for a consumer that decides by what is in it. A
    block RAM gives it late in a cycle (5.6 ns on ECP5); a register and two tables more for each bit
    of a deep queue, a register and one of a shallow one. That of at most two entries always
    does, unless ``early``.
    block : a deep queue is in block RAM however few words it has: of wide ones the fabric would pay
    for all bits.

    Members
    -------
    take (in), room (out), push (in), data (in), o (out stream), level (out): entries stored;
    free (in), where ``early``.

    An entry pushed in cycle t is valid at ``o`` in t+1; a slot freed in t counts as room in t+1.
    A latency of L cycles from take to push needs L+2 entries for one beat a cycle.
    """

    def __init__(
        self,
        shape,
        depth: int,
        early: bool = False,
        late: bool = False,
        registered: bool = False,
        block: bool = False,
    ) -> None:
        if depth < 1:
            raise ValueError(f"a FIFO has at least 1 entry, got {depth}")
        self.depth, self.shape, self.early, self.registered = depth, shape, early, registered
        self.late, self.block = late, block
        super().__init__(
            {
                "take": In(1),
                "room": Out(1),
                "push": In(1),
                "data": In(shape),
                "o": Out(stream.Signature(shape)),
                "level": Out(index_shape(depth + 1)),
            }
            | ({"free": In(1)} if early else {})
        )

    def elaborate(self, platform):
        m = Module()
        pop = Signal()
        reserved = Signal(index_shape(self.depth + 1))
        m.d.comb += pop.eq(self.o.valid & self.o.ready)
        # Room and valid are registers of their own, since handshakes begin with them.
        full = Signal(name="full")
        m.d.comb += self.room.eq(~full)
        free = self.free if self.early else pop
        if self.late:
            freed = Signal(name="freed")
            m.d.sync += freed.eq(free)
            free = freed
        with m.If(self.take != free):
            m.d.sync += [
                reserved.eq(reserved + self.take - free),
                full.eq(self.take & (reserved == self.depth - 1)),
            ]
        with m.If(self.push != pop):
            m.d.sync += [
                self.level.eq(self.level + self.push - pop),
                self.o.valid.eq(self.push | (self.level != 1)),
            ]
        m.d.comb += self.o.payload.eq(self._queue(m, pop))
        return m

    def _queue(self, m: Module, pop: Value):
        """Storage; returns its head."""
        depth, shape, push, data = self.depth, self.shape, self.push, self.data
        if depth == 1:
            cell = reg(shape, "cell")
            with m.If(push):
                m.d.sync += cell.eq(data)
            return cell
        if depth == 2 and not self.early:
            return _pair(m, shape, push, data, pop)
        if depth <= FEW + self.registered:
            shallow = _shallow_registered if self.registered and depth > 2 else _shallow
            return shallow(m, depth, shape, push, data, pop)
        deep = _deep_registered if self.registered else _deep
        return deep(m, depth, shape, push, data, pop, self.block)


def _pair(m: Module, shape, push: Value, data, pop: Value):
    """Two registers, the first of which is the head: fewer tables than a small memory has."""
    width = Shape.cast(shape).width
    first, second = reg(shape, "first"), reg(width, "second")
    first_valid, second_valid = Signal(name="first_valid"), Signal(name="second_valid")
    m.d.sync += [
        first_valid.eq(push | second_valid | (first_valid & ~pop)),
        second_valid.eq(first_valid & ~pop & (push | second_valid)),
    ]
    with m.If(pop | ~first_valid):
        m.d.sync += Value.cast(first).eq(Mux(second_valid, second, data))
    with m.If(~second_valid):
        m.d.sync += second.eq(data)
    return first


def _shallow(m: Module, depth: int, shape, push: Value, data, pop: Value):
    """A small memory that reads asynchronously."""
    tail, head = Counter(depth, "tail"), Counter(depth, "head")
    for counter, step in ((tail, push), (head, pop)):
        with m.If(step):
            counter.step(m)
    m.submodules.storage = storage = memory.Memory(shape=shape, depth=depth, init=[])
    write, read = storage.write_port(), storage.read_port(domain="comb")
    m.d.comb += [
        write.en.eq(push),
        write.addr.eq(tail.value),
        write.data.eq(data),
        read.addr.eq(head.value),
    ]
    return read.data


def _shallow_registered(m: Module, depth: int, shape, push: Value, data, pop: Value):
    """A small memory behind a register for the first entry."""
    width = Shape.cast(shape).width
    first = reg(shape, "first")
    first_valid, stored = Signal(name="first_valid"), Signal(name="stored")
    count = Signal(index_shape(depth), name="count")
    write, read = Signal(name="write"), Signal(name="read")
    free = pop | ~first_valid
    m.d.comb += [read.eq(free & stored), write.eq(push & (stored | ~free))]
    behind = _shallow(m, depth - 1, width, write, data, read)
    m.d.sync += first_valid.eq(push | stored | (first_valid & ~pop))
    with m.If(write != read):
        m.d.sync += [count.eq(count + write - read), stored.eq(write | (count != 1))]
    with m.If(free):
        m.d.sync += Value.cast(first).eq(Mux(stored, behind, data))
    return first


def _ring(m: Module, depth: int, width: int, data, write: Value, read: Value, block: bool):
    """A block RAM as a ring of entries; returns the one read last, and whether more are stored.

    write : ``data`` is stored. read : the oldest one goes to the output, which holds it.
    """
    m.submodules.storage = storage = SimpleDualPort(width, depth, block=block)
    tail, head = Counter(depth, "tail"), Counter(depth, "head")
    count, stored = Signal(index_shape(depth + 1), name="count"), Signal(name="stored")
    m.d.comb += [
        storage.w_en.eq(write),
        storage.w_addr.eq(tail.value),
        storage.w_data.eq(data),
        storage.r_en.eq(read),
        storage.r_addr.eq(head.value),
    ]
    with m.If(write):
        tail.step(m)
    with m.If(read):
        head.step(m)
    with m.If(write != read):
        m.d.sync += [count.eq(count + write - read), stored.eq(write | (count != 1))]
    return storage.r_data, stored


def _deep(m: Module, depth: int, shape, push: Value, data, pop: Value, block: bool):
    """A block RAM whose output register is the head, or the entry after a first one beside it.

    A push goes to the first register where it will be the head in the next cycle, for the memory
    takes two: so the oldest entry is in ``first`` if that is valid, else in the memory's output.
    Taking an entry enables the memory's output; it is not part of an address.
    """
    first, first_valid = reg(shape, "first"), Signal(name="first_valid")
    output_valid = Signal(name="output_valid")
    direct, write, read = Signal(name="direct"), Signal(name="write"), Signal(name="read")
    output, stored = _ring(m, depth, Shape.cast(shape).width, data, write, read, block)
    from_output = pop & ~first_valid
    both, none = first_valid & output_valid, ~first_valid & ~output_valid
    m.d.comb += [
        direct.eq(push & ~stored & (none | (pop & ~both))),
        write.eq(push & ~direct),
        read.eq(stored & (~output_valid | from_output)),
    ]
    m.d.sync += [
        first_valid.eq(direct | (first_valid & ~pop)),
        output_valid.eq(read | (output_valid & ~from_output)),
    ]
    with m.If(direct):
        m.d.sync += first.eq(data)
    return Mux(first_valid, Value.cast(first), output)


def _deep_registered(m: Module, depth: int, shape, push: Value, data, pop: Value, block: bool):
    """A block RAM behind registers for the first two entries, the first of which is the head.

    The memory's output goes to a register before anyone sees it: so a push goes to the register of
    the place that it will have in the next cycle, and from the third place on to the memory. The
    second entry is in ``second`` if that is valid, else in the memory's output.
    """
    width = Shape.cast(shape).width
    first, second = reg(shape, "first"), reg(width, "second")
    first_valid, second_valid, output_valid = (
        Signal(name=f"{name}_valid") for name in ("first", "second", "output")
    )
    to_first, to_second, write, read = (
        Signal(name=name) for name in ("to_first", "to_second", "write", "read")
    )
    output, stored = _ring(m, depth, width, data, write, read, block)
    one = first_valid & ~second_valid & ~output_valid
    two = (second_valid ^ output_valid) & ~stored
    # Behind the second entry there is a place for what leaves the memory.
    moves = pop | ~second_valid
    m.d.comb += [
        to_first.eq(push & (~first_valid | (one & pop))),
        to_second.eq(push & Mux(pop, two, one)),
        write.eq(push & ~to_first & ~to_second),
        read.eq(stored & (~output_valid | moves)),
    ]
    from_output = output_valid & (second_valid == pop)
    m.d.sync += [
        first_valid.eq(push | (first_valid & ~(one & pop))),
        second_valid.eq(to_second | from_output | (second_valid & ~pop)),
        output_valid.eq(read | (output_valid & ~moves)),
    ]
    with m.If(pop | ~first_valid):
        waiting = Mux(output_valid, output, data)
        m.d.sync += Value.cast(first).eq(Mux(second_valid, second, waiting))
    with m.If(moves):
        m.d.sync += second.eq(Mux(from_output, output, data))
    return first
