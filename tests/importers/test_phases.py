"""Phases of transposed convolutions against their definition."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from hwgen.importers.phases import Phases, filters

SEED = 5


def scattered(x: np.ndarray, kernel: np.ndarray, stride: int, before: int, length: int):
    """Each element times the kernel is added where it falls in the result."""
    result = np.zeros(length, np.int64)
    for y, element in enumerate(x):
        for p, weight in enumerate(kernel):
            at = stride * y + p - before
            if 0 <= at < length:
                result[at] += element * weight
    return result


@pytest.mark.parametrize("batch", range(4))
def test_phases_are_the_transposed_convolution(batch: int) -> None:
    rng, values = Random(SEED + batch), np.random.default_rng(SEED + batch)
    for _ in range(100):
        size, kernel, stride = rng.randint(1, 6), rng.randint(1, 7), rng.randint(1, 5)
        before = rng.randint(0, kernel + 2)
        length = rng.randint(1, (size - 1) * stride + kernel + 3)
        x, weights = values.integers(-9, 10, size), values.integers(1, 10, kernel)
        phases = Phases.of(size, length, kernel, stride, before)
        assert min(phases.pads) >= 0
        padded = np.pad(x, phases.pads)
        taps = np.append(weights, 0)[phases.taps]
        reach = taps.shape[1]
        result = np.array(
            [[padded[q : q + reach] @ own for own in taps] for q in range(phases.count)]
        ).reshape(-1)
        wanted = scattered(x, weights, stride, before, length)
        assert np.array_equal(result[:length], wanted), (size, kernel, stride, before, length)
        # No tap is there that no phase uses, but for the element at the result's own place.
        used = [tap for tap in range(reach) if (phases.taps[:, tap] >= 0).any()]
        own = phases.pads[0]
        assert set(range(reach)) <= set(range(min([*used, own]), max([*used, own]) + 1))


def test_filters_have_each_place_of_the_kernel_once() -> None:
    codes = np.arange(1, 2 * 3 * 4 * 5 + 1).reshape(2, 3, 4, 5)
    rows, columns = Phases.of(6, 12, 3, 2, 1), Phases.of(6, 18, 4, 3, 0)
    got = filters(codes, rows.taps, columns.taps)
    assert got.shape == (2, 2, 3, rows.taps.shape[1], columns.taps.shape[1], 5)
    assert sorted(got[got > 0].tolist()) == sorted(codes.reshape(-1).tolist())
