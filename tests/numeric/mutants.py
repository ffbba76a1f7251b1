"""Faults in hwgen/numeric that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "golden double rounding rounds once",
        "hwgen/numeric/scaling.py",
        "high = round_shift((values << left) * mult, FIXED_FRAC, Rounding.HALF_UP)",
        "high = round_shift((values << left) * mult, FIXED_FRAC, Rounding.FLOOR)",
        ("tests/numeric/test_scaling.py",),
    ),
    Mutation(
        "softmax forgets the bits over one",
        "hwgen/numeric/gemmlowp.py",
        "over_unit + (31 - width)",
        "31 - width",
        ("tests/numeric/test_gemmlowp.py",),
    ),
    Mutation(
        "golden without overflow",
        "hwgen/numeric/arith.py",
        ("    return np.clip(values, low, high)\n\n\ndef _scale"),
        ("    return values\n\n\ndef _scale"),
        ("tests/numeric/test_edges.py",),
    ),
    Mutation(
        "golden wraps where it saturates",
        "hwgen/numeric/arith.py",
        "    if qtype.overflow is Overflow.WRAP:",
        "    if qtype.overflow is not None:",
        ("tests/numeric/test_edges.py",),
    ),
    Mutation(
        "golden half even is half odd",
        "hwgen/numeric/arith.py",
        "(tie & (quotient % 2 != 0)),",
        "(tie & (quotient % 2 == 0)),",
        ("tests/numeric/test_edges.py",),
    ),
    Mutation(
        "golden saturates symmetric types at their minimum",
        "hwgen/numeric/arith.py",
        ("    low, high = qtype.low, qtype.max\n"),
        ("    low, high = qtype.min, qtype.max\n"),
        ("tests/numeric/test_edges.py",),
    ),
)
