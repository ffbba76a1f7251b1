"""Requantizations of the tiled engine, carried out in plain integers, against golden."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from hwgen.contract.isa import RECORD, Round
from hwgen.errors import UserError
from hwgen.ir import Op, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, Scaling, multiplier_of
from hwgen.plan.tiled.network.requant import CARRIED_OUT, Requant, Scaled
from tests.helpers.result_model import rounded

SUMS = QType(True, 20, 0, Rounding.FLOOR, Overflow.SATURATE)
BYTE = replace(SUMS, width=8)


def same(op: Scaled, requant: Requant, x: Tensor, seed: int) -> None:
    """Both give the same for sums everywhere, and beside those at which results change."""
    rng = np.random.default_rng(seed)
    low, high = x.range
    near = rng.integers(max(low, -3000), min(high, 3000) + 1, 400)
    sums = np.concatenate([near, rng.integers(low, high + 1, 400), [low, high, 0, -1, 1]])
    wanted = op.golden([np.repeat(sums[:, None], x.channels, 1)], [x])
    for n in range(x.channels):
        for name in ("mult", "bias", "shift"):
            low, high = RECORD.range(name)
            assert low <= getattr(requant, name)[n] <= high
        for value, right in zip(sums.tolist(), wanted[:, n].tolist(), strict=True):
            exact = value * int(requant.mult[n]) + int(requant.bias[n])
            got = rounded(exact, int(requant.shift[n]), requant.rounding) + requant.offset
            got = min(max(got, requant.low), requant.high)
            assert got == right, f"channel {n}, sum {value}: {op}"


@pytest.mark.parametrize("scaling", sorted(CARRIED_OUT))
@pytest.mark.parametrize("seed", range(6))
def test_rules_of_runtimes(scaling: Scaling, seed: int) -> None:
    """Scales from far below 1 to above it, so that products are moved either way."""
    rng = Random(seed)
    reals = [float(np.float32(2.0 ** rng.uniform(-15, 2 if seed % 2 else -1))) for _ in range(5)]
    reals[0] = 2.0 ** rng.randint(-12, -1)  # ties
    mult, shift = zip(*(multiplier_of(real, scaling) for real in reals), strict=True)
    op = ops.Rescale(
        scaling, np.array(mult), np.array(shift), replace(BYTE, signed=seed % 3 > 0),
        bias=np.array([rng.randint(-3000, 3000) for _ in reals]), offset=rng.randint(-128, 127),
        clip=None if seed % 2 else (0, 100),
    )  # fmt: skip
    x = Tensor("x", (len(reals),), SUMS)
    same(op, Requant.of("y", op, x), x, seed)


@pytest.mark.parametrize("rounding", [r for r in Rounding if r is not Rounding.HALF_ODD])
def test_roundings_of_fixed_point(rounding: Rounding) -> None:
    rng = np.random.default_rng(3)
    op = ops.Requantize(
        rng.integers(-9, 10, 6), rng.integers(-999, 999, 6), rng.integers(0, 9, 6),
        replace(BYTE, rounding=rounding),
    )  # fmt: skip
    x = Tensor("x", (6,), replace(SUMS, width=12))
    same(op, Requant.of("y", op, x), x, 4)


def test_channels_with_next_to_no_weights() -> None:
    """A scale so small that a bias of billions stands for a few steps: a line of fewer bits."""
    shifts, bias = np.array([58, 57, 57, 33]), np.array([1073741760, -(1 << 30), 1 << 30, 7])
    mult = np.array([1320764593, 1171292447, 1737221868, 1 << 30])
    op = ops.Rescale(Scaling.TFLM_DOUBLE, mult, shifts, BYTE, bias=bias, offset=-5)
    x = Tensor("x", (4,), SUMS)
    made = Requant.of("y", op, x)
    assert made.rounding is Round.DOUBLE and 0 in made.mult
    same(op, made, x, 5)
    # One of them steps within the range of its sums.
    near = round(2.5 * 2.0**57 / 1171292447)
    op = replace(op, bias=np.array([1073741760, -near, near, 7]))
    made = Requant.of("y", op, x)
    same(op, made, x, 6)
    golden = op.golden([np.array([[-500000] * 4, [500000] * 4])], [x])
    assert (golden[0] != golden[1]).tolist()[1:3] != [False, False]


def test_a_long_bias_of_many_results_is_refused_at_once() -> None:
    """Lines are sought among some results, not among the 2**32 of a wide output."""
    op = ops.Rescale(
        Scaling.TFLM_DOUBLE, np.array([1 << 30]), np.array([31]), replace(SUMS, width=32),
        bias=np.array([1 << 30]),
    )  # fmt: skip
    with pytest.raises(UserError, match="its bias needs more than 58 bits"):
        Requant.of("y", op, Tensor("x", (1,), replace(SUMS, width=30)))


@pytest.mark.parametrize(
    ("op", "x", "said"),
    [
        (ops.Rescale(Scaling.FP32_HALF_EVEN, np.array([1 << 23]), np.array([30]),
                     replace(BYTE, width=12)), SUMS, "results of up to 2048 by float32's rounding"),
        (ops.Rescale(Scaling.FP32_HALF_EVEN, np.array([1 << 23]), np.array([41]), BYTE),
         replace(SUMS, width=30), "which float32 rounds before it scales them"),
        (ops.Rescale(Scaling.TFLM_DOUBLE, np.array([1 << 30]), np.array([40]), BYTE,
                     offset=40000), SUMS, "a zero point of 40000"),
        (ops.Requantize.scaled(BYTE, (1 << 31) + 1, 0, 40), SUMS, "its mult needs more than 32"),
        (ops.Requantize.scaled(BYTE, 3, 1 << 57, 63), SUMS, "its bias needs more than 58 bits"),
        (ops.Requantize.scaled(BYTE, 3, 1, 64), SUMS, "its shift needs more than 6 bits"),
        (ops.Requantize.scaled(replace(BYTE, rounding=Rounding.HALF_ODD), 3, 1, 4), SUMS,
         "does not round half_odd"),
        (ops.Requantize.scaled(replace(BYTE, overflow=Overflow.WRAP), 3, 1, 4), SUMS,
         "the tiled engine saturates"),
    ],
)  # fmt: skip
def test_what_the_registers_can_not_hold(op: Scaled, x: QType, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Requant.of("y", op, Tensor("x", (1,), x))


def test_two_roundings_of_many_channels() -> None:
    """Found from where results change, whatever the number of sums."""
    rng = np.random.default_rng(7)
    sums = replace(SUMS, width=30)
    wide = replace(SUMS, width=14, rounding=Rounding.HALF_UP)
    mult, bias = rng.integers(40, 90, 300), rng.integers(-99, 99, 300)
    first = ops.Requantize.scaled(wide, mult, bias, 20)
    second = ops.Requantize.scaled(replace(BYTE, rounding=Rounding.FLOOR), 1, 3, 5)
    x = Tensor("x", (300,), sums)
    made = Requant.of_chain("y", [first, second], x)
    assert made.rounding is Round.FLOOR
    middle = first.infer("middle", [x])
    tried = np.concatenate([np.arange(-(1 << 24), 1 << 24, 9973), [*x.range, 0, -1]])
    wanted = second.golden([first.golden([np.repeat(tried[:, None], 300, 1)], [x])], [middle])
    exact = tried[:, None].astype(object) * made.mult + made.bias
    got = np.clip(exact >> made.shift, made.low, made.high)
    assert np.array_equal(got, wanted)


def same_chain(chain: list[Op], x: Tensor) -> None:
    """As ``same``, for operations one after the other."""
    made = Requant.of_chain("y", chain, x)
    print("seed 3")
    sums = np.random.default_rng(3).integers(x.range[0], x.range[1] + 1, (500, x.channels))
    edge, wanted = x, sums
    for op in chain:
        wanted, edge = op.golden([wanted], [edge]), op.infer("e", [edge])
    got = [
        [rounded(int(s) * int(made.mult[n]) + int(made.bias[n]), int(made.shift[n]), made.rounding)
         for n, s in enumerate(row)]
        for row in sums
    ]  # fmt: skip
    assert np.array_equal(np.clip(np.array(got) + made.offset, made.low, made.high), wanted)


def test_results_that_fall_where_sums_rise() -> None:
    first = ops.Requantize.scaled(replace(SUMS, width=14), -3, 5, 6)
    second = ops.Requantize.scaled(BYTE, 1, 0, 3)
    same_chain([first, second], Tensor("x", (1,), SUMS))


@pytest.mark.parametrize("seed", range(8))
def test_the_rule_of_reference_kernels(seed: int) -> None:
    """Products of float64, ties away from zero: a line of the engine about the sum of product 0."""
    rng = Random(seed)
    mult, shift = multiplier_of(rng.choice([2.0**-9, rng.uniform(2**-12, 2**-5)]),
                                Scaling.DOUBLE_HALF_AWAY)  # fmt: skip
    op = ops.Rescale(
        Scaling.DOUBLE_HALF_AWAY, np.array([mult]), np.array([shift]), BYTE,
        bias=np.array([rng.randint(-500, 500)]), offset=rng.randint(-100, 100),
    )  # fmt: skip
    x = Tensor("x", (1,), SUMS)
    same(op, Requant.of("y", op, x), x, seed)


@pytest.mark.parametrize("fall", [False, True])
def test_steps_of_each_channel_that_lie_on_lines(fall: bool) -> None:
    """Alone and behind requantizations, of which one multiplies some channels by less than 0."""
    rng = np.random.default_rng(7)
    print("seed 7")
    apart, first = rng.uniform(3, 40, 4), rng.uniform(-300, 300, 4)
    thresholds = np.floor(first[:, None] + apart[:, None] * np.arange(60)).astype(np.int64)
    values = np.arange(61) - 20
    steps = ops.MultiThreshold(thresholds, values[::-1].copy() if fall else values, BYTE)
    x = Tensor("x", (4,), SUMS)
    same(steps, Requant.of_chain("y", [steps], x), x, 7)
    turned = ops.Requantize.scaled(replace(SUMS, width=24), [1, -1, 3, -2], [0, 7, 0, 0])
    added = ops.Requantize.scaled(replace(SUMS, width=24), 1, 11)
    same_chain([added, turned, steps], x)


def test_steps_that_lie_on_no_line_are_refused() -> None:
    steps = ops.MultiThreshold(np.array([0, 1, 2, 40]), np.arange(5), BYTE)
    with pytest.raises(UserError, match="no multiply, add and shift of the tiled engine equals it"):
        Requant.of_chain("y", [steps], Tensor("x", (4,), SUMS))
    steps = ops.MultiThreshold(np.array([0, 10, 20]), np.array([0, 1, 2, 0]), BYTE)
    with pytest.raises(UserError, match="no multiply, add and shift of the tiled engine equals it"):
        Requant.of_chain("y", [steps], Tensor("x", (4,), SUMS))
