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
    Mutation(
        "results of a vector come every cycle",
        "hwgen/plan/dataflow/events/recurrences.py",
        "m[state] = time + every",
        "m[state] = time + 1",
        ("tests/plan/test_host.py",),
    ),
)
