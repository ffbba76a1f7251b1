"""Faults in hwgen/archs/dataflow that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "padding holds zero, not the zero point",
        "hwgen/archs/dataflow/lower.py",
        "pad_value=_operand(graph, unit.layers[0]).type.zero_point,",
        "pad_value=0,",
        ("tests/archs/dataflow/test_fuzz.py::test_more",),
    ),
    Mutation(
        "a slice keeps a row too many",
        "hwgen/archs/dataflow/lower.py",
        "unit.kept, unit.fifo",
        "((True, *unit.kept[0][1:]), *unit.kept[1:]), unit.fifo",
        ("tests/archs/dataflow/test_fuzz.py::test_more",),
    ),
)
