"""Assertions inside components: what they promise to the queues and memories within them.

``watching()`` makes every queue, memory and counter that is elaborated under it carry its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from amaranth.hdl import Assert, Module, Signal

from hwgen.gateware.common.counter import Counter
from hwgen.gateware.common.fifo import CreditFifo
from hwgen.gateware.common.memory import SimpleDualPort


def counter_holds(m: Module, counter: Counter) -> None:
    """The count is in range, and ``last`` says what it should."""
    if counter.length > 1:
        m.d.comb += [
            Assert(counter.value < counter.length),
            Assert(counter.last == (counter.value == counter.length - 1)),
        ]


def memory_holds(m: Module, ram: SimpleDualPort) -> None:
    """Addresses are inside."""
    with m.If(ram.w_en):
        m.d.comb += Assert(ram.w_addr < ram.depth)
    # A memory that forwards may be asked beyond its words where nobody uses the answer.
    if not ram.forwards:
        with m.If(ram.r_en):
            m.d.comb += Assert(ram.r_addr < max(2, ram.depth))


def queue_holds(m: Module, fifo: CreditFifo) -> None:
    """Slots are reserved before they are filled, entries freed before or as they leave."""
    pop = fifo.o.valid & fifo.o.ready
    pending = Signal(range(fifo.depth + 2), name="pending")  # slots taken and not yet filled
    m.d.sync += pending.eq(pending + fifo.take - fifo.push)
    with m.If(fifo.take):
        m.d.comb += Assert(fifo.room)
    with m.If(fifo.push):
        m.d.comb += Assert((pending != 0) | fifo.take)
    if fifo.early:
        owed = Signal(name="owed")  # freed and not yet taken
        m.d.sync += owed.eq(owed + fifo.free - pop)
        with m.If(pop):
            m.d.comb += Assert(owed | fifo.free)
        with m.If(owed):
            m.d.comb += Assert(pop)
        with m.If(fifo.free):
            m.d.comb += Assert(fifo.level > owed)


@contextmanager
def watching(queues: bool = True) -> Iterator[list[Counter]]:
    """All memories, and queues, elaborated inside carry assertions; gives the counters made."""
    counters: list[Counter] = []
    with pytest.MonkeyPatch.context() as patch:
        made = Counter.__init__

        def note(self: Counter, *arguments, **named) -> None:
            made(self, *arguments, **named)
            counters.append(self)

        patch.setattr(Counter, "__init__", note)
        _watch(patch, SimpleDualPort, memory_holds)
        if queues:
            _watch(patch, CreditFifo, queue_holds)
        yield counters


def _watch(patch: pytest.MonkeyPatch, kind: type, holds) -> None:
    original = kind.elaborate

    def elaborate(self, platform):
        m = original(self, platform)
        holds(m, self)
        return m

    patch.setattr(kind, "elaborate", elaborate)
