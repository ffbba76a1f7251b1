"""Row ring and window assembler together: every window of every frame, tap by tap."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from amaranth.hdl import Module, signed

from hwgen.contract.geometry import WindowGeometry
from hwgen.gateware.common.streams import connect
from hwgen.gateware.stream.ring import RowRing
from hwgen.gateware.stream.window import WindowAssembler
from hwgen.plan import latency
from tests.helpers.pysim import pattern
from tests.helpers.streams import Trace, beats, drive, split
from tests.helpers.windows import frames, random_geometry

SHAPE = signed(6)


def rows_needed(g: WindowGeometry) -> int:
    """Most real rows that one window touches."""
    spans = []
    for row in range(g.out_size[0]):
        first = row * g.stride[0] - g.pads[0][0]
        spans.append(min(g.size[0], first + g.kernel[0]) - max(0, first))
    return max(spans)


def windows_of(
    g: WindowGeometry, x: np.ndarray, rows: int, parallel: bool, queue: int, kinds: tuple[str, str]
) -> Trace:
    """Feed frames, collect all windows; the ring's level is watched."""
    ring = RowRing(SHAPE, g, rows, parallel)
    window = WindowAssembler(SHAPE, g, parallel, queue)
    m = Module()
    m.submodules.ring, m.submodules.window = ring, window
    connect(m, ring.o, window.i)
    words = beats(x.reshape(-1, g.channels).tolist(), g.lanes, SHAPE.width)
    count = len(x) * g.out_size[0] * g.groups
    return drive(
        m, ring.i, window.o, words, count, pattern(kinds[0], 1), pattern(kinds[1], 2),
        watch=[ring.level],
    )  # fmt: skip


def check_windows(g: WindowGeometry, x: np.ndarray, trace: Trace) -> None:
    """Masks are those of the definition; taps inside equal the frame."""
    padded = -(-g.channels // g.lanes) * g.lanes
    kh, kw = g.kernel[0], g.window_columns
    words = iter(trace.words)
    for frame in x:
        for row in range(g.out_size[0]):
            for group in range(g.groups):
                word = next(words)
                elements = split(word, SHAPE, kw * kh * padded)
                masks = word >> (kw * kh * padded * SHAPE.width)
                left = group * g.pixels * g.stride[1] - g.pads[1][0]
                top = row * g.stride[0] - g.pads[0][0]
                inside_x = [0 <= left + n < g.size[1] for n in range(kw)]
                inside_y = [0 <= top + n < g.size[0] for n in range(kh)]
                want_masks = sum(bit << n for n, bit in enumerate(inside_x + inside_y))
                assert masks == want_masks, f"masks of row {row}, group {group}"
                for kx in range(kw):
                    for ky in range(kh):
                        if not (inside_x[kx] and inside_y[ky]):
                            continue
                        start = (kx * kh + ky) * padded
                        got = elements[start : start + g.channels]
                        want = frame[top + ky, left + kx].tolist()
                        assert got == want, f"row {row}, group {group}, tap {ky}, {kx}"


@pytest.mark.parametrize("seed", range(40))
def test_windows_equal_their_definition(seed: int) -> None:
    """Any geometry, ring size, reading mode, queue depth and gaps; three frames."""
    rng = Random(seed)
    g = random_geometry(rng, pixels=rng.choice([1, 1, 2, 3]))
    x = frames(g, 3, -32, 31, seed)
    kinds = (rng.choice(["always", "random", "bursty"]), rng.choice(["always", "random", "bursty"]))
    rows = rows_needed(g) + rng.randint(0, 3)
    trace = windows_of(g, x, rows, rng.random() < 0.5, rng.randint(1, 4), kinds)
    check_windows(g, x, trace)
    assert max(level for (level,) in trace.watched) <= rows


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize(
    ("kernel", "stride", "pad", "lanes"),
    [(3, 1, 1, 1), (3, 1, 1, 2), (3, 1, 0, 2), (2, 2, 0, 2), (3, 2, 1, 1), (1, 1, 0, 2)],
)
def test_a_beat_a_cycle(parallel: bool, kernel: int, stride: int, pad: int, lanes: int) -> None:
    """In the steady state the slower side, writing or reading, never pauses.

    A serial ring reads each kernel row of a column after the other. Rows below each other
    share the columns beyond the edge, except after the last row of a frame.
    """
    g = WindowGeometry(
        (kernel, kernel), (stride, stride), ((pad, pad), (pad, pad)), (6, 6), 2, lanes
    )
    x = frames(g, 5, -32, 31, 0)
    trace = windows_of(g, x, 3 * kernel, parallel, 4, ("always", "always"))
    check_windows(g, x, trace)
    chunks = 2 // lanes
    columns = 6 if stride == 1 else (g.out_size[1] - 1) * stride + kernel - pad
    reading = g.out_size[0] * columns * chunks * (1 if parallel else kernel) + pad * (stride == 1)
    per_frame = g.out_size[0] * g.out_size[1]
    ends = trace.given[per_frame - 1 :: per_frame]
    assert ends[-1] - ends[-2] == max(36 * chunks, reading)


def test_latency_of_the_first_window() -> None:
    """One row, one column: written in 0, asked for in 1, in the ring's queue 3 later, accepted the
    cycle after, in the window queue 2 later and at its head the cycle after."""
    assert (RowRing.LATENCY, RowRing.QUEUE) == (latency.RING, latency.RING_QUEUE) == (3, 5)
    assert WindowAssembler.LATENCY == latency.WINDOW == 2
    g = WindowGeometry((1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1, 1)
    for parallel in (True, False):
        trace = windows_of(g, frames(g, 1, 0, 1, 0), 1, parallel, 1, ("always", "always"))
        assert trace.taken == [0]
        assert trace.given == [latency.FIRST_WINDOW] == [9]


def test_refuses_a_ring_smaller_than_a_window() -> None:
    g = WindowGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (5, 5), 1, 1)
    with pytest.raises(ValueError, match="2 rows is too small, the window needs 3"):
        RowRing(SHAPE, g, 2, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": (0, 3)}, "kernel"),
        ({"stride": (1, 0)}, "stride"),
        ({"size": (0, 4)}, "size"),
        ({"channels": 0}, "at least 1"),
        ({"lanes": 3}, "3 lanes are more than 2 channels"),
        ({"kernel": (7, 7)}, "does not fit"),
        ({"pads": ((3, 0), (0, 0))}, "padding"),
    ],
)
def test_geometry_refuses(change: dict, message: str) -> None:
    good = {
        "kernel": (3, 3), "stride": (1, 1), "pads": ((0, 0), (0, 0)), "size": (5, 5),
        "channels": 2, "lanes": 1,
    }  # fmt: skip
    WindowGeometry(**good)
    with pytest.raises(ValueError, match=message):
        WindowGeometry(**(good | change))
