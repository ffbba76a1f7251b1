"""Faults in hwgen/plan/dataflow that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "plan: buffers one entry less",
        "hwgen/plan/dataflow/buffers.py",
        "return _set(units, index, field, high)",
        "return _set(units, index, field, high - 1)",
        ("tests/plan/dataflow/test_branches.py",),
    ),
)
