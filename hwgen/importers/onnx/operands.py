"""Constant operands of operators on elements."""

from __future__ import annotations

import numpy as np

from ...aliases import Array
from ...errors import UserError
from .work import Value


def operand(const: Array, value: Value) -> Array:
    """A constant's float32 numbers as one, or one a channel, of a value's edge.

    Raises UserError where they differ from pixel to pixel, or make the value larger.
    """
    numbers = np.asarray(const, np.float32)
    if numbers.size == 1:
        return numbers.reshape(1)
    try:
        spread = np.broadcast_to(numbers, value.where.shape)
    except ValueError:
        raise UserError(
            f"a constant of shape {list(numbers.shape)} does not fit {list(value.where.shape)}"
        ) from None
    if value.where.size < value.edge.size:
        raise UserError("a constant beside a part of a tensor that is not quantized is not "
                        "supported", hint="put a quantizer before it")  # fmt: skip
    ours = np.empty(value.edge.size, np.float32)
    ours[value.where.reshape(-1)] = spread.reshape(-1)
    rows = ours.reshape(-1, value.edge.channels)
    if np.any(rows != rows[0]):
        raise UserError("a constant that differs from pixel to pixel is not supported")
    return rows[0] if np.any(rows[0] != rows[0, 0]) else rows[0, :1]
