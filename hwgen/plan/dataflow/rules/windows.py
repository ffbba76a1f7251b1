"""The geometry of what slides over an image."""

from __future__ import annotations

from ....contract.geometry import WindowGeometry
from ....ir import Pair, ops
from .rule import Stage


def window_of(
    stage: Stage[ops.Conv2D] | Stage[ops.Pool], kernel: Pair, lanes: int, pixels: int = 1
) -> WindowGeometry:
    """Geometry of the windows of a convolution or a pool.

    Parameters
    ----------
    kernel : rows and columns that a window spans. lanes : of the input's beats. pixels : output
    pixels computed side by side.
    """
    height, width, channels = stage.input.hwc
    return WindowGeometry(
        kernel=kernel,
        stride=stage.op.stride,
        pads=stage.op.pads(stage.input),
        size=(height, width),
        channels=channels,
        lanes=lanes,
        pixels=pixels,
    )
