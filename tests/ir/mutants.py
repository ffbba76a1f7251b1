"""Faults in hwgen/ir that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "golden forgets the pivot",
        "hwgen/ir/ops/requantize.py",
        "return np.where(x >= chosen(self.pivot), chosen(self.bias), chosen(self.below))",
        "return chosen(self.bias)",
        ("tests/passes/test_random.py",),
    ),
    Mutation(
        "golden pads at the other side",
        "hwgen/ir/ops/_spatial.py",
        "pads.append((total // 2, total - total // 2))",
        "pads.append((total - total // 2, total // 2))",
        ("tests/ir/test_golden_loops.py",),
    ),
)
