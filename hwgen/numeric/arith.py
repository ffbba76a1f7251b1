"""Exact integer arithmetic: rounding shifts, overflow, quantization, requantization.

Arrays are int64, or Python integers (dtype object) where a value may need 63 bits or more; the
same formulas serve both. The gateware implements these rules on its own, never from here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .types import Overflow, QType, Rounding

IntArray = np.ndarray[Any, Any]

_INT64_SAFE = 1 << 62
_INT64_SHIFT = 61
"""Largest shift of int64: twice the discarded rest must fit."""


def int_array(values: Any, bound: int) -> IntArray:
    """``values`` as int64 when magnitudes up to ``bound`` are safe there, else as Python ints."""
    array = np.asarray(values)
    if bound < _INT64_SAFE:
        return array.astype(np.int64, copy=False)
    if array.dtype == object:
        return array
    return np.vectorize(int, otypes=[object])(array) if array.size else array.astype(object)


def to_integers(real: Any, room: int = 0) -> IntArray:
    """Floats that hold whole numbers as exactly these integers, however large they are.

    ``astype`` gives any integer at all for a float beyond 64 bits. ``room`` : what will be added
    to the integers, for which int64 must have room too. Raises ValueError for NaN or infinity,
    which are no integers.
    """
    real = np.asarray(real, np.float64)
    largest = np.max(np.abs(real), initial=0)
    if not np.isfinite(largest):  # NaN is the largest of anything
        raise ValueError("NaN or infinity can not become an integer")
    return int_array(real, int(largest) + abs(room))


def magnitude(values: IntArray) -> int:
    """Largest absolute value in the array, 0 when it is empty."""
    return max(abs(int(values.max())), abs(int(values.min()))) if values.size else 0


def round_shift(values: IntArray, shift: int | IntArray, rounding: Rounding) -> IntArray:
    """``values / 2**shift`` rounded to integers; ``shift`` >= 0, a number or an array."""
    values = np.asarray(values)
    shift = np.asarray(shift)
    if np.any(shift < 0):
        raise ValueError("shift must not be negative")
    if values.dtype != object and np.any(shift > _INT64_SHIFT):
        values = int_array(values, _INT64_SAFE)
    if values.dtype == object:
        shift = shift.astype(object)
    quotient = values >> shift
    rest = values - (quotient << shift)
    # Compare twice the rest with the divisor, so that shift 0 (no rest) needs no special case.
    return quotient + _increment(
        quotient, values < 0, rest != 0, 2 * rest, np.left_shift(1, shift), rounding
    )


def _increment(
    quotient: Any, negative: Any, inexact: Any, twice: Any, unit: Any, rounding: Rounding
) -> Any:
    """1 where the floor ``quotient`` must be raised: rest/unit is the discarded fraction."""
    tie, above = inexact & (twice == unit), twice > unit
    up = {
        Rounding.FLOOR: lambda: np.zeros_like(above),
        Rounding.CEIL: lambda: inexact,
        Rounding.TO_ZERO: lambda: inexact & negative,
        Rounding.FROM_ZERO: lambda: inexact & ~negative,
        Rounding.HALF_UP: lambda: above | tie,
        Rounding.HALF_DOWN: lambda: above,
        Rounding.HALF_TO_ZERO: lambda: above | (tie & negative),
        Rounding.HALF_AWAY: lambda: above | (tie & ~negative),
        Rounding.HALF_EVEN: lambda: above | (tie & (quotient % 2 != 0)),
        Rounding.HALF_ODD: lambda: above | (tie & (quotient % 2 == 0)),
    }[rounding]()
    return np.asarray(up, dtype=bool).astype(np.asarray(quotient).dtype)


def apply_overflow(values: IntArray, qtype: QType) -> IntArray:
    """Bring integers into the range of ``qtype`` by its overflow mode."""
    values = np.asarray(values)
    if qtype.width > 62:
        values = int_array(values, _INT64_SAFE)  # the bounds may not fit
    low, high = qtype.low, qtype.max
    if qtype.overflow is Overflow.WRAP:
        span = 1 << qtype.width
        return (values - qtype.min) % span + qtype.min
    if qtype.overflow is Overflow.SATURATE_ZERO:
        return np.where((values < low) | (values > high), 0, values)
    return np.clip(values, low, high)


def _scale_of(qtype: QType) -> np.ndarray[Any, Any]:
    return np.asarray(qtype.scale, dtype=np.float64)


def quantize(values: Any, qtype: QType, single: bool = False, inverse: bool = False) -> IntArray:
    """Real numbers to integers of ``qtype``, exactly as its rounding and overflow say.

    A power-of-two scale makes the division exact; with any other scale the quotient is the
    float64 one, or, ``single``, that of two float32, as runtimes take it; with ``inverse`` it is
    the product with the inverse of the scale. The result is int64 where the type fits. Raises
    ValueError for NaN or infinity, given or as a quotient.
    """
    real = np.asarray(values, dtype=np.float64)
    if not np.all(np.isfinite(real)):
        raise ValueError("values to quantize must be finite (found NaN or infinity)")
    largest = max(abs(qtype.min), qtype.max)
    if qtype.scale is not None:
        kind = np.float32 if single else np.float64
        scaled = _quotient(real, _scale_of(qtype), kind, inverse)
    else:
        with np.errstate(over="ignore", under="ignore"):
            scaled = np.ldexp(real, qtype.frac)
            exact = np.array_equal(np.ldexp(scaled, -qtype.frac), real)
        if not exact:  # beyond the exponents of float64
            return int_array(apply_overflow(_scaled_integers(real, qtype), qtype), largest)
    floor = np.floor(scaled)
    negative, inexact = scaled < 0, scaled != floor
    # The fraction is taken from the magnitude: exact there, but 1 - tiny would be rounded.
    size = np.abs(scaled)
    side = np.sign(2 * (size - np.floor(size)) - 1)
    above_half = np.where(negative & inexact, -side, side)
    rounded = floor + _increment(
        np.mod(floor, 2.0), negative, inexact, above_half, 0, qtype.rounding
    )
    codes = to_integers(rounded, qtype.zero_point) + qtype.zero_point
    return int_array(apply_overflow(codes, qtype), largest)


def _quotient(
    real: np.ndarray[Any, Any], scale: np.ndarray[Any, Any], kind: Any, inverse: bool
) -> np.ndarray[Any, Any]:
    """``real / scale`` in a float type, by the ``inverse`` or not, as float64.

    Raises ValueError where it is not finite.
    """
    with np.errstate(all="ignore"):
        a, b = real.astype(kind), scale.astype(kind)
        quotient = (a * (kind(1) / b) if inverse else a / b).astype(np.float64)
    if not np.all(np.isfinite(quotient)):
        raise ValueError(f"values to quantize are too large for their scale in {kind.__name__}")
    return quotient


def _scaled_integers(real: np.ndarray[Any, Any], qtype: QType) -> IntArray:
    """``real * 2**frac`` rounded, in Python integers."""
    fraction, exponent = np.frexp(real)
    mantissa = int_array(np.ldexp(fraction, 53), _INT64_SAFE)
    shift = 53 - exponent.astype(object) - qtype.frac
    up, down = (np.maximum(s, 0) for s in (-shift, shift))
    return round_shift(mantissa << up, down, qtype.rounding)


def dequantize(values: IntArray, qtype: QType) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Integers of ``qtype`` as the real numbers they mean (float64)."""
    centred = np.asarray(values).astype(np.float64) - qtype.zero_point
    if qtype.scale is None:
        return np.ldexp(centred, -qtype.frac)
    return centred * _scale_of(qtype)


def requantize(
    acc: IntArray,
    mult: IntArray,
    bias: IntArray,
    shift: IntArray,
    qtype: QType,
    clip: tuple[int, int] | None = None,
) -> IntArray:
    """``clip(overflow(round((acc * mult + bias) / 2**shift)))``.

    ``mult``, ``bias`` and ``shift`` broadcast against the last axis of ``acc`` (channels). The
    rounding and overflow are those of ``qtype``; ``clip`` (low, high) acts after overflow, as a
    fused activation does.
    """
    mult, bias = np.asarray(mult), np.asarray(bias)
    bound = magnitude(np.asarray(acc)) * max(1, magnitude(mult)) + magnitude(bias)
    # One extra bit: round_shift doubles the discarded rest.
    bound = max(bound, 1 << (int(np.max(shift)) + 1))
    acc, mult, bias = (int_array(a, bound) for a in (acc, mult, bias))
    rounded = round_shift(acc * mult + bias, shift, qtype.rounding)
    result = int_array(apply_overflow(rounded, qtype), max(abs(qtype.min), qtype.max))
    return result if clip is None else np.clip(result, clip[0], clip[1])
