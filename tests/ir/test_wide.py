"""Ops where accumulators are wide, ranges bind, or attributes make no sense."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import Accumulator, Tensor, ops
from hwgen.ir.ops._matmul import exact_matmul
from hwgen.numeric import Overflow, QType, Rounding, dequantize

from ..numeric.test_exhaustive import fitted, rounded


def kind(signed: bool, width: int, frac: int = 0, **more: Any) -> QType:
    modes = {"rounding": Rounding.HALF_EVEN, "overflow": Overflow.SATURATE, **more}
    return QType(signed, width, frac, **modes)


@pytest.mark.parametrize("border", [24, 53, 62, 63, 64])
@pytest.mark.parametrize("delta", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_sums_at_the_border_in_every_order(border: int, delta: int, order: Any) -> None:
    """Partial sums pass the border even where the result does not."""
    big = (1 << border) + delta
    x = np.array([[1, 1, 1]], dtype=object)
    w = np.array([[big], [1], [-big]], dtype=object)[list(order)]
    if big < 1 << 63:
        w = w.astype(np.int64)
    assert exact_matmul(x, w, 1).tolist() == [[1]]
    assert exact_matmul(-x, w, 1).tolist() == [[-1]]
    assert exact_matmul(0 * x, 0 * w, 0).tolist() == [[0]]


@pytest.mark.parametrize("bias_frac", [None, -20, 2, 4, 30, 40])
@pytest.mark.parametrize("width", [8, 30, 32])
def test_wide_dense(width: int, bias_frac: int | None) -> None:
    rng = np.random.default_rng([width, 40 if bias_frac is None else bias_frac + 100])
    top = 1 << (width - 1)
    x = Tensor("x", (5,), kind(True, width, 2))
    values = np.concatenate([rng.integers(-top, top, (4, 5)), [[-top] * 5, [top - 1] * 5]])
    weights = rng.integers(-top, top, (5, 2))
    weights[:, 0] = -top
    bias = np.array([(1 << 40) - 1, -(1 << 40)])
    op = ops.Dense(weights, kind(True, width, 2), bias, bias_frac)
    edge = op.infer("y", [x])
    got = op.golden([values], [x]).tolist()
    frac = 4 if bias_frac is None else max(4, bias_frac)
    assert edge.type.frac == frac
    bias_weight = Fraction(2) ** -(4 if bias_frac is None else bias_frac)
    for frame, row in zip(values.tolist(), got, strict=True):
        for out, code in enumerate(row):
            total = sum(a * b for a, b in zip(frame, weights[:, out].tolist(), strict=True))
            assert Fraction(code, 1 << frac) == Fraction(total, 16) + int(bias[out]) * bias_weight
            assert edge.range[0] <= code <= edge.range[1]
    # The first output meets its bound: the range is tight, the type the narrowest.
    assert max(row[0] for row in got) == edge.range[1]


@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("mode", list(Rounding))
@pytest.mark.parametrize("drop", [0, 1, 70])
def test_given_accumulator_of_dense(overflow: Overflow, mode: Rounding, drop: int) -> None:
    rng = np.random.default_rng(12)
    x = Tensor("x", (7,), kind(True, 5, 3))
    values, weights = rng.integers(-16, 16, (6, 7)), rng.integers(-8, 8, (7, 2))
    acc = kind(True, 6, 5 - drop, rounding=mode, overflow=overflow)
    for group in (1, 3, 7, 9):
        op = ops.Dense(weights, kind(True, 4, 2), accumulator=Accumulator(acc, group))
        assert op.infer("y", [x]).type == acc
        for frame, row in zip(values.tolist(), op.golden([values], [x]).tolist(), strict=True):
            for out, code in enumerate(row):
                total = 0
                for start in range(0, 7, group):
                    pairs = zip(frame, weights[:, out].tolist(), strict=True)
                    part = sum([a * b for a, b in pairs][start : start + group])
                    total = fitted(rounded(total + Fraction(part, 1 << drop), mode), acc)
                assert code == total


@pytest.mark.parametrize("overflow", list(Overflow))
@pytest.mark.parametrize("signed", [True, False])
def test_ranges_of_requantize_hold(overflow: Overflow, signed: bool) -> None:
    """For every input code: the golden value, and that the inferred range has it."""
    x = Tensor("x", (2,), kind(True, 6))
    codes = np.arange(-32, 32)[:, None].repeat(2, 1)
    for mode, mult, bias, shift, clip in itertools.product(
        (Rounding.FLOOR, Rounding.HALF_AWAY), (-7, 0, 3), (-90, 5, 300), (0, 3), (None, (1, 5))
    ):
        qtype = kind(signed, 4, rounding=mode, overflow=overflow)
        per_channel = (np.array([mult, 1]), np.array([bias, 0]), np.array([shift, 1]))
        op = ops.Requantize(*per_channel, type=qtype, clip=clip)
        got, (low, high) = op.golden([codes], [x]), op.infer("y", [x]).range
        assert low <= got.min() and got.max() <= high
        for code, row in zip(codes[:, 0].tolist(), got.tolist(), strict=True):
            for (m, b, s), out in zip(((mult, bias, shift), (1, 0, 1)), row, strict=True):
                exact = fitted(rounded(Fraction(code * m + b, 1 << s), mode), qtype)
                assert out == (exact if clip is None else sorted((clip[0], exact, clip[1]))[1])


def test_range_of_requantize_beyond_128_bits() -> None:
    x = Tensor("x", (1,), kind(True, 100))
    op = ops.Requantize.scaled(kind(True, 8), mult=(1 << 62), shift=0)
    assert op.infer("y", [x]).range == (-128, 127)
    op = ops.Requantize.scaled(kind(True, 8), mult=(1 << 62), shift=155)
    assert op.infer("y", [x]).range == (-64, 64)
    got = op.golden([np.array([[(1 << 99) - 1], [-(1 << 99)]], object)], [x])
    assert got.tolist() == [[64], [-64]]


@pytest.mark.parametrize("maximum", [None, 0, 6])
@pytest.mark.parametrize("width", [4, 63, 64, 70, 128])
@pytest.mark.parametrize("signed", [True, False])
def test_relu(maximum: int | None, width: int, signed: bool) -> None:
    x = Tensor("x", (1,), kind(signed, width))
    op = ops.Relu(maximum)
    top = x.type.max if maximum is None else maximum
    codes = [x.type.min, 0, 1, 7, x.type.max]
    assert op.infer("y", [x]).range == (0, top)
    for dtype in (object, np.int64):
        fits = [c for c in codes if dtype is object or abs(c) < 1 << 62]
        got = op.golden([np.array(fits, dtype)[:, None]], [x])
        assert got[:, 0].tolist() == [min(max(c, 0), top) for c in fits]


def test_relu_stops_at_the_zero_point() -> None:
    x = Tensor("x", (1,), kind(False, 4, scale=0.5, zero_point=3))
    op = ops.Relu(9)
    assert op.infer("y", [x]).range == (3, 9)
    assert op.golden([np.array([[0], [3], [5], [15]])], [x]).tolist() == [[3], [3], [5], [9]]
    with pytest.raises(UserError, match="maximum 2"):
        ops.Relu(2).infer("y", [x])


@pytest.mark.parametrize("mode", list(Rounding))
@pytest.mark.parametrize("up", [-70, -3, -1, 0, 2, 45])
def test_averages_of_any_fraction(mode: Rounding, up: int) -> None:
    rng = np.random.default_rng(13)
    x = Tensor("x", (4, 3, 1), kind(True, 32, 0))
    values = rng.integers(-(1 << 31), 1 << 31, (4, 4, 3, 1)) >> rng.integers(0, 32, (4, 1, 1, 1))
    out = kind(True, 8, up, rounding=mode, overflow=Overflow.WRAP)
    op = ops.AvgPool((2, 3), (2, 1), type=out)
    got = op.golden([values], [x])
    assert got.shape == (4, 2, 1, 1) and got.dtype == np.int64
    for f, i in itertools.product(range(4), range(2)):
        total = sum(values[f, 2 * i : 2 * i + 2].reshape(-1).tolist())
        exact = Fraction(total, 6) * Fraction(2) ** up
        assert got[f, i, 0, 0] == fitted(rounded(exact, mode), out)


@pytest.mark.parametrize("width", [64, 128])
def test_padding_never_wins_a_maximum(width: int) -> None:
    x = Tensor("x", (2, 2, 1), kind(True, width))
    op = ops.MaxPool((2, 2), (1, 1), "same")
    values = np.array([[[[-9], [-8]], [[-7], [-6]]]])
    for array in (values, values.astype(object)):
        assert op.golden([array], [x]).reshape(-1).tolist() == [-6, -6, -6, -6]


def test_batch_norm_is_the_float_formula_quantized_once() -> None:
    rng = np.random.default_rng(14)
    x = Tensor("x", (3,), kind(True, 6, 3))
    codes = np.arange(-32, 32)[:, None].repeat(3, 1)
    scale, offset = rng.normal(size=3), rng.normal(size=3)
    real = dequantize(codes, x.type) * scale + offset
    for mode, overflow in itertools.product(Rounding, Overflow):
        out = kind(True, 4, 2, rounding=mode, overflow=overflow)
        got = ops.BatchNorm(scale, offset, out, (-5, 6)).golden([codes], [x])
        for row, reals in zip(got.tolist(), real.tolist(), strict=True):
            exact = [fitted(rounded(4 * Fraction(r), mode), out) for r in reals]
            assert row == [sorted((-5, e, 6))[1] for e in exact]


IMAGE, VECTOR = Tensor("x", (4, 4, 2), kind(True, 4, 1)), Tensor("x", (2,), kind(True, 4, 1))
CHANNELS = Tensor("x", (2,), kind(True, 4, scale=(0.5, 1.0)))
OFFSET = Tensor("x", (4, 4, 2), kind(False, 4, scale=0.5, zero_point=3))
ONES, W4 = np.ones((2, 2), np.int64), kind(True, 4, 1)


@pytest.mark.parametrize(
    ("op", "x", "said"),
    [
        (ops.Dense(ONES, W4), IMAGE, "flatten it first"),
        (ops.Dense(ONES[:1], W4), VECTOR, "(2, outputs) is needed"),
        (ops.Dense(ONES, W4), CHANNELS, "different scales"),
        (ops.Dense(ONES, kind(False, 4, scale=1.0, zero_point=1)), VECTOR, "zero point"),
        (ops.Dense(ONES, kind(True, 4, scale=(1.0,))), VECTOR, "1 scales for 2 channels"),
        (ops.Dense(9 * ONES, W4), VECTOR, "weights 9..9 are outside s4.1"),
        (ops.Dense(ONES, W4, np.ones(3, np.int64)), VECTOR, "bias has shape (3,)"),
        (ops.Dense(ONES, W4, ONES[0], 10**12), VECTOR, "bias_frac"),
        (ops.Dense(ONES, W4, accumulator=Accumulator(kind(True, 9, 3), 1)), VECTOR, "as many"),
        (ops.Conv2D(ONES, W4), IMAGE, "(rows, columns, cin, cout)"),
        (ops.Conv2D(ONES.reshape(2, 2, 1, 1), W4), IMAGE, "take 1 channels, the input has 2"),
        (ops.MaxPool((5, 1), (1, 1)), IMAGE, "does not fit"),
        (ops.MaxPool((2, 2), (1, 1), ((0, 2), (0, 0))), IMAGE, "not smaller than the kernel"),
        (ops.MaxPool((1, 1), (1, 1)), VECTOR, "(height, width, channels)"),
        (ops.AvgPool((2, 2), (1, 1), type=W4), OFFSET, "keeps scale"),
        (ops.ArgMax(), CHANNELS, "different scales"),
        (ops.Flatten(), CHANNELS, "one scale a channel"),
        (ops.Reshape((3, 11)), IMAGE, "33 elements, the input 32"),
        (ops.Reshape((2, 2, 2, 4)), IMAGE, "4 axes"),
        (ops.Requantize.scaled(W4, shift=-1), VECTOR, "outside 0..512"),
        (ops.Requantize.scaled(W4, mult=[1, 1, 1]), VECTOR, "mult has shape (3,)"),
        (ops.Requantize.scaled(W4, clip=(0, 8)), VECTOR, "clip [0, 8]"),
        (ops.BatchNorm(np.ones(2), np.ones(2), W4, (-9, 1)), VECTOR, "clip [-9, 1]"),
        (ops.BatchNorm(np.ones(1), np.ones(2), W4), VECTOR, "scale has shape (1,)"),
    ],
)
def test_what_does_not_fit_is_refused(op: Any, x: Tensor, said: str) -> None:
    with pytest.raises(UserError) as error:
        op.infer("y", [x])
    assert said in str(error.value)
