"""Softmax against golden, and against a formula of its own at the ends of its range."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth.hdl import Shape, signed, unsigned

from hwgen.gateware.common.softmax import MAX_CHANNELS, ONE, Softmax
from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, gemmlowp
from hwgen.plan import latency
from hwgen.plan.exponentials import softmax_powers
from tests.helpers.pysim import pattern
from tests.helpers.streams import Trace, beats, drive, pixels
from tests.helpers.vectors import vectors


def result_type(width: int, is_signed: bool) -> QType:
    low = -(1 << (width - 1)) if is_signed else 0
    return QType(
        is_signed, width, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-width, low
    )  # fmt: skip


def golden(x: list[list[int]], shape: Shape, mult: int, shift: int, out: QType) -> list[list[int]]:
    source = QType(shape.signed, shape.width, 0, Rounding.FLOOR, Overflow.SATURATE)
    edge = Tensor("x", (len(x[0]),), source)
    op = ops.Softmax(mult, shift, out)
    op.infer("y", [edge])
    return op.golden([np.array(x)], [edge]).tolist()


def simulate(
    x: list[list[int]],
    shape: Shape,
    mult: int,
    shift: int,
    out: QType,
    kinds: tuple[str, str] = ("always", "always"),
    fifo: int = Softmax.LATENCY + 2,
) -> tuple[Softmax, Trace]:
    """Send vectors through a unit; what it gives must be golden's."""
    channels = len(x[0])
    result = signed(out.width) if out.signed else unsigned(out.width)
    powers = softmax_powers(mult, shift, shape.width)
    unit = Softmax("s", shape, channels, powers, result, fifo)
    trace = drive(
        unit, unit.i, unit.o, beats(x, 1, shape.width), len(x) * channels,
        pattern(kinds[0], 1), pattern(kinds[1], 2), watch=[unit.level, unit.issue],
    )  # fmt: skip
    got = pixels(trace.words, channels, 1, result)
    for vector, given, wanted in zip(x, got, golden(x, shape, mult, shift, out), strict=True):
        assert given == wanted, f"mult {mult}, shift {shift}, {out}: of {vector}"
    return unit, trace


CASES = [
    (1, signed(8), 1 << 30, 22, 8, True),
    (2, signed(8), 1_400_000_011, 23, 8, True),
    (3, unsigned(1), 2_000_000_001, 25, 8, False),
    (10, signed(8), 1_717_986_918, 22, 8, True),
    (12, unsigned(8), 1_100_000_000, 21, 8, False),
    (12, signed(8), 1_300_000_000, 20, 16, True),
    (7, unsigned(5), 1_900_000_000, 24, 16, False),
    (10, signed(4), (1 << 31) - 1, 26, 8, True),
    (10, signed(8), 3, 31, 8, True),
    (10, signed(8), 0, 0, 8, True),
    (100, signed(8), 1_234_567_890, 20, 16, True),
    (100, signed(8), 1_111_111_111, 24, 8, True),
]
"""Channels, shape, mult, shift, bits and sign of the result."""


@pytest.mark.parametrize(("channels", "shape", "mult", "shift", "bits", "is_signed"), CASES)
def test_equals_golden(
    channels: int, shape: Shape, mult: int, shift: int, bits: int, is_signed: bool
) -> None:
    """Without gaps: data, and each vector's cycles are those that the unit and the model state."""
    x = vectors(shape, channels, seed=channels)
    unit, trace = simulate(x, shape, mult, shift, result_type(bits, is_signed))
    assert latency.softmax(channels) == (unit.gap, unit.interval)
    assert (unit.gap, unit.interval) == (channels + 46, 3 * channels + 45)
    assert latency.SOFTMAX == Softmax.LATENCY
    for n in range(len(x)):
        begin = n * unit.interval
        last = begin + channels - 1
        span = slice(n * channels, (n + 1) * channels)
        assert trace.taken[span] == list(range(begin, begin + channels))
        first = last + unit.gap + unit.LATENCY + 1  # an entry pushed can leave a cycle later
        assert trace.given[span] == list(range(first, first + channels))
    working = [issue for _, issue in trace.watched[: len(x) * unit.interval]]
    assert all(working), "it waits for nothing"


@pytest.mark.parametrize("kinds", [("random", "bursty"), ("bursty", "rare"), ("always", "random")])
@pytest.mark.parametrize(("channels", "fifo"), [(1, 1), (2, 12), (12, 3), (5, 20)])
def test_gaps(channels: int, fifo: int, kinds: tuple[str, str]) -> None:
    x = vectors(signed(8), channels, seed=fifo)
    simulate(x, signed(8), 1_500_000_000, 23, result_type(8, True), kinds, fifo)


