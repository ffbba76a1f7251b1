"""Cast against exact fractions, element by element."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from tests.numeric.test_exhaustive import fitted, rounded

S9 = QType(True, 9, 3, Rounding.FLOOR, Overflow.WRAP)


@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("rounding", list(Rounding))
def test_every_element_by_its_own_type(rounding: Rounding, overflow: Overflow) -> None:
    rng = Random(f"{rounding} {overflow}")
    types = tuple(
        QType(rng.random() < 0.5, rng.randint(1, 6), rng.randint(-1, 5), rounding, overflow)
        for _ in range(4)
    )
    shape = (2, 3, 2)
    values = np.random.default_rng(1)
    index = values.integers(-1, 4, (2, 1, 2))
    x = values.integers(-256, 256, (50, *shape))
    op = ops.Cast(types, index)
    edge = Tensor("x", shape, S9)
    y, got = op.infer("y", [edge]), op.golden([x], [edge])
    for place in np.ndindex(x.shape):
        n = int(np.broadcast_to(index, shape)[place[1:]])
        if n < 0:
            assert got[place] == 0
            continue
        qtype = types[n]
        real = Fraction(int(x[place]), 8)
        code = fitted(rounded(real * Fraction(2) ** qtype.frac, rounding), qtype)
        assert Fraction(int(got[place])) / 2**y.type.frac == code / Fraction(2) ** qtype.frac
    low, high = y.range
    assert low <= got.min() and got.max() <= high
    assert y.type.min <= low and high <= y.type.max


@pytest.mark.parametrize(
    ("types", "index", "why"),
    [
        ([S9, QType(True, 9, 3, Rounding.CEIL, Overflow.WRAP)], [0], "share"),
        ([S9], [1], "outside -1..0"),
        ([S9], [-2], "outside -1..0"),
        ([S9], [0, 0, 0], "shape"),
        ([QType(True, 8, 0, S9.rounding, S9.overflow, scale=0.3)], [0], "without scales"),
    ],
)
def test_refuses(types: list[QType], index: list[int], why: str) -> None:
    with pytest.raises(UserError, match=why):
        ops.Cast(tuple(types), np.array(index)).infer("y", [Tensor("x", (2, 2), S9)])
