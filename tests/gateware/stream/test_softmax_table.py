"""Softmax in float32 against golden: every rounding, both forms, and the cycles of each vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from amaranth.hdl import Shape, signed, unsigned

from hwgen.gateware.common.float32 import INFINITE, ONE
from hwgen.gateware.common.streams import element
from hwgen.gateware.stream.softmax_table import MAX_CHANNELS, SoftmaxTable
from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan import latency
from tests.helpers.pysim import pattern
from tests.helpers.shapes import limits
from tests.helpers.streams import Trace, beats, drive, pixels
from tests.helpers.vectors import vectors


def probability(out: Shape) -> QType:
    """The type of LiteRT's result."""
    return QType(
        out.signed, out.width, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-out.width,
        limits(out)[0],
    )  # fmt: skip


def inverse(step: float, shape: Shape, out: Shape) -> ops.SoftmaxTable:
    """LiteRT's form: exponentials of so many steps."""
    powers = np.exp(-step * np.arange(1 << shape.width)).astype(np.float32)
    return ops.SoftmaxTable(powers, probability(out))


def quotient(
    step: float, shape: Shape, out: Shape, steps: int, zero: int, up: float = 80.0
) -> ops.SoftmaxTable:
    """ONNX Runtime's form: exponentials moved up by so much, and the steps of the output."""
    powers = np.exp(up - step * np.arange(1 << shape.width)).astype(np.float32)
    kind = QType(
        out.signed, out.width, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 1 / steps, zero
    )  # fmt: skip
    return ops.SoftmaxTable(powers, kind, steps)


@dataclass(frozen=True)
class Ran:
    """A unit, what was seen of it, and its results, vector by vector."""

    unit: SoftmaxTable
    trace: Trace
    results: list[list[int]]


def simulate(
    op: ops.SoftmaxTable,
    shape: Shape,
    x: Sequence[Sequence[int]],
    kinds: tuple[str, str] = ("always", "always"),
    fifo: int = 4,
    results: int | None = None,
) -> Ran:
    """Send vectors through a unit; what it gives must be golden's, the first so many results of
    it."""
    channels = len(x[0])
    out, offset = element(op.type), op.type.min if op.steps is None else op.type.zero_point
    unit = SoftmaxTable("s", shape, channels, op.patterns, out, offset, fifo, op.steps)
    source = QType(shape.signed, shape.width, 0, Rounding.FLOOR, Overflow.SATURATE)
    edge = Tensor("x", (channels,), source)
    op.infer("y", [edge])
    wanted = op.golden([np.array(x)], [edge]).reshape(-1).tolist()[:results]
    trace = drive(
        unit, unit.i, unit.o, beats(x, 1, shape.width), len(wanted),
        pattern(kinds[0], 1), pattern(kinds[1], 2), watch=[unit.level, unit.issue],
    )  # fmt: skip
    got = pixels(trace.words, 1, 1, out)
    for n, (given, right) in enumerate(zip(got, wanted, strict=True)):
        assert given == [right], f"{op.type}, steps {op.steps}: {n} of {x[n // channels]}"
    return Ran(unit, trace, [wanted[n : n + channels] for n in range(0, len(wanted), channels)])


def patterns(values: Sequence[float]) -> list[int]:
    """Patterns of float32."""
    return np.asarray(values, np.float32).view(np.uint32).tolist()


S8, U8 = signed(8), unsigned(8)

CASES = {
    "litert": (10, S8, inverse(0.03, S8, S8)),
    "litert_unsigned": (7, U8, inverse(0.02, U8, U8)),
    "litert_short": (5, S8, inverse(0.05, S8, signed(16))),
    "litert_unsigned_short": (3, S8, inverse(0.01, S8, unsigned(16))),
    "litert_denormal": (4, S8, inverse(0.4, S8, S8)),
    "litert_flat": (6, unsigned(3), inverse(0.0, unsigned(3), S8)),
    "litert_one": (1, unsigned(1), inverse(1.0, unsigned(1), U8)),
    "onnx": (10, S8, quotient(0.03, S8, S8, 256, -128)),
    "onnx_unsigned": (7, U8, quotient(0.02, U8, U8, 255, 0)),
    "onnx_zero": (5, S8, quotient(0.02, S8, U8, 300, 77)),
    "onnx_short": (4, signed(5), quotient(0.1, signed(5), signed(16), 40000, -9000, 1.0)),
    "onnx_denormal": (4, S8, quotient(0.7, S8, S8, 256, -128)),
    "onnx_few": (3, S8, quotient(0.02, S8, unsigned(1), 2, 0)),
    "onnx_steps": (3, S8, quotient(0.2, S8, S8, 1 << 24, 5)),
    "onnx_odd_steps": (3, S8, quotient(0.2, S8, signed(16), (1 << 24) - 1, -77)),
    "onnx_one": (1, S8, quotient(0.02, S8, S8, 100, 3)),
}
"""Channels, shape of an element, and the op."""


