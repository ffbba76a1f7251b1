"""Faults in hwgen/gateware/engine/fetch that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "a descriptor goes a count too early",
        "hwgen/gateware/engine/fetch/dispatcher.py",
        'ahead.eq(self.counts[n] - getattr(fields, f"wait_{unit}"))',
        'ahead.eq(self.counts[n] - getattr(fields, f"wait_{unit}") + 1)',
        ("tests/gateware/engine/fetch/test_fetcher.py",),
    ),
    Mutation(
        "what is offered to a unit is withdrawn",
        "hwgen/gateware/engine/fetch/dispatcher.py",
        "reached.eq(~leaves & (reached | (whole & self._reached(m, fields))))",
        "reached.eq(~leaves & whole & self._reached(m, fields))",
        ("tests/formal/test_dispatch.py",),
    ),
    Mutation(
        "a program ends before its units",
        "hwgen/gateware/engine/fetch/dispatcher.py",
        'self.finished.eq(ended & now["all_empty"] & now["all_idle"])',
        'self.finished.eq(ended & now["all_empty"])',
        ("tests/gateware/engine/fetch/test_fetcher.py",),
    ),
    Mutation(
        "a program whose units are at work is stalled",
        "hwgen/gateware/engine/fetch/dispatcher.py",
        '(blocked | ended) & now["all_wait"] & now["all_idle"]',
        '(blocked | ended) & now["all_wait"]',
        ("tests/gateware/engine/fetch/test_fetcher.py",),
    ),
    Mutation(
        "several units share the queue of one",
        "hwgen/gateware/engine/fetch/dispatcher.py",
        "self.tiles * QUEUE[unit]",
        "QUEUE[unit]",
        (
            "tests/archs/tiled/test_cycles.py"
            "::test_layers_on_several_tile_units_take_as_many_cycles",
        ),
    ),
    Mutation(
        "slots are asked for without room",
        "hwgen/gateware/engine/fetch/prefetch.py",
        "Mux(chunk_fits, free >= CHUNK, slot_fits & (free != 0))",
        "Mux(chunk_fits, free != 0, slot_fits & (free != 0))",
        ("tests/gateware/engine/fetch/test_fetcher.py",),
    ),
    Mutation(
        "a run ends while masters are at work",
        "hwgen/gateware/engine/fetch/fetcher.py",
        'm.State("DRAIN"), m.If(self.masters_idle):',
        'm.State("DRAIN"), m.If(self.masters_idle | self.stop):',
        ("tests/gateware/engine/fetch/test_fetcher.py",),
    ),
)
