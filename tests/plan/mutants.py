"""Faults in hwgen/plan that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "softmax counts a difference too many",
        "hwgen/plan/exponentials.py",
        "if difference <= counted else 0",
        "if difference <= counted + 1 else 0",
        ("tests/gateware/common/test_softmax.py",),
    ),
    Mutation(
        "event model forgets a cycle",
        "hwgen/plan/latency.py",
        "return 3 + adder_tree(simd)",
        "return 2 + adder_tree(simd)",
        ("tests/gateware/common/test_mac.py",),
    ),
)
