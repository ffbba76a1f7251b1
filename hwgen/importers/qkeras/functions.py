"""Activations that are no clipped rounding: leaky, tanh, sigmoid, powers of two.

All of them are non-decreasing functions of a real number whose results are few: behind integers
they are step functions, whose thresholds are found here by bisection with exact arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..keras.functions import FLOAT64, Function, sigmoid64, tanh64
from .quantizers import Spec, number_alpha, ternary_threshold

_EPSILON = Fraction(float(np.float32(1e-7)))
"""The value of K.epsilon()."""
_BEYOND = Fraction(2) ** 300
"""More than any power of two of at most eight bits; its square has a logarithm in float64."""


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
        p = tanh64(x) if real else min(max(x, Fraction(-1)), Fraction(1))
        return min(max(Fraction(round(p * m), m), low), 1 - Fraction(1, m))

    real = spec.flag("use_real_tanh")
    return Function(value, f"tanh {FLOAT64}" if real else None)


def _sigmoid(spec: Spec) -> Function:
    m = 1 << spec.number("bits", 1, 24)
    low, half = Fraction(int(spec.flag("symmetric")), m), Fraction(1, 2)

    def value(x: Fraction) -> Fraction:
        p = sigmoid64(x) if real else min(max(x * half + half, Fraction(0)), Fraction(1))
        return min(max(Fraction(round(p * m), m), low), 1 - Fraction(1, m))

    real = spec.flag("use_real_sigmoid")
    return Function(value, f"sigmoid {FLOAT64}" if real else None)


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
        """Find the exponent of the power of two nearest to a number, 0 or more, by logarithm;
        ties, of which only the quadratic ones have any, to even."""
        if x < _EPSILON:
            return self.low  # also where it is quadratic
        x = min(x, _BEYOND if self.largest is None else self.largest)
        # 2**(n - 1/2) <= y < 2**(n + 1/2), compared in squares, where y is x or its square root.
        square = x if self.quadratic else x * x
        n = math.floor(math.log2(square) / 2)
        tie = Fraction(2) ** (2 * n + 1)
        n += square > tie or (square == tie and n % 2)
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
