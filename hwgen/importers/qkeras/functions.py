"""Activations that are no clipped rounding: leaky, tanh, sigmoid, powers of two.

All of them are non-decreasing functions of a real number whose results are few: behind integers
they are staircases, whose thresholds are found here by bisection with exact arithmetic.
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
from ...ir.ops import Staircase
from ...numeric import MAX_TENSOR_WIDTH, type_for_range
from .affine import Affine, fraction_bits
from .quantizers import ActivationQuantizer, Spec, number_alpha, ternary_threshold

Real = Callable[[Fraction], Fraction]

_EPSILON = Fraction(float(np.float32(1e-7)))
"""K.epsilon()"""


@dataclass(frozen=True)
class Function:
    """A non-decreasing function of real numbers; ``note``: what its reader should know."""

    value: Real
    note: str | None = None

    def then(self, outer: Function) -> Function:
        """First this one, then the other."""
        return Function(lambda x: outer.value(self.value(x)), self.note or outer.note)


_FLOAT64 = "in float64; QKeras' float32 can fall on the other side of a rounding threshold"


def rounding_of(quantizer: ActivationQuantizer) -> Function:
    """A clipped rounding as a function."""
    q = quantizer
    unit, step = Fraction(2) ** q.grid, Fraction(2) ** -q.type.frac
    if q.binary:
        return Function(lambda x: step if x >= 0 else -step)
    return Function(lambda x: min(max(round(x * unit), q.type.low), q.type.max) * step)


def quantizer_function(spec: Spec) -> Function | None:
    """The function of a quantizer that is no clipped rounding, None for others.

    Raises UserError for parameters that are not supported. Formulas: quantizers.py, QKeras 0.9.0.
    """
    if spec.name == "quantized_relu" and spec.params["negative_slope"]:
        return _leaky_relu(spec)
    makers = {
        "quantized_tanh": _tanh,
        "quantized_sigmoid": _sigmoid,
        "quantized_po2": _po2,
        "quantized_relu_po2": _relu_po2,
        "binary": _few,
        "ternary": _few,
    }
    return makers[spec.name](spec) if spec.name in makers else None


def curve(name: str, params: dict[str, Any]) -> Function | None:
    """An activation of Keras before a quantizer, in the float32 operations of Keras."""
    if name == "leaky_relu":
        slope = np.float32(params["slope"])
        return Function(lambda x: x if x >= 0 else _exact(np.float32(float(x)) * slope))
    if name == "hard_sigmoid":

        def hard(x: Fraction) -> Fraction:
            line = np.float32(0.2) * np.float32(float(x)) + np.float32(0.5)
            return min(max(_exact(line), Fraction(0)), Fraction(1))

        return Function(hard)
    if name == "tanh":
        return Function(_tanh64, f"tanh {_FLOAT64}")
    if name == "sigmoid":
        return Function(_sigmoid64, f"sigmoid {_FLOAT64}")
    return None


def _exact(x: np.float32) -> Fraction:
    return Fraction(float(x))


def _tanh64(x: Fraction) -> Fraction:
    return Fraction(math.tanh(x))


def _sigmoid64(x: Fraction) -> Fraction:
    # exp() of a large number overflows where the result is long 0.
    return Fraction(1 / (1 + math.exp(min(-x, Fraction(700)))))


def _leaky_relu(spec: Spec) -> Function:
    bits, integer = spec.number("bits", 1, 24), spec.number("integer", -64, 64)
    slope = spec.params["negative_slope"]
    if not isinstance(slope, (int, float)) or not 0 < slope <= 1 or math.frexp(slope)[0] != 0.5:
        raise spec.layer.error(
            f"{spec.name}: negative_slope {slope!r} is not a power of two up to 1"
        )
    if spec.params["use_sigmoid"]:
        raise spec.layer.error(f"{spec.name}: use_sigmoid with a slope is not supported")
    if spec.params["relu_upper_bound"] is not None:
        raise spec.layer.error(f"{spec.name}: relu_upper_bound with a slope is not supported")
    down, m, step = Fraction(slope), 1 << (bits - 1), Fraction(2) ** (integer - bits + 1)

    def value(x: Fraction) -> Fraction:
        if x >= 0:
            return min(round(x / step), m - 1) * step
        return max(round(x / step * down), -down * m) * step

    return Function(value)


def _tanh(spec: Spec) -> Function:
    m = 1 << (spec.number("bits", 1, 24) - 1)
    low = -1 + Fraction(int(spec.flag("symmetric")), m)

    def value(x: Fraction) -> Fraction:
        # Hard tanh is 2 * clip(x / 2 + 1 / 2) - 1.
        p = _tanh64(x) if real else min(max(x, Fraction(-1)), Fraction(1))
        return min(max(Fraction(round(p * m), m), low), 1 - Fraction(1, m))

    real = spec.flag("use_real_tanh")
    return Function(value, f"tanh {_FLOAT64}" if real else None)


def _sigmoid(spec: Spec) -> Function:
    m = 1 << spec.number("bits", 1, 24)
    low, half = Fraction(int(spec.flag("symmetric")), m), Fraction(1, 2)

    def value(x: Fraction) -> Fraction:
        p = _sigmoid64(x) if real else min(max(x * half + half, Fraction(0)), Fraction(1))
        return min(max(Fraction(round(p * m), m), low), 1 - Fraction(1, m))

    real = spec.flag("use_real_sigmoid")
    return Function(value, f"sigmoid {_FLOAT64}" if real else None)


def _few(spec: Spec) -> Function:
    """Binary and ternary activations."""
    if isinstance(spec.params["alpha"], str):
        raise spec.layer.error(
            f"{spec.name}: alpha {spec.params['alpha']!r} of an activation depends on the data",
            "use alpha=1",
        )
    alpha = number_alpha(spec)
    if spec.name == "binary":
        low = Fraction(0) if spec.params["use_01"] else -alpha
        return Function(lambda x: alpha if x >= 0 else low)
    edge = ternary_threshold(spec)
    return Function(lambda x: alpha if x >= edge else -alpha if x <= -edge else Fraction(0))


@dataclass(frozen=True)
class PowerOfTwo:
    """The exponents of quantized_po2: their limits, and the largest value (None: any).

    ``quadratic`` : they are even, twice the rounded logarithm of the square root.
    """

    low: int
    high: int
    largest: Fraction | None
    quadratic: bool

    @classmethod
    def of(cls, spec: Spec, sign_bits: int) -> PowerOfTwo:
        """Limits that follow from the bits. Raises UserError."""
        if spec.params["log2_rounding"] != "rnd":
            raise spec.layer.error(f"{spec.name}: log2_rounding must be 'rnd'")
        largest = spec.params["max_value"]
        if largest is not None and (not isinstance(largest, (int, float)) or largest <= 0):
            raise spec.layer.error(f"{spec.name}: max_value {largest!r} is not a positive number")
        effective = spec.number("bits", 1, 8) - sign_bits - (largest is None or largest > 1)
        if effective < 0:
            raise spec.layer.error(f"{spec.name}: {spec.params['bits']} bits leave no exponent")
        bound = None if largest is None else Fraction(float(np.float32(largest)))
        low, high = -(2**effective), 2**effective - 1
        if quadratic := spec.flag("quadratic_approximation"):
            high = high // 2 * 2
        return cls(low, high, bound, quadratic)

    def exponent(self, x: Fraction) -> int:
        """Of the power of two for a number of at least zero: the nearest logarithm."""
        if x < _EPSILON:
            return self.low  # also where it is quadratic
        x = x if self.largest is None else min(x, self.largest)
        # 2**(n - 1/2) <= y < 2**(n + 1/2), compared in squares, where y is x or its square root.
        square = x if self.quadratic else x * x
        n = math.floor(math.log2(square) / 2)
        n += square > Fraction(2) ** (2 * n + 1)
        return min(max(n, self.low), self.high) * (2 if self.quadratic else 1)


def _po2(spec: Spec) -> Function:
    powers = PowerOfTwo.of(spec, 1)

    def value(x: Fraction) -> Fraction:
        return (1 if x >= 0 else -1) * Fraction(2) ** powers.exponent(abs(x))

    return Function(value)


def _relu_po2(spec: Spec) -> Function:
    if spec.params["negative_slope"]:
        raise spec.layer.error(f"{spec.name}: a negative_slope is not supported")
    powers = PowerOfTwo.of(spec, 0)
    return Function(lambda x: Fraction(2) ** powers.exponent(max(x, Fraction(0))))


def staircase(function: Function, pending: Affine, x: Tensor) -> Staircase:
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
    return Staircase(np.array(rows, np.int64), np.array(codes, np.int64), qtype)


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
    """For each value but the least the first input that gives it or more; high + 1: none."""
    result, position = [], 0
    for value in values[1:]:
        while position < len(steps) and steps[position][1] < value:
            position += 1
        result.append(steps[position][0] if position < len(steps) else high + 1)
    return result
