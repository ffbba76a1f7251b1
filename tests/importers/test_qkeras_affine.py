"""The arithmetic between accumulator and quantizer against rational numbers."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwgen.importers.affine import Affine, exact, fraction_bits, log2_exact, requantize
from hwgen.importers.keras.architecture import KerasLayer
from hwgen.importers.qkeras.parameters import quantize_kernel
from hwgen.importers.qkeras.quantizers import parse_quantizer
from hwgen.ir import Tensor
from hwgen.numeric import Overflow, QType, Rounding, parse_type

X = np.arange(-40, 40)[:, np.newaxis]


def dyadic(rng: np.random.Generator, bits: int, low: int, high: int) -> Fraction:
    value = Fraction(int(rng.integers(-(1 << bits), 1 << bits)))
    return value * Fraction(2) ** int(rng.integers(low, high + 1))


def rational(affine: Affine, frac: int, channel: int) -> list[Fraction]:
    unit = Fraction(2) ** -frac
    out = []
    for x in X[:, 0].tolist():
        v = x * unit * affine.scale[channel] + affine.offset[channel]
        v = v if affine.low is None else max(v, affine.low)
        out.append(v if affine.high is None else min(v, affine.high))
    return out


def random_affine(rng: np.random.Generator, bits: int) -> Affine:
    scale = tuple(abs(dyadic(rng, bits, -4, 3)) or Fraction(1) for _ in range(4))
    offset = tuple(dyadic(rng, 4, -10, 2) for _ in range(4))
    bounds: list[Fraction | None] = [None, None]
    if rng.random() < 0.5:
        bounds[0] = Fraction(0)
        bounds[1] = abs(dyadic(rng, 3, -4, 1)) if rng.random() < 0.5 else None
    return Affine(scale, offset, *bounds)


@pytest.mark.parametrize("seed", range(60))
def test_one_rounding(seed: int) -> None:
    """Biases of many more bits than the result keeps, ties, clips and one-bit quantizers."""
    rng = np.random.default_rng(seed)
    affine = random_affine(rng, (1, 3, 24)[seed % 3])
    frac, grid = int(rng.integers(-2, 6)), int(rng.integers(-3, 6))
    signed = bool(seed % 2)
    qtype = QType(signed, 6, grid, Rounding.HALF_EVEN, Overflow.SATURATE)
    got = requantize(affine, frac, qtype, grid).golden([X * np.ones(4, np.int64)], [])
    sign = QType(True, 2, 0, Rounding.HALF_EVEN, Overflow.SATURATE_SYMMETRIC)
    signs = requantize(affine, frac, sign, 0, binary=True).golden([X * np.ones(4, np.int64)], [])
    for channel in range(4):
        values = rational(affine, frac, channel)
        want = [min(max(round(v * Fraction(2) ** grid), qtype.min), qtype.max) for v in values]
        assert got[:, channel].tolist() == want
        assert signs[:, channel].tolist() == [1 if v >= 0 else -1 for v in values]


@pytest.mark.parametrize("seed", range(30))
def test_exact(seed: int) -> None:
    rng = np.random.default_rng(seed)
    affine, frac = random_affine(rng, 2), int(rng.integers(-2, 6))
    tensor = Tensor("x", (4,), parse_type(f"s8.{frac}"), int(X.min()), int(X.max()))
    op = exact(affine, tensor)
    out = op.infer("y", [tensor])
    got = op.golden([X * np.ones(4, np.int64)], [tensor])
    assert out.range[0] <= got.min() and got.max() <= out.range[1]
    for channel in range(4):
        values = [Fraction(int(v)) / Fraction(2) ** out.type.frac for v in got[:, channel]]
        assert values == rational(affine, frac, channel)


def test_clips_compose() -> None:
    affine = Affine.identity(1).clipped(Fraction(0), Fraction(3)).clipped(Fraction(0), Fraction(2))
    assert (affine.low, affine.high) == (0, 2)
    affine = affine.clipped(Fraction(0), None)
    assert (affine.low, affine.high) == (0, 2) and affine.clips and not affine.is_identity


def test_exponents() -> None:
    assert [log2_exact(Fraction(v)) for v in (1, 8, 0.25, 3, 0, -2)] == [0, 3, -2, None, None, None]
    cases: list[tuple[list[Any], int]] = [
        ([], 0),
        ([0], 0),
        ([4], -2),
        ([4, 0.75, 0], 2),
        ([-6], -1),
    ]
    for values, want in cases:
        assert fraction_bits([Fraction(v) for v in values]) == want


def test_auto_po2_takes_five_steps() -> None:
    """Each step halves the scale of this kernel; the codes are those of the step before."""
    spec = parse_quantizer(
        "quantized_bits(2,0,alpha='auto_po2')", KerasLayer("QDense", "fc", {}), "k"
    )
    assert spec is not None
    column = np.repeat(2.0 ** -np.arange(7), 5 ** np.arange(7)).astype(np.float32)
    kernel = quantize_kernel(spec, column[:, np.newaxis])
    assert kernel.type.frac == 5 and kernel.scale == (1,)
    np.testing.assert_array_equal(kernel.codes[:, 0], column >= 2.0**-5)
