"""Activations as functions of real numbers, and what they are behind integers: step functions.

All of them are non-decreasing and their results are few: the thresholds are found by bisection with
exact arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import MultiThreshold
from ...numeric import MAX_TENSOR_WIDTH, Overflow, int_array, round_shift, type_for_range
from ..affine import Affine, fraction_bits
from .quantizer import ActivationQuantizer

Real = Callable[[Fraction], Fraction]


@dataclass(frozen=True)
class Function:
    """A non-decreasing function of real numbers; ``note``: what its reader should know.

    ``squashes`` : its name, where it only brings numbers into a range, as the end of a classifier.
    """

    value: Real
    note: str | None = None
    squashes: str | None = None

    def then(self, outer: Function) -> Function:
        """First this one, then the other."""
        return Function(lambda x: outer.value(self.value(x)), self.note or outer.note)


FLOAT64 = "in float64; Keras' float32 can fall on the other side of a rounding threshold"


def rounding_of(quantizer: ActivationQuantizer) -> Function:
    """A clipped rounding as a function. Raises UserError where what overflows wraps."""
    q = quantizer
    unit, step = Fraction(2) ** q.grid, Fraction(2) ** -q.type.frac
    if q.binary:
        return Function(lambda x: step if x >= 0 else -step)
    if q.type.overflow in (Overflow.WRAP, Overflow.SATURATE_ZERO):
        raise UserError(
            f"a quantizer whose overflow is {q.type.overflow} behind a function is not supported",
            hint="let it saturate",
        )

    def value(x: Fraction) -> Fraction:
        floor, rest = divmod(x * unit, 1)
        # Thirty-two bits of the rest and whether anything is left decide every rounding.
        bits = int(rest * (1 << 31)) * 2 + (rest * (1 << 31) % 1 != 0)
        scaled = int_array([(int(floor) << 32) + bits], 1 << 62)
        code = int(round_shift(scaled, 32, q.type.rounding)[0])
        return min(max(code, q.type.low), q.type.max) * step

    return Function(value)


def curve(name: str, params: dict[str, Any]) -> Function | None:
    """An activation of Keras before a quantizer, in the float32 operations of Keras.

    ``params`` : the ``slope`` of a leaky_relu; ``whose`` hard_sigmoid it is, that of Keras 2, of
    Keras 3 or of QKeras: three functions.
    """
    if name == "leaky_relu":
        slope = np.float32(params["slope"])
        return Function(lambda x: x if x >= 0 else as_fraction(_float32(x) * slope))
    if name == "hard_sigmoid":
        return Function(_HARD_SIGMOIDS[params["whose"]], squashes=name)
    if name == "tanh":
        return Function(tanh64, f"tanh {FLOAT64}", name)
    if name == "sigmoid":
        return Function(sigmoid64, f"sigmoid {FLOAT64}", name)
    return None


def _line(slope: float) -> Real:
    """``slope * x + 0.5``, from 0 to 1."""

    def value(x: Fraction) -> Fraction:
        line = np.float32(slope) * _float32(x) + np.float32(0.5)
        return min(max(as_fraction(line), Fraction(0)), Fraction(1))

    return value


def _sixth(x: Fraction) -> Fraction:
    line = min(max(_float32(x) + np.float32(3), np.float32(0)), np.float32(6))
    return as_fraction(line / np.float32(6))


_HARD_SIGMOIDS = {"keras2": _line(0.2), "keras3": _sixth, "qkeras": _line(0.5)}


def as_fraction(x: np.float32) -> Fraction:
    """The number that a float32 is."""
    return Fraction(float(x))


def _within(x: Fraction, bound: int) -> Fraction:
    return min(max(x, Fraction(-bound)), Fraction(bound))


def _float32(x: Fraction) -> np.float32:
    """The nearest float32; the largest one for what is beyond: every quantizer saturates there."""
    return np.float32(float(_within(x, int(np.finfo(np.float32).max))))


def tanh64(x: Fraction) -> Fraction:
    """tanh in float64."""
    return Fraction(math.tanh(_within(x, 700)))


def sigmoid64(x: Fraction) -> Fraction:
    """The logistic function in float64."""
    # exp() of a large number overflows where the result is long 0 or 1.
    return Fraction(1 / (1 + math.exp(_within(-x, 700))))


def multi_threshold(function: Function, pending: Affine, x: Tensor) -> MultiThreshold:
    """What is pending on an edge, and the function behind it, as one op.

    Raises UserError where the results do not fit a streamed tensor.
    """
    unit = Fraction(2) ** -x.type.frac

    def real(code: int, scale: Fraction, offset: Fraction) -> Fraction:
        v = code * scale * unit + offset
        v = v if pending.low is None else max(v, pending.low)
        return function.value(v if pending.high is None else min(v, pending.high))

    channels = list(zip(pending.scale, pending.offset, strict=True))
    found = {
        each: _changes(lambda code, each=each: real(code, *each), *x.range)
        for each in dict.fromkeys(channels)
    }
    values = sorted({value for steps in found.values() for _, value in steps})
    frac = fraction_bits(values)
    codes = [int(value * Fraction(2) ** frac) for value in values]
    qtype = type_for_range(min(codes), max(codes), frac)
    if qtype.width > MAX_TENSOR_WIDTH:
        raise UserError(
            f"its values take {qtype.width} bits, at most {MAX_TENSOR_WIDTH} can be streamed",
            hint="use fewer bits",
        )
    rows = [_thresholds(found[each], values, x.range[1]) for each in channels]
    if all(row == rows[0] for row in rows):
        rows = rows[:1]
    if len(values) == 1:
        codes, rows = codes * 2, [[x.range[1] + 1]]
    return MultiThreshold(np.array(rows, np.int64), np.array(codes, np.int64), qtype)


def _changes(real: Callable[[int], Fraction], low: int, high: int) -> list[tuple[int, Fraction]]:
    """(input, value) where a non-decreasing function of integers takes each of its values."""
    result = [(low, real(low))]
    todo = [(low, result[0][1], high, real(high))]
    while todo:
        a, at_a, b, at_b = todo.pop()
        if at_a == at_b:
            continue
        if b - a == 1:
            result.append((b, at_b))
            continue
        middle = (a + b) // 2
        at_middle = real(middle)
        todo += [(middle, at_middle, b, at_b), (a, at_a, middle, at_middle)]
    return result


def _thresholds(steps: list[tuple[int, Fraction]], values: list[Fraction], high: int) -> list[int]:
    """Find for each value but the least the first input that gives it or more; high + 1: none."""
    result, position = [], 0
    for value in values[1:]:
        while position < len(steps) and steps[position][1] < value:
            position += 1
        result.append(steps[position][0] if position < len(steps) else high + 1)
    return result