@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize("shift", [23, 24, 25, 26])
def test_at_the_radius(shift: int, width: int) -> None:
    """The first difference that does not count gives 0 and adds 0, whatever its exponential."""
    radius = gemmlowp.input_radius(5, shift)
    near = [d for d in (radius - 1, radius, radius + 1, 255) if 0 <= d <= 255]
    x = [[127, *(127 - d for d in near)], [127 - near[-1]] * len(near) + [127]]
    mult = 1 << 28  # exponentials far from 0 at the radius
    for vector in x:
        simulate([vector], signed(8), mult, shift, result_type(width, True))


def test_the_largest_vectors() -> None:
    """The sum has as many bits as can be, and as few."""
    low, high = -128, 127
    x = [[high] * MAX_CHANNELS, [high] + [low] * (MAX_CHANNELS - 1)]
    simulate(x, signed(8), (1 << 31) - 1, 26, result_type(16, True))


def test_a_sure_winner_has_all() -> None:
    """2**width is limited to the largest integer, in all kinds of results."""
    for bits, is_signed in ((8, True), (8, False), (16, True), (16, False)):
        out = result_type(bits, is_signed)
        _, trace = simulate([[127, -128]], signed(8), (1 << 31) - 1, 26, out)
        assert [word % (1 << bits) for word in trace.words] == [
            out.max % (1 << bits),
            out.min % (1 << bits),
        ]


def test_reciprocals_of_every_size() -> None:
    """Sums of up to 100 parts of any size: one vector each, close to powers of two."""
    rng = np.random.default_rng(0)
    channels, x = 33, []
    for count in (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33):
        x.append([100] * count + rng.integers(-128, 90, channels - count).tolist())
    simulate(x, signed(8), 1_900_000_000, 24, result_type(16, True))


def golden_of(powers: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Results of a vector's exponentials, the reciprocal and the bits by which it is too large."""
    parts = gemmlowp.rounding_divide(powers, 12)
    scale, over = gemmlowp.reciprocal(parts.sum(axis=-1, keepdims=True), 12)
    out = gemmlowp.rounding_divide(gemmlowp.high_product(scale, powers), over + 31 - width)
    return np.minimum(out, (1 << width) - 1), scale, over


def beside_a_tie(rng: np.random.Generator, width: int) -> int:
    """The smallest exponential which, beside a 1, is rounded up to some integer."""
    target, power = int(rng.integers(1, 1 << (width - 1))), 1 << 30
    for _ in range(40):
        _, scale, over = golden_of(np.array([ONE, power]), width)
        tie = ((2 * target + 1) << int(over[0]) + 31 - width) >> 1
        power = min(ONE, -(-((tie << 31) - (1 << 30)) // int(scale[0])))
    return power


@pytest.mark.parametrize("width", [8, 16])
def test_the_last_bit_of_every_product_counts(width: int) -> None:
    """Exponentials on both sides of the ties of results: one unit of 2**-31 less would show."""
    rng = np.random.default_rng(width)
    ties = [beside_a_tie(rng, width) - n % 2 for n in range(255)]
    shape, out = unsigned(8), unsigned(width)
    x = [[255, 255 - n] for n in range(256)]
    unit = Softmax("s", shape, 2, (ONE, *ties), out, 4)
    trace = drive(unit, unit.i, unit.o, beats(x, 1, 8), 512)
    wanted, _, _ = golden_of(np.array([[ONE, power] for power in (ONE, *ties)]), width)
    assert pixels(trace.words, 2, 1, out) == wanted.tolist()


def test_the_table_is_goldens() -> None:
    """Two codes that share nothing but gemmlowp's rules, over many scales."""
    rng = np.random.default_rng(1)
    for _ in range(400):
        mult, shift = int(rng.integers(0, 1 << 31)), int(rng.integers(0, 32))
        width = int(rng.integers(1, 9))
        difference = -np.arange(1 << width)
        counts = difference >= -gemmlowp.input_radius(5, shift)
        scaled = gemmlowp.high_product(np.where(counts, difference, 0) << shift, mult)
        wanted = np.where(counts, gemmlowp.exp_of_negative(scaled, 5), 0)
        assert softmax_powers(mult, shift, width) == tuple(wanted.tolist()), f"{mult} {shift}"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"channels": 0}, "channels must be at least 1"),
        ({"channels": MAX_CHANNELS + 1}, "at most 2048 channels"),
        ({"fifo": 0}, "fifo must be at least 1"),
        ({"shape": signed(9)}, "1 to 8 bits, got 9"),
        ({"out": signed(12)}, "8 or 16 bits, not 12"),
        ({"powers": (ONE, 1)}, "16 exponentials are needed, got 2"),
        ({"powers": (ONE - 1,) * 16}, "the first one 2147483647"),
        ({"powers": (ONE, *([-1] * 15))}, "from 0 to"),
    ],
)
def test_bad_parameters(changed: dict, message: str) -> None:
    good = {
        "name": "s", "shape": signed(4), "channels": 3, "powers": (ONE, *range(15)),
        "out": signed(8), "fifo": 1,
    }  # fmt: skip
    Softmax(**good)
    with pytest.raises(ValueError, match=message):
        Softmax(**good | changed)
