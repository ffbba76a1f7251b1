"""What a softmax from a table asks of its table."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding

X = Tensor("x", (100,), QType(True, 2, 0, Rounding.FLOOR, Overflow.SATURATE))
BYTE = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-8, -128)
MOST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize(
    ("powers", "steps", "message"),
    [
        ([1, 0.5, 0.2], None, r"powers holds \(3,\), 4 are needed"),
        ([2, 1, 0.5, 0.2], None, "at least 1, and 1 without steps"),
        ([0.9, 0.5, 0.2, 0.1], 256, "at least 1, and 1 without steps"),
        ([1, 1.5, 0.2, 0.1], 256, "powers must be from 0 to the first one"),
        ([1, -0.5, 0.2, 0.1], 256, "powers must be from 0 to the first one"),
        ([1, np.nan, 0.2, 0.1], None, "powers must be from 0 to the first one"),
        ([np.inf, 1, 0.2, 0.1], 256, "powers must be from 0 to the first one"),
        ([MOST / 99, 1, 1, 1], 256, "100 times the first of powers is more than float32 holds"),
    ],
)
def test_tables_that_can_not_be(powers: list[float], steps: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ops.SoftmaxTable(np.array(powers), BYTE, steps).infer("y", [X])


@pytest.mark.parametrize(("first", "steps"), [(MOST / 102, 1), (MOST / 102, 256), (1, 1 << 24)])
def test_the_largest_tables(first: float, steps: int) -> None:
    """Sums of them are still numbers, and nothing else is computed in float32."""
    op = ops.SoftmaxTable(np.array([first, 1, 0.5, 0]), BYTE, steps)
    op.infer("y", [X])
    with np.errstate(all="raise", under="ignore"):
        assert op.golden([np.full((1, 100), 1)], [X]).tolist() == [
            [min(127, round(steps / 100) - 128)] * 100
        ]
