"""Faults in hwgen/gateware/engine that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "a start is taken while a program runs",
        "hwgen/gateware/engine/csr.py",
        "self.start.eq(starts & ~running)",
        "self.start.eq(starts)",
        ("tests/gateware/engine/test_csr.py",),
    ),
)
