"""Faults in hwgen/gateware/engine/memory that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "a ring does not turn behind the first bank of a transfer",
        "hwgen/gateware/engine/memory/row_walker.py",
        'place["turns"].eq(now["first"][2:] + 1 == now["ring"][2:])',
        'place["turns"].eq(0)',
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
    Mutation(
        "store takes a bank from second",
        "hwgen/gateware/engine/memory/feature_memory.py",
        "store.ready.eq(~taps[store.bank] & ~meets)",
        "store.ready.eq(~taps[store.bank])",
        ("tests/gateware/engine/memory/test_feature_memory.py",),
    ),
    Mutation(
        "a word from an odd one on ends in the one before",
        "hwgen/gateware/engine/memory/feature_memory.py",
        "self.even = (line[1:] + line[0])[: len(line) - 1]",
        "self.even = line[1:]",
        ("tests/gateware/engine/memory/test_feature_memory.py",),
    ),
    Mutation(
        "a row's last beat is moved whole",
        "hwgen/gateware/engine/memory/row_walker.py",
        "return Mux(first, from_skip, ~0) & Mux(last, to_end, ~0)",
        "return Mux(first, from_skip, ~0)",
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
    Mutation(
        "a unit takes a write again while others wait",
        "hwgen/gateware/engine/memory/broadcast.py",
        "self.i.en & self.units[n] & ~took[n]",
        "self.i.en & self.units[n]",
        ("tests/gateware/engine/compute/test_several_tile_units.py",),
    ),
    Mutation(
        "a write ends with the first unit that takes it",
        "hwgen/gateware/engine/memory/broadcast.py",
        "(~self.units | took | Cat(port.ready for port in self.o)).all()",
        "(self.units & (took | Cat(port.ready for port in self.o))).any()",
        ("tests/gateware/engine/compute/test_several_tile_units.py",),
    ),
    Mutation(
        "units that a write is not for hold it up",
        "hwgen/gateware/engine/memory/broadcast.py",
        "(~self.units | took | Cat(",
        "(took | Cat(",
        ("tests/gateware/engine/compute/test_several_tile_units.py",),
    ),
    Mutation(
        "a load goes on while its memory lets it wait",
        "hwgen/gateware/engine/memory/load.py",
        "writes.o.ready.eq(~to_features | port.ready)",
        "writes.o.ready.eq(1)",
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
    Mutation(
        "a load of tables stays at one word",
        "hwgen/gateware/engine/memory/load.py",
        "word_ends.eq((part_now == row.last_part) | (row.target == Target.TABLES))",
        "word_ends.eq(part_now == row.last_part)",
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
    Mutation(
        "a load is finished before it can be read",
        "hwgen/gateware/engine/memory/load.py",
        'delay_line(m, leaves & here.final, self.SETTLE, "settle")',
        'delay_line(m, leaves & here.final, self.SETTLE - 1, "settle")',
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
    Mutation(
        "a beat goes to the units of the row behind it",
        "hwgen/gateware/engine/memory/load.py",
        "self.units.eq(here.units),",
        "self.units.eq(row.units),",
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
    Mutation(
        "a store reads on while its memory lets it wait",
        "hwgen/gateware/engine/memory/store.py",
        "reads.o.ready.eq(port.ready)",
        "reads.o.ready.eq(1)",
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
    Mutation(
        "a store takes a word that did not come",
        "hwgen/gateware/engine/memory/store.py",
        'delay_line(m, port.en & port.ready, READ_LATENCY, "read")',
        'delay_line(m, port.en, READ_LATENCY, "read")',
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
    Mutation(
        "a store reads a row's first beat each time",
        "hwgen/gateware/engine/memory/store.py",
        "place.eq(Mux(first, row.start, following))",
        "place.eq(row.start)",
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
    Mutation(
        "a store reads from the units of those before",
        "hwgen/gateware/engine/memory/store.py",
        "self.units.eq(read.units)",
        "self.units.eq(row.units)",
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
    Mutation(
        "a program is read up to the image's end",
        "hwgen/gateware/engine/memory/dma.py",
        "Mux(ends_early, self.program_end, self.limit)",
        "self.limit",
        ("tests/gateware/engine/fetch/test_fetcher.py",),
    ),
    Mutation(
        "a row of a load is asked for without room for its request",
        "hwgen/gateware/engine/memory/load.py",
        "room.eq(requests.room & rows.room)",
        "room.eq(rows.room)",
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
)
