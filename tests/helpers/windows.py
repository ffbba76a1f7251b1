"""Sliding windows by their definition, tap by tap, and random geometries of them."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np

from hwgen.contract.geometry import WindowGeometry


def taps(geometry: WindowGeometry, row: int, column: int) -> Iterator[tuple[int, int, int, int]]:
    """(kernel row, kernel column, frame row, frame column) of the real taps of an output."""
    for ky in range(geometry.kernel[0]):
        for kx in range(geometry.kernel[1]):
            y = row * geometry.stride[0] + ky - geometry.pads[0][0]
            x = column * geometry.stride[1] + kx - geometry.pads[1][0]
            if 0 <= y < geometry.size[0] and 0 <= x < geometry.size[1]:
                yield ky, kx, y, x


def outputs(geometry: WindowGeometry) -> Iterator[tuple[int, int]]:
    """(row, column) of every output pixel, in order."""
    for row in range(geometry.out_size[0]):
        for column in range(geometry.out_size[1]):
            yield row, column


def frames(geometry: WindowGeometry, count: int, low: int, high: int, seed: int) -> np.ndarray:
    """Random frames (frame, row, column, channel)."""
    shape = (count, *geometry.size, geometry.channels)
    return np.random.default_rng(seed).integers(low, high + 1, shape)


def random_geometry(rng: Random, overlap: bool | None = None, pixels: int = 1) -> WindowGeometry:
    """Any small geometry. ``overlap`` False: stride at least the kernel; True: below it."""
    while True:
        kernel = (rng.randint(1, 4), rng.randint(1, 4))
        stride = (rng.randint(1, 4), rng.randint(1, 4))
        strides_clear = all(s >= k for s, k in zip(stride, kernel, strict=True))
        if overlap is not None and overlap == strides_clear:
            continue
        pads = tuple((rng.randrange(k), rng.randrange(k)) for k in kernel)
        channels = rng.randint(1, 4)
        try:
            geometry = WindowGeometry(
                kernel=kernel,
                stride=stride,
                pads=(pads[0], pads[1]),
                size=(rng.randint(1, 7), rng.randint(1, 7)),
                channels=channels,
                lanes=rng.randint(1, channels),
                pixels=pixels,
            )
        except ValueError:
            continue
        if geometry.pixels <= geometry.out_size[1]:
            return geometry
