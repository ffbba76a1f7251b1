"""Pools against their definition."""

from __future__ import annotations

from random import Random

import pytest
from amaranth.hdl import signed, unsigned

from hwgen.contract.geometry import WindowGeometry
from hwgen.gateware.stream.conv import Depths
from hwgen.gateware.stream.pool import PoolReduction, StreamPool, WindowPool
from hwgen.plan import latency
from tests.helpers.pysim import pattern
from tests.helpers.shapes import limits
from tests.helpers.streams import Trace, beats, drive, pixels
from tests.helpers.windows import frames, outputs, random_geometry, taps

Pool = StreamPool | WindowPool


def pooled(g: WindowGeometry, x, reduction: PoolReduction) -> list[list[int]]:
    """Output pixels of all frames."""
    combine = max if reduction is PoolReduction.MAX else sum
    return [
        [
            combine(int(frame[y, column, c]) for _, _, y, column in taps(g, *output))
            for c in range(g.channels)
        ]
        for frame in x
        for output in outputs(g)
    ]


def check(pool: Pool, x, kinds: tuple[str, str] = ("always", "always")) -> Trace:
    g, shape = pool.geometry, pool.shape
    want = pooled(g, x, pool.reduction)
    words = beats(x.reshape(-1, g.channels).tolist(), g.lanes, shape.width)
    trace = drive(
        pool, pool.i, pool.o, words, len(want) * g.beats,
        pattern(kinds[0], 1), pattern(kinds[1], 2), watch=[pool.level],
    )  # fmt: skip
    assert pixels(trace.words, g.channels, g.lanes, pool.result_shape) == want
    assert max(level for (level,) in trace.watched) <= pool.depths.fifo
    return trace


@pytest.mark.parametrize("reduction", list(PoolReduction))
@pytest.mark.parametrize("kind", [StreamPool, WindowPool])
@pytest.mark.parametrize("seed", range(12))
def test_pools_equal_their_definition(
    seed: int, kind: type[StreamPool] | type[WindowPool], reduction: PoolReduction
) -> None:
    """Any geometry and sign, extremes included, gaps on both sides, small buffers."""
    rng = Random(f"{seed} {kind} {reduction}")
    g = random_geometry(rng, overlap=False if kind is StreamPool else None)
    shape = rng.choice([signed, unsigned])(rng.randint(1, 7))
    spans = [len({y for _, _, y, _ in taps(g, *output)}) for output in outputs(g)]
    depths = Depths(max(spans) + rng.randint(0, 2), rng.random() < 0.5, rng.randint(1, 3), 0, 1)
    kinds = tuple(rng.choice(["always", "random", "bursty"]) for _ in range(2))
    pool = kind(shape, g, reduction, depths)
    check(pool, frames(g, 3, *limits(shape), seed), (kinds[0], kinds[1]))


@pytest.mark.parametrize("reduction", list(PoolReduction))
def test_stream_pool_takes_a_beat_a_cycle(reduction: PoolReduction) -> None:
    """The beat that completes a window is at the FIFO's end 2 cycles later."""
    g = WindowGeometry((2, 2), (2, 2), ((0, 0), (0, 0)), (4, 6), 3, 2)
    fifo = StreamPool.LATENCY + 2
    pool = StreamPool(unsigned(4), g, reduction, Depths(fifo=fifo))
    trace = check(pool, frames(g, 3, 0, 15, 0))
    assert trace.taken == list(range(3 * g.size[0] * g.row_beats))
    assert StreamPool.LATENCY == latency.STREAM_POOL
    completing = (g.size[1] + 1) * g.beats
    assert trace.given[0] == completing + latency.STREAM_POOL + 1


def test_window_pool_makes_a_beat_a_cycle() -> None:
    """Overlapping windows of stride 1: as many outputs as inputs, each takes one cycle."""
    g = WindowGeometry((3, 3), (1, 1), ((1, 1), (1, 1)), (5, 5), 2, 2)
    fifo = latency.window_pool(9) + 2
    pool = WindowPool(signed(5), g, PoolReduction.MAX, Depths(7, True, 5, fifo=fifo))
    trace = check(pool, frames(g, 5, -16, 15, 0))
    # One cycle more than pixels: the column beyond the last row of a frame.
    ends = trace.given[24::25]
    assert ends[-1] - ends[-2] == 26


@pytest.mark.parametrize("kernel", [(1, 1), (1, 2), (2, 2), (3, 3), (4, 4)])
def test_window_pool_latency(kernel: tuple[int, int]) -> None:
    count = kernel[0] * kernel[1]
    g = WindowGeometry(kernel, (1, 1), ((0, 0), (0, 0)), kernel, 1, 1)
    pool = WindowPool(signed(5), g, PoolReduction.SUM, Depths(kernel[0], True, 1, fifo=1))
    assert pool.latency == latency.window_pool(count)
    trace = check(pool, frames(g, 1, -16, 15, 0))
    delay = latency.FIRST_WINDOW + latency.window_pool(count) + 1
    assert trace.given[0] - trace.taken[-1] == delay


@pytest.mark.parametrize("kind", [StreamPool, WindowPool])
def test_a_narrower_result_where_the_values_fit(kind: type[StreamPool] | type[WindowPool]) -> None:
    """Elements of a wide type that are known to be 0..3: their sum of 4 needs 4 bits, no sign."""
    g = WindowGeometry((2, 2), (2, 2), ((0, 0), (0, 0)), (4, 4), 2, 1)
    depths = Depths(2, True, 1, fifo=2)
    pool = kind(signed(8), g, PoolReduction.SUM, depths, unsigned(4))
    assert pool.result_shape == unsigned(4)
    check(pool, frames(g, 2, 0, 3, 0))


def test_result_shapes_hold_every_result() -> None:
    assert PoolReduction.MAX.result(signed(5), 9) == signed(5)
    for shape in (signed(1), signed(5), unsigned(1), unsigned(6)):
        for count in range(1, 40):
            low, high = limits(shape)
            least, most = limits(PoolReduction.SUM.result(shape, count))
            assert least <= low * count
            assert high * count <= most


def test_refuses_what_it_can_not_do() -> None:
    g = WindowGeometry((2, 2), (1, 1), ((0, 0), (0, 0)), (4, 4), 1, 1)
    with pytest.raises(ValueError, match="windows overlap"):
        StreamPool(signed(4), g, PoolReduction.MAX, Depths())
    two = WindowGeometry((2, 2), (1, 1), ((0, 0), (0, 0)), (4, 4), 1, 1, 2)
    with pytest.raises(ValueError, match="one pixel at a time"):
        WindowPool(signed(4), two, PoolReduction.MAX, Depths(rows=2))
