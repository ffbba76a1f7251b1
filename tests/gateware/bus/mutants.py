"""Faults in hwgen/gateware/bus that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "a short frame is not filled up",
        "hwgen/gateware/bus/axis.py",
        'm.next = "FILL"',
        'm.next = "PASS"',
        ("tests/gateware/bus/test_axis.py",),
    ),
    Mutation(
        "dropped TLAST",
        "hwgen/gateware/bus/axis.py",
        "self.tlast.eq(count.last & pixel.last)",
        "self.tlast.eq(count.last & pixel.last & 0)",
        ("tests/gateware/bus/test_axis.py",),
    ),
    Mutation(
        "TKEEP always full",
        "hwgen/gateware/bus/axis.py",
        "Mux(count.last, partial, full)",
        "full",
        ("tests/gateware/bus/test_axis.py",),
    ),
    Mutation(
        "a request's first burst is too long",
        "hwgen/gateware/bus/axi.py",
        "length.eq(Mux(single, self._last[:beats], self.max_beats - 1) - self._first)",
        "length.eq(Mux(single, self._last[:beats], self.max_beats - 1))",
        ("tests/gateware/bus/test_read_master.py",),
    ),
    Mutation(
        "stores go below what may be written",
        "hwgen/gateware/bus/axi.py",
        "outside.eq(self._below | (self._end > self.limit))",
        "outside.eq(self._end > self.limit)",
        (
            "tests/gateware/bus/test_write_master.py",
            "tests/formal/test_axi.py",
        ),
    ),
    Mutation(
        "a burst is read without room for it",
        "hwgen/gateware/bus/read_master.py",
        "room.eq(free >= 2 * self.max_beats)",
        "room.eq(free >= self.max_beats)",
        ("tests/gateware/bus/test_read_master.py",),
    ),
    Mutation(
        "a burst is written before its data are there",
        "hwgen/gateware/bus/write_master.py",
        "complete.eq(waiting >= 0)",
        "complete.eq(waiting >= -4)",
        ("tests/gateware/bus/test_write_master.py",),
    ),
    Mutation(
        "a burst that waits for its data is not inside",
        "hwgen/gateware/bus/write_master.py",
        "~splitter.busy & ~offered)",
        "~splitter.busy)",
        ("tests/gateware/bus/test_write_master.py",),
    ),
    Mutation(
        "a beat is lost before a channel that waits",
        "hwgen/gateware/bus/write_master.py",
        "beats.o.ready.eq(bursts.o.valid & leaving.room)",
        "beats.o.ready.eq(bursts.o.valid)",
        ("tests/gateware/bus/test_write_master.py",),
    ),
)
