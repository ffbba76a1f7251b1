"""Softmax on the tiled engine: the exponentials of its table, and what has to be refused."""

from __future__ import annotations

from math import prod

import numpy as np

from ....contract.isa import SOFTMAX_CHANNELS, TABLE_WORDS
from ....errors import UserError
from ....ir import Op, Tensor, ops
from ... import latency
from ...exponentials import softmax_powers

_HINT = "leave it to the host with --tail host, where it is the last layer"


def exponentials_of(layer: str, op: Op, x: Tensor, stored: tuple[int, int, int]) -> np.ndarray:
    """The exponential of each difference to the largest byte, as Q0.31: 256 integers.

    x : what is normalized, over its channels; stored : its shape as it lies in memory. Raises
    UserError for what the engine has no unit for.
    """
    if isinstance(op, ops.SoftmaxTable):
        litert = op.steps is None
        whose = "LiteRT's optimized kernels compute" if litert else "ONNX Runtime computes"
        other = "import the model with --runtime tflm or --runtime reference; or " if litert else ""
        raise UserError(
            f"the tiled architecture has no unit for a softmax in float32, as {whose} it; it has "
            "one for that of TFLM and of the reference kernels",
            layer=layer,
            hint=f"{other}{_HINT}",
        )
    assert isinstance(op, ops.Softmax)
    if op.type.width > 8:
        raise UserError(
            f"the tiled architecture has a softmax of 8 bits, this one gives {op.type.width}",
            layer=layer,
            hint=_HINT,
        )
    if x.hwc != stored:
        raise UserError(
            f"the tiled architecture has a softmax over the channels of each pixel; what this one "
            f"takes as {x.channels} channels lies in memory as {stored}",
            layer=layer,
            hint=_HINT,
        )
    assert x.channels <= SOFTMAX_CHANNELS
    powers = softmax_powers(op.mult, op.shift, (TABLE_WORDS - 1).bit_length())
    return np.array(powers, np.int64)


def softmax_cycles(counts: list[int], groups: int, channels: int) -> int:
    """Cycles that the vectors of a tile take; counts : of the loops over their words."""
    _, interval = latency.softmax(channels)
    return prod(counts) // groups * interval
