"""Faults in hwgen/passes that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "zero point of the weights' sum forgotten",
        "hwgen/passes/zero_points.py",
        "constant = -zero * op.weights.sum(axis=axes)",
        "constant = 0 * op.weights.sum(axis=axes)",
        ("tests/passes/test_random.py",),
    ),
)
