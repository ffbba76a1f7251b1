"""Row ring and window assembler together: every window with its masks, tap by tap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.contract.geometry import WindowGeometry
from hwgen.gateware.common.streams import connect, stream_of
from hwgen.gateware.stream.ring import RowRing
from hwgen.gateware.stream.window import WindowAssembler, window_layout
from hwgen.plan import latency
from hwgen.plan.dataflow.units import StreamShape

from .units import GAPS, Pair, UnitCase, by_name, choices, join, run_case, words

BITS = 5
SHAPE = signed(BITS)
FRAMES = 3


class Windows(wiring.Component):
    """Pixels in, windows out."""

    def __init__(self, g: WindowGeometry, rows: int, parallel: bool, queue: int) -> None:
        self.ring = RowRing(SHAPE, g, rows, parallel)
        self.window = WindowAssembler(SHAPE, g, parallel, queue)
        windows = stream.Signature(window_layout(SHAPE, g))
        super().__init__({"i": In(stream_of(SHAPE, g.lanes)), "o": Out(windows)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.ring, m.submodules.window = self.ring, self.window
        connect(m, wiring.flipped(self.i), self.ring.i)
        connect(m, self.ring.o, self.window.i)
        connect(m, self.window.o, wiring.flipped(self.o))
        return m


def windows(g: WindowGeometry, frame: np.ndarray) -> Iterator[tuple[int, int]]:
    """Payload and mask of every window; taps outside the frame do not count."""
    kh, kw, padded = g.kernel[0], g.window_columns, g.beats * g.lanes
    every = (1 << BITS) - 1
    for row in range(g.out_size[0]):
        for group in range(g.groups):
            top = row * g.stride[0] - g.pads[0][0]
            left = group * g.step - g.pads[1][0]
            values, masks = [], []
            for x in range(left, left + kw):
                for y in range(top, top + kh):
                    inside = 0 <= x < g.size[1] and 0 <= y < g.size[0]
                    for channel in range(padded):
                        real = inside and channel < g.channels
                        values.append(int(frame[y, x, channel]) & every if real else 0)
                        masks.append(every if real else 0)
            flags = [0 <= x < g.size[1] for x in range(left, left + kw)]
            flags += [0 <= y < g.size[0] for y in range(top, top + kh)]
            shift = BITS * len(values)
            bits = join([int(flag) for flag in flags], 1)
            yield (
                join(values, BITS) | bits << shift,
                join(masks, BITS) | ((1 << len(flags)) - 1) << shift,
            )


def case(name: str, g: WindowGeometry, rows: int, parallel: bool, queue: int) -> UnitCase:
    """Random frames."""
    low, high = -(1 << BITS - 1), (1 << BITS - 1) - 1
    rng = np.random.default_rng(len(name))
    frames = rng.integers(low, high + 1, (FRAMES, *g.size, g.channels))
    pixels = StreamShape(g.size[0] * g.size[1], g.channels, g.lanes, BITS)
    expected = [pair for frame in frames for pair in windows(g, frame)]
    # The beat that the first window waits for.
    last = g.rows_waited(0) * g.row_beats + min(g.size[1], g.first_steps) * g.beats - 1
    timed = parallel and g.first_steps <= g.size[1]
    return UnitCase(
        name, lambda: Windows(g, rows, parallel, queue), words(frames, pixels),
        [value for value, _ in expected], [mask for _, mask in expected],
        completes=[last] if timed else [], latency=latency.FIRST_WINDOW, undisturbed=True,
    )  # fmt: skip


def cases() -> Iterator[UnitCase]:
    """Padding, strides, several pixels, channels in several beats, both ways of reading."""
    same, none = ((1, 1), (1, 1)), ((0, 0), (0, 0))
    yield case("win_same", WindowGeometry((3, 3), (1, 1), same, (5, 6), 3, 2), 4, True, 1)
    yield case("win_serial", WindowGeometry((3, 3), (1, 1), same, (4, 5), 2, 2), 3, False, 2)
    yield case("win_pixels", WindowGeometry((3, 3), (1, 1), same, (5, 7), 1, 1, 3), 5, True, 3)
    yield case("win_stride", WindowGeometry((2, 3), (2, 2), none, (7, 8), 2, 1), 3, True, 1)
    yield case("win_sparse", WindowGeometry((2, 2), (3, 3), none, (7, 7), 1, 1), 2, False, 1)
    corner = ((2, 0), (0, 2))
    yield case("win_corner", WindowGeometry((3, 3), (1, 2), corner, (4, 5), 3, 3), 3, True, 2)


CASES = list(cases())


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return by_name(CASES)


@cocotb.test()
@cocotb.parametrize(case=choices(CASES), gaps=GAPS)
async def window(dut: Any, case: UnitCase, gaps: Pair) -> None:
    await run_case(dut, case, gaps)
