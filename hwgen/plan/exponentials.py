"""The exponentials of a softmax unit's table, in exact integers.

They are gemmlowp's (the rules of its public fixedpoint.h; Jacob and Warden, Apache-2.0), written
anew here: golden has code of its own, so that a fault in one of them shows.
"""

from __future__ import annotations

from decimal import Decimal, localcontext

FRACTION = 26
"""Fractional bits of an exponent, which has 5 integer ones."""
LARGEST = 31
"""Exponents count down to minus this."""
ONE = (1 << 31) - 1
QUARTER = 1 << (FRACTION - 2)


def softmax_powers(mult: int, shift: int, width: int) -> tuple[int, ...]:
    """The exponential of each difference 0, -1, ... of integers of so many bits, as Q0.31.

    A difference times ``mult * 2**(shift - 31)`` is its exponent; one that the shift alone makes
    less than -LARGEST does not count.
    """
    counted = (LARGEST << FRACTION) >> shift
    return tuple(
        _power(_product(-difference << shift, mult)) if difference <= counted else 0
        for difference in range(1 << width)
    )


def _q31(value: Decimal) -> int:
    """The nearest Q0.31."""
    return int((value * (1 << 31)).to_integral_value())


with localcontext() as context:
    context.prec = 40
    QUARTERS = tuple(_q31((-Decimal(1 << n) / 4).exp()) for n in range(7))
    """exp(-1/4), exp(-1/2), exp(-1), ... exp(-16)."""
    EIGHTH = _q31((-Decimal(1) / 8).exp())
    THIRD = _q31(1 / Decimal(3))


def _product(a: int, b: int) -> int:
    """A product of Q0.31, half a unit up."""
    return (a * b + (1 << 30)) // (1 << 31)


def _divide(a: int, by: int) -> int:
    """The nearest integer, ties away from zero."""
    size = (2 * abs(a) + by) // (2 * by)
    return size if a >= 0 else -size


def _power(exponent: int) -> int:
    """exp of an exponent up to 0: whole quarters, and a rest in [-1/4, 0)."""
    if exponent == 0:
        return ONE
    below, rest = divmod(exponent, QUARTER)
    result = _small((rest - QUARTER) << (31 - FRACTION))
    for n, factor in enumerate(QUARTERS):
        if (-below - 1) >> n & 1:
            result = _product(result, factor)
    return result


def _small(exponent: int) -> int:
    """exp of a Q0.31 in [-1/4, 0): exp(-1/8) times the series to the fourth power about it."""
    x = exponent + (1 << 28)
    square = _product(x, x)
    cube, fourth = _product(square, x), _product(square, square)
    sixths = _product(_divide(fourth, 4) + cube, THIRD)
    return EIGHTH + _product(EIGHTH, x + _divide(sixths + square, 2))
