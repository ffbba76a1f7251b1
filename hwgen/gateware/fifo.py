"""The queue at the end of every pipeline: a FIFO whose slots are reserved ahead."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Shape, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .counter import Counter, datum, index_shape
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

    Members
    -------
    take (in), room (out), push (in), data (in), o (out stream), level (out): entries stored;
    free (in), where ``early``.

    An entry pushed in cycle t is valid at ``o`` in t+1; a slot freed in t counts as room in t+1.
    A latency of L cycles from take to push needs L+2 entries for one beat a cycle.
    """

    def __init__(self, shape, depth: int, early: bool = False) -> None:
        if depth < 1:
            raise ValueError(f"a FIFO has at least 1 entry, got {depth}")
        self.depth, self.shape, self.early = depth, shape, early
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
        head = _ring_buffer(m, self.depth, self.shape, self.push, self.data, pop)
        m.d.comb += self.o.payload.eq(head)
        return m


def _ring_buffer(m: Module, depth: int, shape, push: Value, data, pop: Value):
    """Storage of a FIFO; returns its head."""
    if depth == 1:
        cell = datum(shape, "cell")
        with m.If(push):
            m.d.sync += cell.eq(data)
        return cell
    tail = Counter(depth, "tail")
    with m.If(push):
        tail.step(m)
    # What will be the head in the next cycle is known early: a block RAM reads it in this one.
    coming = Counter(depth, "coming", start=1)
    head = Signal.like(coming.value, name="head", init=0)
    following = Mux(pop, coming.value, head)
    m.d.sync += head.eq(following)
    with m.If(pop):
        coming.step(m)
    if depth <= FEW:
        m.submodules.storage = storage = memory.Memory(shape=shape, depth=depth, init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(push),
            write.addr.eq(tail.value),
            write.data.eq(data),
            read.addr.eq(head),
        ]
        return read.data
    block = SimpleDualPort(Shape.cast(shape).width, depth, forwards=True)
    m.submodules.storage = block
    m.d.comb += [
        block.w_en.eq(push),
        block.w_addr.eq(tail.value),
        block.w_data.eq(data),
        block.r_en.eq(1),
        block.r_addr.eq(following),
    ]
    return block.r_data
