"""Regroup, ArgMax and Requant against plain lists."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from amaranth.hdl import signed, unsigned

from hwgen.gateware.common.requantizer import RequantParameters
from hwgen.gateware.stream.elementwise import ArgMax, Regroup, Requant
from hwgen.numeric import Overflow, QType, Rounding, requantize
from hwgen.plan import latency
from tests.helpers.pysim import pattern
from tests.helpers.streams import beats, drive, pixels


def chunks(elements: list[int], size: int) -> list[list[int]]:
    return [elements[n : n + size] for n in range(0, len(elements), size)]


@pytest.mark.parametrize("seed", range(40))
def test_regroup_keeps_elements_in_order(seed: int) -> None:
    """Any lanes and pixel sizes, also ones that do not divide; gaps on both sides."""
    rng = Random(seed)
    in_pixel, out_pixel = rng.randint(1, 9), rng.randint(1, 9)
    in_lanes, out_lanes = rng.randint(1, in_pixel), rng.randint(1, out_pixel)
    shape = rng.choice([signed, unsigned])(rng.randint(1, 6))
    low = -(1 << shape.width - 1) if shape.signed else 0
    count = in_pixel * out_pixel * 4
    elements = [rng.randint(low, low + (1 << shape.width) - 1) for _ in range(count)]
    unit = Regroup(shape, in_lanes, in_pixel, out_lanes, out_pixel)
    kinds = [rng.choice(["always", "random", "bursty"]) for _ in range(2)]
    sizes = [len(beat) for beat in chunks(list(range(out_pixel)), out_lanes)]

    def used(beat: int) -> int:
        return (1 << sizes[beat % len(sizes)] * shape.width) - 1

    trace = drive(
        unit, unit.i, unit.o, beats(chunks(elements, in_pixel), in_lanes, shape.width),
        count // out_pixel * -(-out_pixel // out_lanes),
        pattern(kinds[0], 1), pattern(kinds[1], 2), watch=[unit.level], used=used,
    )  # fmt: skip
    assert pixels(trace.words, out_pixel, out_lanes, shape) == chunks(elements, out_pixel)
    assert max(level for (level,) in trace.watched) <= unit.capacity


@pytest.mark.parametrize(
    ("in_lanes", "out_lanes"), [(1, 1), (1, 6), (6, 1), (2, 3), (3, 2), (6, 6), (2, 6)]
)
def test_regroup_gives_the_narrower_side_a_beat_a_cycle(in_lanes: int, out_lanes: int) -> None:
    """An element taken in a cycle can leave in the next; nothing pauses."""
    unit = Regroup(unsigned(4), in_lanes, 6, out_lanes, 6)
    elements = [n % 16 for n in range(6 * 20)]
    trace = drive(
        unit, unit.i, unit.o, beats(chunks(elements, 6), in_lanes, 4), 20 * 6 // out_lanes
    )
    assert trace.given[0] == -(-out_lanes // in_lanes)
    per_pixel = 6 // min(in_lanes, out_lanes)
    ends = trace.given[6 // out_lanes - 1 :: 6 // out_lanes]
    assert ends[-1] - ends[9] == per_pixel * (len(ends) - 10)


@pytest.mark.parametrize("channels", [1, 2, 3, 8, 9])
@pytest.mark.parametrize("shape", [signed(3), unsigned(2), signed(9)])
def test_argmax_is_the_first_of_the_largest(channels: int, shape) -> None:
    low = -(1 << shape.width - 1) if shape.signed else 0
    rng = np.random.default_rng(channels)
    x = rng.integers(low, low + (1 << shape.width), (30, channels))
    unit = ArgMax(shape, channels, latency.ARGMAX + 2)
    trace = drive(unit, unit.i, unit.o, beats(x.tolist(), 1, shape.width), 30)
    assert pixels(trace.words, 1, 1, unit.result_shape) == [[int(np.argmax(p))] for p in x]
    assert trace.taken == list(range(30 * channels))
    assert ArgMax.LATENCY == latency.ARGMAX
    assert trace.given[0] == channels - 1 + latency.ARGMAX + 1


@pytest.mark.parametrize("kinds", [("always", "always"), ("random", "bursty"), ("bursty", "rare")])
@pytest.mark.parametrize("multiplies", [True, False])
@pytest.mark.parametrize(("channels", "lanes"), [(1, 1), (3, 2), (5, 5), (4, 1)])
def test_requant_of_a_stream(
    channels: int, lanes: int, multiplies: bool, kinds: tuple[str, str]
) -> None:
    """Channels meet their own parameters; a beat a cycle with the FIFO that takes."""
    rng = np.random.default_rng(channels)
    mult = tuple(range(3, 3 + channels)) if multiplies else (4,) * channels
    bias = tuple(int(b) for b in rng.integers(-50, 50, channels))
    out = QType(True, 5, 0, Rounding.HALF_EVEN, Overflow.SATURATE)
    p = RequantParameters(mult, bias, 3, out)
    depth = latency.requantizer(p.multiplies, p.channels) + 2
    x = rng.integers(-128, 128, (25, channels))
    unit = Requant("r", signed(8), lanes, p, depth)
    count = 25 * -(-channels // lanes)
    trace = drive(
        unit, unit.i, unit.o, beats(x.tolist(), lanes, 8), count,
        pattern(kinds[0], 1), pattern(kinds[1], 2),
    )  # fmt: skip
    want = requantize(x, np.array(mult), np.array(bias), np.array(3), out)
    assert pixels(trace.words, channels, lanes, signed(5)) == want.tolist()
    if kinds == ("always", "always"):
        assert trace.taken == list(range(count))
        assert trace.given == [depth - 1 + n for n in range(count)]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((3, 2, 1, 2), "in: 3 lanes do not suit a pixel of 2"), ((1, 2, 0, 2), "out: 0 lanes")],
)
def test_regroup_refuses(sizes: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Regroup(signed(4), *sizes)


def test_refuses_no_fifo_or_channels() -> None:
    with pytest.raises(ValueError, match="channels must be at least 1"):
        ArgMax(signed(4), 0, 1)
    with pytest.raises(ValueError, match="fifo must be at least 1"):
        ArgMax(signed(4), 3, 0)
    out = QType(True, 5, 0, Rounding.FLOOR, Overflow.WRAP)
    with pytest.raises(ValueError, match="fifo must be at least 1"):
        Requant("r", signed(8), 1, RequantParameters((1,), (0,), 1, out), 0)
