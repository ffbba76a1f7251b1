"""The queue gives what it got, in order, holds what it offers and never loses a reserved slot.

Proven for runs of any length, by induction: one entry of the queue, any of them, is followed from
its push to where it must come out.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Elaboratable, Fragment, Module, Mux, Signal, unsigned

from hwgen.gateware.common import fifo as fifo_module
from hwgen.gateware.common.fifo import CreditFifo

from .prover import prove, signals_of

WIDTH = 2


class Proof(Elaboratable):
    """A queue, its surroundings and a model; ``depth`` as the queue's, ``early``, ``late`` and
    ``registered`` too."""

    def __init__(
        self,
        depth: int,
        early: bool,
        block_ram: bool,
        registered: bool = False,
        late: bool = False,
    ) -> None:
        self.depth, self.early, self.block_ram = depth, early, block_ram
        self.registered, self.late = registered, late
        self.take, self.push, self.ready, self.free = (
            Signal(name=name) for name in ("take", "push", "ready", "free")
        )
        self.data, self.mark = Signal(WIDTH, name="data"), Signal(name="mark")

    @property
    def ports(self) -> list[Signal]:
        return [self.take, self.push, self.ready, self.free, self.data, self.mark]

    def elaborate(self, platform):
        m = Module()
        fifo = CreditFifo(
            unsigned(WIDTH), self.depth, self.early, self.late, registered=self.registered
        )
        fifo._MustUse__used = True  # as its parts, which the proof looks into
        inner = fifo.elaborate(None)
        ports = self._memory_ports(inner)
        fragment = Fragment.get(inner, None)
        m.submodules.fifo = fragment
        state = signals_of(fragment)

        counted = range(self.depth + 2)
        level, pending = Signal(counted, name="model_level"), Signal(counted, name="pending")
        pop = Signal(name="pop")
        m.d.comb += [
            pop.eq(fifo.o.valid & fifo.o.ready),
            fifo.take.eq(self.take & fifo.room),
            fifo.push.eq(self.push & (fifo.take | (pending != 0))),
            fifo.data.eq(self.data),
            fifo.o.ready.eq(self.ready),
        ]
        m.d.sync += [
            level.eq(level + fifo.push - pop),
            pending.eq(pending + fifo.take - fifo.push),
        ]
        owed = Signal(name="owed")
        if self.early:
            m.d.comb += [
                fifo.free.eq(self.free & (level > owed)),
                Assume(~owed | self.ready),
                Assume(~self.ready | owed | fifo.free),
                # The consumer names the slot it leaves; what it has not named stays.
            ]
            m.d.sync += owed.eq(owed + fifo.free - pop)
        held = Signal(range(2 * self.depth + 4), name="held")
        m.d.comb += [
            held.eq(level + pending - owed + (state["freed"] if self.late else 0)),
            Assert(fifo.level == level),
            Assert(fifo.o.valid == (level != 0)),
            Assert(held <= self.depth),
            Assert(fifo.room == (held < self.depth)),
            Assert(state["reserved"] == held),
            Assert(level <= self.depth),
            Assert(owed <= level),
        ]
        self._follow(m, fifo, level, pop, state, ports)
        self._hold(m, fifo)
        return m

    def _memory_ports(self, inner: Module) -> list:
        """Asynchronous read ports for the proof, one for each place of the memory."""
        if self.depth == 1 or self._is_pair:
            return []
        storage = inner.submodules.storage
        if self.block_ram:
            opened = storage.elaborate(None)
            storage.elaborate = lambda platform: opened
            storage = opened.submodules.mem
        return [storage.read_port(domain="comb") for _ in range(self._places)]

    @property
    def _is_pair(self) -> bool:
        """Two registers instead of a memory, which are not left early."""
        return self.depth == 2 and not self.early

    @property
    def _places(self) -> int:
        """Places of the memory: a shallow queue has its first entry beside it."""
        return self.depth - (self.registered and not self.block_ram and self.depth > 2)

    def _follow(self, m: Module, fifo: CreditFifo, level, pop, state, ports) -> None:
        """One entry, from its push to its head of the queue."""
        followed, value = Signal(name="followed"), Signal(WIDTH, name="value")
        ahead = Signal(range(self.depth + 2), name="ahead")
        with m.If(~followed & self.mark & fifo.push):
            m.d.sync += [followed.eq(1), value.eq(self.data), ahead.eq(level - pop)]
        with m.Elif(followed & pop):
            m.d.sync += ahead.eq(ahead - 1)
            with m.If(ahead == 0):
                m.d.sync += followed.eq(0)
        with m.If(followed):
            m.d.comb += Assert(ahead < level)
        with m.If(followed & (ahead == 0)):
            m.d.comb += Assert(fifo.o.payload == value)
        if self._is_pair:
            self._pair(m, state, level, followed & (ahead == 1), value)
        if ports:
            stored = self._stored(m, state, level)
            self._memory(m, state, ports, stored, followed, ahead - (level - stored), value)
            if self.block_ram:
                self._waiting(m, state, followed, ahead, value)

    def _pair(self, m: Module, state, level, waits, value) -> None:
        """Two registers."""
        first, second = state["first_valid"], state["second_valid"]
        m.d.comb += [Assert(level == first + second), Assert(first | ~second)]
        with m.If(waits):
            m.d.comb += Assert(state["second"] == value)

    def _stored(self, m: Module, state, level):
        """How many entries are in the memory."""
        if self.block_ram:
            return self._block_ram(m, state, level)
        if self._places == self.depth:
            return level
        first, count = state["first_valid"], state["count"]
        m.d.comb += [
            Assert(level == count + first),
            Assert(state["stored"] == (count != 0)),
            Assert(first | (count == 0)),
        ]
        return count

    def _block_ram(self, m: Module, state, level):
        """Where the entries of a deep queue are: some in registers, one at the memory, the rest."""
        first, output, count = state["first_valid"], state["output_valid"], state["count"]
        if not self.registered:
            m.d.comb += [
                Assert(level == count + first + output),
                Assert(state["stored"] == (count != 0)),
                Assert((level != 0) == (first | output)),
                Assert((count == 0) | output | first),
            ]
            return count
        second = state["second_valid"]
        m.d.comb += [
            Assert(level == count + first + second + output),
            Assert(state["stored"] == (count != 0)),
            Assert(first | ~(second | output)),
            Assert((count == 0) | second | output),
        ]
        return count

    def _waiting(self, m: Module, state, followed, ahead, value) -> None:
        """The followed entry behind the head, where it is not in the memory."""
        first, output = state["first_valid"], state["output_valid"]
        if not self.registered:
            with m.If(followed & (ahead == 1) & first & output):
                m.d.comb += Assert(state["r_data"] == value)
            return
        second = state["second_valid"]
        with m.If(followed & (ahead == 1) & second):
            m.d.comb += Assert(state["second"] == value)
        with m.If(followed & output & (ahead == Mux(second, 2, 1))):
            m.d.comb += Assert(state["r_data"] == value)

    def _memory(self, m: Module, state, ports, stored, followed, place, value) -> None:
        """The pointers are apart by the entries between them; the followed entry is in place."""
        head, tail = state["head"], state["tail"]
        for name in ("head", "tail"):
            m.d.comb += [
                Assert(state[name] < self._places),
                Assert(state[f"{name}_last"] == (state[name] == self._places - 1)),
            ]
        apart = Signal(range(2 * self._places), name="apart")
        m.d.comb += apart.eq(head + stored)
        m.d.comb += Assert(tail == Mux(apart >= self._places, apart - self._places, apart))
        for index, port in enumerate(ports):
            at = Signal(range(2 * self._places), name=f"at{index}")
            m.d.comb += [
                at.eq(head + index),
                port.addr.eq(Mux(at >= self._places, at - self._places, at)),
            ]
            with m.If(followed & (place == index) & (index < stored)):
                m.d.comb += Assert(port.data == value)

    def _hold(self, m: Module, fifo: CreditFifo) -> None:
        """The stream contract at the output."""
        waits, last = Signal(name="waits"), Signal(WIDTH, name="last_payload")
        m.d.sync += [waits.eq(fifo.o.valid & ~fifo.o.ready), last.eq(fifo.o.payload)]
        with m.If(waits):
            m.d.comb += Assert(fifo.o.valid & (fifo.o.payload == last))


KINDS = pytest.mark.parametrize(
    ("early", "late"),
    ((False, False), (True, False), (False, True)),
    ids=("plain", "early", "late"),
)
REGISTERED = pytest.mark.parametrize("registered", (False, True), ids=("memory", "registered"))


@REGISTERED
@KINDS
@pytest.mark.parametrize("depth", (1, 2, 3, 5))
def test_small_queue(depth: int, early: bool, late: bool, registered: bool, tmp_path: Path) -> None:
    proof = Proof(depth, early, False, registered, late)
    assert prove(proof, proof.ports, 3, tmp_path, "prove") == "PASS"


@REGISTERED
@KINDS
@pytest.mark.parametrize("depth", (3, 5))
def test_deep_queue(
    depth: int, early: bool, late: bool, registered: bool, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(fifo_module, "FEW", 1)
    proof = Proof(depth, early, True, registered, late)
    assert prove(proof, proof.ports, 3, tmp_path, "prove") == "PASS"


def test_a_lost_slot_is_found(tmp_path: Path, monkeypatch) -> None:
    """A queue that believes in one slot more than it has fails."""
    shallow = fifo_module._shallow

    def smaller(m, depth, *rest):
        return shallow(m, depth - 1, *rest)

    monkeypatch.setattr(fifo_module, "_shallow", smaller)
    proof = Proof(3, False, block_ram=False)
    assert prove(proof, proof.ports, 12, tmp_path, "bmc") == "FAIL"
