"""Tables that stand for functions of one and of two bytes, carried out in plain integers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hwgen.contract.isa import Round
from hwgen.plan.tiled.network.tables import Tables, of_one, of_two, of_window
from tests.helpers.result_model import rounded

BYTES = np.arange(-128, 128)


def result(tables: Tables, first: int, second: int | None = None) -> int:
    """What the engine makes of two places in the tables."""
    total = int(tables.first[first])
    if second is not None:
        assert tables.other is not None
        total += int(tables.other[second])
    how = Round.HALF_EVEN if tables.half_even else Round.FLOOR
    value = rounded(total, 20, how) + tables.offset
    return min(max(value, tables.low), tables.high)


def sums(
    scales: tuple[float, float],
    zeros: tuple[int, int, int],
    rule: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Results of all pairs of bytes of ``a * x + b * y``, rounded and clipped to bytes."""
    a, b = (scale * (BYTES - zero) for scale, zero in zip(scales, zeros, strict=False))
    return np.clip(rule(a[:, None] + b) + zeros[2], -128, 127).astype(np.int64)


def away(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.floor(np.abs(values) + 0.5)


@pytest.mark.parametrize(
    ("rule", "scales", "half_even"),
    [
        (np.floor, (0.70711, 1.29099), False),
        (np.rint, (0.61803, 2.7182), False),
        (away, (3.3, 0.02), False),
        (np.rint, (0.5, 0.5), True),
        (np.rint, (0.25, 1.5), True),
        (away, (0.5, 0.5), False),
    ],
)
@pytest.mark.parametrize("zeros", [(0, 0, 0), (3, -128, 7)])
def test_sums_of_two_scales(
    rule: Callable[[np.ndarray], np.ndarray], scales: tuple[float, float], half_even: bool,
    zeros: tuple[int, int, int],
) -> None:  # fmt: skip
    results = sums(scales, zeros, rule)
    tables = of_two(results, zeros[2], "x")
    assert tables is not None and tables.half_even is half_even and tables.second == "x"
    for first in range(0, 256, 3):
        got = [result(tables, first, second) for second in range(256)]
        assert got == results[first].tolist()


def test_a_product_is_no_sum() -> None:
    assert of_two(np.clip(BYTES[:, None] * BYTES // 64, -128, 127), 0, "x") is None


def test_a_function_of_a_byte() -> None:
    results = np.random.default_rng(1).integers(-128, 256, 256)
    tables = of_one(results)
    assert [result(tables, n) for n in range(256)] == results.tolist()


@pytest.mark.parametrize("low", [-3000, -700, 0, 99])
def test_a_function_of_more_than_a_byte_that_changes_within_256(low: int) -> None:
    """What lies outside is clipped to the ends, and a byte is what is left of the integer."""
    values = np.arange(low, low + 2500)
    results = np.clip((values - low - 400) // 3, 0, 80)
    found = of_window(results, low)
    assert found is not None
    tables, first = found
    got = [result(tables, min(max(int(v), first), first + 255) & 255) for v in values]
    assert got == results.tolist()
    assert of_window(np.clip((values - low) // 4, 0, 80), low) is None
    constant = of_window(np.full(40, 7), low)
    assert constant is not None and result(constant[0], low & 255) == 7
