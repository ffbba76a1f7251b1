"""gemmlowp's functions are near the real ones and as exact as their formats allow.

That they equal gemmlowp's own is what the importers' tests show, integer by integer.
"""

from __future__ import annotations

import numpy as np

from hwgen.numeric import gemmlowp

UNIT = 2.0**-31


def test_exponential() -> None:
    for bits in (4, 5):
        x = np.linspace(-(2.0**bits) + 1e-6, 0, 4001)
        raw = np.rint(x * 2.0 ** (31 - bits)).astype(np.int64)
        got = gemmlowp.exp_of_negative(raw, bits) * UNIT
        assert np.abs(got - np.exp(raw * 2.0 ** (bits - 31))).max() < 1e-6
        assert np.all(np.diff(got) >= 0) and got[-1] == 1 - UNIT


def test_logistic_and_tanh() -> None:
    x = np.linspace(-15.9, 15.9, 4001)
    raw = np.rint(x * 2.0**27).astype(np.int64)
    assert np.abs(gemmlowp.logistic(raw, 4) * UNIT - 1 / (1 + np.exp(-x))).max() < 1e-6
    assert np.abs(gemmlowp.tanh(raw, 4) * UNIT - np.tanh(x)).max() < 2e-6
    assert gemmlowp.logistic(np.array([0]), 4)[0] == 1 << 30
    assert gemmlowp.tanh(np.array([0]), 4)[0] == 0


def test_reciprocal() -> None:
    x = np.unique(np.geomspace(1, 2.0**31 - 1, 3000).astype(np.int64))
    raw, over = gemmlowp.reciprocal(x, 12)
    value = x * 2.0**-19
    got = raw * UNIT * 2.0 ** -over.astype(float)
    assert np.abs(got * value - 1).max() < 1e-6


def test_softmax_adds_up() -> None:
    rng = np.random.default_rng(4)
    x = rng.integers(-128, 128, (500, 10))
    out = gemmlowp.softmax(x, 1 << 30, 22, 8)
    assert out.min() >= 0 and out.max() <= 256
    assert np.abs(out.sum(axis=1) - 256).max() <= 5
    assert np.array_equal(np.argsort(-x, kind="stable")[:, 0], np.argmax(out, axis=1))
    alone = np.array([[127, -128, -128]])
    assert gemmlowp.softmax(alone, 1 << 30, 24, 8).tolist() == [[256, 0, 0]]
