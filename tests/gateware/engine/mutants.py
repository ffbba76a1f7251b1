"""Faults in hwgen/gateware/engine that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "a start is taken while a program runs",
        "hwgen/gateware/engine/csr.py",
        "self.start.eq(starts & ~running & ours)",
        "self.start.eq(starts & ours)",
        ("tests/gateware/engine/test_csr.py",),
    ),
    Mutation(
        "half of the identity of a program's engine counts",
        "hwgen/gateware/engine/csr.py",
        "ours.eq(Cat(made_for.values()) == self.model_hash)",
        'ours.eq(made_for["ENGINE_HI"] == self.model_hash >> 32)',
        ("tests/gateware/engine/test_csr.py",),
    ),
)