@pytest.mark.parametrize("name", CASES)
def test_equals_golden(name: str) -> None:
    """Without gaps: data, and each vector's cycles are those that the unit and the model state."""
    channels, shape, op = CASES[name]
    x = vectors(shape, channels, seed=channels, anywhere=1)
    ran = simulate(op, shape, x)
    unit, trace = ran.unit, ran.trace
    assert latency.softmax_table(channels, op.steps is None) == (unit.gap, unit.interval)
    more = 29 if op.steps is None else 0
    assert (unit.gap, unit.interval) == (6 * channels + 1 + more, 34 * channels + more)
    assert latency.SOFTMAX_TABLE == unit.LATENCY == 38
    assert latency.SOFTMAX_TABLE_EVERY == unit.EVERY == 27
    assert latency.SOFTMAX_TABLE_INVERSE == unit.INVERSE == 29
    for n in range(len(x)):
        begin = n * unit.interval
        last = begin + channels - 1
        span = slice(n * channels, (n + 1) * channels)
        assert trace.taken[span] == list(range(begin, begin + channels))
        first = last + unit.gap + unit.LATENCY + 1  # an entry pushed can leave a cycle later
        assert trace.given[span] == list(range(first, first + 27 * channels, 27))
    working = [issue for _, issue in trace.watched[: len(x) * unit.interval]]
    assert all(working), "it waits for nothing"


@pytest.mark.parametrize("kinds", [("random", "bursty"), ("bursty", "rare"), ("always", "rare")])
@pytest.mark.parametrize(("name", "fifo"), [("litert_one", 1), ("onnx_few", 2), ("onnx_one", 1)])
def test_gaps(name: str, fifo: int, kinds: tuple[str, str]) -> None:
    channels, shape, op = CASES[name]
    simulate(op, shape, vectors(shape, channels, seed=fifo, anywhere=1), kinds, fifo)


def test_a_result_waits_for_room() -> None:
    """One slot holds each result back until the one before has left."""
    channels, shape, op = CASES["onnx_zero"]
    ran = simulate(op, shape, vectors(shape, channels, seed=3)[-1:], fifo=1)
    given, waits = ran.trace.given, [not issue for _, issue in ran.trace.watched]
    apart = ran.unit.LATENCY + 2
    assert given == list(range(given[0], given[0] + channels * apart, apart))
    last = given[-1] - ran.unit.LATENCY - 1  # when it was asked for
    assert sum(waits[channels:last]) == (channels - 1) * (apart - ran.unit.EVERY)


def op_of(powers: Sequence[int], out: Shape, steps: int | None) -> ops.SoftmaxTable:
    """The op of some patterns."""
    values = np.array(powers, np.uint32).view(np.float32)
    if steps is None:
        return ops.SoftmaxTable(values, probability(out))
    kind = QType(out.signed, out.width, 0, Rounding.FLOOR, Overflow.SATURATE, 1 / steps, 0)
    return ops.SoftmaxTable(values, kind, steps)


def results_of(
    powers: Sequence[int], vector: Sequence[int], out: Shape, steps: int | None
) -> np.ndarray:
    """Golden's results of a vector of exponentials of these patterns."""
    edge = Tensor("x", (len(vector),), QType(False, 8, 0, Rounding.FLOOR, Overflow.SATURATE))
    return op_of(powers, out, steps).golden([255 - np.array([vector])], [edge])[0]


