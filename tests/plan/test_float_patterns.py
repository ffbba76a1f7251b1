"""The tables of a softmax in float32 are NumPy's, which golden computes with."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.ir import ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan.float_patterns import INFINITE, dividends_of, powers_of, times

BYTE = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 1 / 256, -128)


def test_products_are_rounded_to_even() -> None:
    """Any floats, the smallest among them, times integers of up to 24 bits, ties among them."""
    rng = np.random.default_rng(0)
    patterns = np.concatenate(
        [rng.integers(0, INFINITE, 2000), rng.integers(0, 1 << 25, 2000), np.arange(40)]
    ).astype(np.uint32)
    sizes = rng.integers(0, 25, patterns.size)
    factors = np.where(sizes < 3, 3, (rng.random(patterns.size) * 2.0**sizes).astype(int) + 1)
    with np.errstate(over="ignore"):
        wanted = patterns.view(np.float32) * factors.astype(np.float32)
    finite = np.isfinite(wanted)
    got = [times(int(p), int(f)) for p, f in zip(patterns[finite], factors[finite], strict=True)]
    assert got == wanted[finite].view(np.uint32).tolist()
    for pattern, factor in zip(patterns[~finite], factors[~finite], strict=True):
        with pytest.raises(ValueError, match="more than a float32 holds"):
            times(int(pattern), int(factor))
    assert finite.sum() > 3000 and (~finite).any()


def test_tables() -> None:
    """Exponentials as they are, a zero with a sign too; dividends only where there are steps."""
    values = np.array([1.5, 0.7, 1e-40, -0.0], np.float32)
    op = ops.SoftmaxTable(values, BYTE, 255)
    assert powers_of(op) == (*values[:3].view(np.uint32).tolist(), 0)
    assert dividends_of(op) == tuple(abs(values * np.float32(255)).view(np.uint32).tolist())
    assert dividends_of(ops.SoftmaxTable(values, BYTE)) is None
