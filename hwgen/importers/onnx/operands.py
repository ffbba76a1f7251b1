"""Constant operands of operators on elements."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir.ops import Reshape
from .real import FloatStep
from .work import OnnxImport, Value


def operand(const: Array, value: Value) -> Array:
    """A constant's float32 numbers as one, or one a channel, of a value's edge.

    Raises UserError where they differ from pixel to pixel, or make the value larger.
    """
    rows = _rows(const, value)
    if np.any(rows != rows[0]):
        raise UserError("a constant that differs from pixel to pixel is not supported")
    return rows[0] if np.any(rows[0] != rows[0, 0]) else rows[0, :1]


def is_of_pixels(const: Array, value: Value) -> bool:
    """Whether a constant differs from pixel to pixel of a value's edge, or in an image whose
    elements are all channels already. Raises UserError where it does not fit."""
    rows = _rows(const, value)
    whole = len(value.edge.shape) == 1 and np.prod(value.where.shape[2:]) > 1
    return bool(np.any(rows != (rows[0, 0] if whole else rows[0])))


def flat(work: OnnxImport, name: str, value: Value) -> Value:
    """A value whose edge has all elements as channels, so that each has constants of its own.

    Raises UserError where the value is not quantized.
    """
    if value.sums or any(s.operand is not None and s.curve is not None for s in value.steps):
        raise UserError(
            "a constant that differs from pixel to pixel is not supported beside numbers that are "
            "not quantized", hint="put a quantizer before it",
        )  # fmt: skip
    if len(value.edge.shape) == 1:
        return value
    pixels = value.edge.size // value.edge.channels

    def each(numbers: Array) -> Array:
        return numbers if numbers.size == 1 else np.tile(numbers, pixels)

    steps = tuple(
        step if step.operand is None else _with_operand(step, each(step.operand))
        for step in value.steps
    )
    edge = work.add(f"{name}_pixels", Reshape((value.edge.size,)), value.edge)
    return replace(value, edge=edge, scale=each(value.scale), steps=steps)


def _with_operand(step: FloatStep, numbers: Array) -> FloatStep:
    stored = None if numbers.size > 1 and step.stored is not None else step.stored
    return replace(step, operand=numbers, stored=stored)


def _rows(const: Array, value: Value) -> Array:
    """A constant's float32 numbers for each pixel and channel of an edge; of a single one, once.

    Raises UserError where it makes the value larger.
    """
    numbers = np.asarray(const, np.float32)
    if numbers.size == 1:
        return numbers.reshape(1, 1)
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
    return ours.reshape(-1, value.edge.channels)