def beside_a_tie(
    rng: np.random.Generator, first: int, out: Shape, steps: int | None
) -> tuple[list[int], int]:
    """Patterns of three exponentials less than the first, whose last one is the smallest that is
    rounded up to some integer."""
    down = rng.integers(0, 3 << 23, 2)
    others = [first - int(n) for n in down]
    target = int(rng.integers(1, (steps or 1 << out.width) // 8)) + limits(out)[0] * (steps is None)
    low, high = first - (40 << 23), first
    while high - low > 1:
        middle = (low + high) // 2
        table = [first, *others, middle, *[0] * 252]
        reached = results_of(table, [0, 1, 2, 3], out, steps)[3] >= target
        low, high = (low, middle) if reached else (middle, high)
    return others, high


@pytest.mark.parametrize("steps", [None, 60000])
@pytest.mark.parametrize("out", [unsigned(16), signed(16)])
def test_the_last_bit_of_every_float_counts(out: Shape, steps: int | None) -> None:
    """Exponentials on both sides of the ties of results: a unit less in any rounding would show.

    Additions are rounded too: sums of floats that were exact would give other results.
    """
    rng = np.random.default_rng(out.width + out.signed)
    first = ONE if steps is None else ONE + (60 << 23)
    table, rows = [first], []
    for _ in range(16):
        others, last = beside_a_tie(rng, first, out, steps)
        begin = len(table)
        table += [*others, last, last - 1]
        rows += [[0, begin, begin + 1, begin + 2 + n] for n in range(2)]
    table += [0] * (256 - len(table))
    ran = simulate(op_of(table, out, steps), U8, [[255 - n for n in row] for row in rows])
    pairs = zip(ran.results[::2], ran.results[1::2], strict=True)
    assert all(up[3] == down[3] + 1 for up, down in pairs)


@pytest.mark.parametrize(("steps", "out"), [(None, U8), (None, S8), (256, S8), (256, U8)], ids=str)
def test_ties_of_results(steps: int | None, out: Shape) -> None:
    """Results that are an integer and one half, and floats a unit in the last place beside.

    The exponentials of a vector are 1, k/256 and the rest to 2, so that their quotients are k/2.
    """
    places, table, rows = range(1, 24, 2), [ONE], []
    for k in places:
        exact, rest = patterns([k / 256, 1 - k / 256])
        begin = len(table)
        table += [exact, exact - 1, exact + 1, rest]
        rows += [[0, begin + n, begin + 3] for n in range(3)]
    table += [0] * (256 - len(table))
    ran = simulate(op_of(table, out, steps), U8, [[255 - n for n in row] for row in rows])
    low = limits(out)[0] if steps is None else 0
    ties, below, above = ([row[1] - low for row in ran.results[n::3]] for n in range(3))
    assert ties == [round(k / 2) if steps else (k + 1) // 2 for k in places]
    assert above == [(k + 1) // 2 for k in places]
    assert below[1:] == [k // 2 for k in places[1:]]
    # One half less a unit, and one half more: the sum is rounded to 1.
    assert below[0] == (1 if steps is None and not out.signed else 0)


@pytest.mark.parametrize("zero", [-128, 0, 127])
def test_results_of_any_size_are_limited(zero: int) -> None:
    """A vector of one has all the steps."""
    for steps in (1, 2, 127, 128, 255, 256, 257, 511, 512, 513, 1023, 1024, 70000, 1 << 24):
        op = quotient(1.0, unsigned(1), S8, steps, zero, up=60.0)
        assert simulate(op, unsigned(1), [[0]]).results == [[min(127, steps + zero)]]


def test_the_longest_vector() -> None:
    """All of its sum, and some of its results."""
    _, shape, op = CASES["onnx_zero"]
    rng = np.random.default_rng(4)
    x = rng.integers(-20, 60, (1, MAX_CHANNELS)).tolist()
    simulate(op, shape, x, results=8)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"channels": 0}, "channels must be at least 1"),
        ({"channels": MAX_CHANNELS + 1}, "at most 2048 channels"),
        ({"fifo": 0}, "fifo must be at least 1"),
        ({"shape": signed(9)}, "1 to 8 bits, got 9"),
        ({"out": signed(17)}, "1 to 16 bits, not 17"),
        ({"offset": 128}, "the offset 128 is not one of the results"),
        ({"powers": (ONE, 1)}, "16 floats are needed, got 2"),
        ({"steps": 0}, "steps must be 1 to 16777216, not 0"),
        ({"steps": (1 << 24) + 1}, "steps must be 1 to 16777216, not 16777217"),
        ({"powers": (ONE - 1,) * 16}, "the largest and at least 1, alone it is 1"),
        ({"powers": (ONE + 1,) * 16}, "the largest and at least 1, alone it is 1"),
        ({"powers": (ONE, ONE + 1, *([0] * 14))}, "the largest and at least 1"),
        ({"powers": (ONE, -1, *([0] * 14))}, "not the pattern of a number"),
        ({"powers": (INFINITE - 1,) * 16, "steps": 3}, "a sum of 3 exponentials"),
        ({"powers": (INFINITE,) * 16, "steps": 3}, "not the pattern of a number"),
    ],
)
def test_bad_parameters(changed: dict, message: str) -> None:
    good = {
        "name": "s", "shape": signed(4), "channels": 3, "powers": (ONE, *range(15)),
        "out": signed(8), "offset": -128, "fifo": 1,
    }  # fmt: skip
    SoftmaxTable(**good)
    with pytest.raises(ValueError, match=message):
        SoftmaxTable(**good | changed)
