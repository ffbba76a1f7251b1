"""Exact per-channel arithmetic between an accumulator and the quantizer after it.

Scales and offsets are dyadic rationals (Fraction), because every float32 is one. All cases of
QKeras are: exact accumulator -> affine map per channel -> one rounding; ``requantize`` makes the
integers of that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import UserError
from ..ir import Tensor
from ..ir.ops import Requantize
from ..numeric import MAX_TENSOR_WIDTH, Overflow, QType, Rounding, type_for_range

_UNIFORM_MULT_BITS = 40
"""The widest multiplier that a common shift may make; beyond this each scale has its own."""


def log2_exact(value: Fraction) -> int | None:
    """The exponent of a power of two, None for any other number."""
    n, d = value.numerator, value.denominator
    if n <= 0 or n & (n - 1) or d & (d - 1):
        return None
    return n.bit_length() - d.bit_length()


def fraction_bits(values: Any) -> int:
    """The fewest fractional bits (negative: trailing zeros) that hold every dyadic value."""
    bits = [
        v.denominator.bit_length() - (v.numerator & -v.numerator).bit_length() for v in values if v
    ]
    return max(bits, default=0)


@dataclass(frozen=True)
class Affine:
    """``clip(x * scale + offset, low, high)`` per channel, still to be applied to an edge.

    ``scale`` is positive, so that the map is monotone: max-pooling may go before it. None as a
    bound means no bound.
    """

    scale: tuple[Fraction, ...]
    offset: tuple[Fraction, ...]
    low: Fraction | None = None
    high: Fraction | None = None

    @classmethod
    def identity(cls, channels: int) -> Affine:
        """The map that changes nothing."""
        return cls((Fraction(1),) * channels, (Fraction(0),) * channels)

    @property
    def clips(self) -> bool:
        """Whether it has a bound."""
        return self.low is not None or self.high is not None

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return not self.clips and all(s == 1 for s in self.scale) and not any(self.offset)

    @property
    def whole(self) -> bool:
        """Whether it gives whole numbers."""
        ends = [end for end in (self.low, self.high) if end is not None]
        return all(n.denominator == 1 for n in (*self.scale, *self.offset, *ends))

    def clipped(self, low: Fraction, high: Fraction | None) -> Affine:
        """This map followed by a clip."""

        def limit(bound: Fraction) -> Fraction:
            return max(bound, low) if high is None else min(max(bound, low), high)

        return replace(
            self,
            low=low if self.low is None else limit(self.low),
            high=high if self.high is None else limit(self.high),
        )

    def tiled(self, channels: int) -> Affine:
        """The map after a reshape to another number of channels. Raises UserError."""
        times, rest = divmod(channels, len(self.scale))
        if len(set(self.scale)) == 1 and len(set(self.offset)) == 1:
            return replace(self, scale=self.scale[:1] * channels, offset=self.offset[:1] * channels)
        if rest:
            raise UserError(
                "reshapes channels that have scales of their own",
                hint="put a quantizer before it",
            )
        return replace(self, scale=self.scale * times, offset=self.offset * times)


def clip_codes(
    qtype: QType, grid: int, low: Fraction | None, high: Fraction | None
) -> tuple[int, int] | None:
    """Bounds in codes of a quantizer (``round(x * 2**grid)``), None where they change nothing."""
    codes = [qtype.low, qtype.max]
    for index, bound in enumerate((low, high)):
        if bound is not None:
            # round() of a Fraction rounds half to even, as every quantizer of QKeras does.
            code = round(bound * Fraction(2) ** grid)
            codes[index] = min(max(code, qtype.low), qtype.max)
    return None if codes == [qtype.low, qtype.max] else (codes[0], codes[1])


def requantize(
    affine: Affine, frac: int, qtype: QType, grid: int, binary: bool = False
) -> Requantize:
    """The affine map and a quantizer as one operation that rounds once.

    Parameters
    ----------
    frac : fractional bits of the input's integers.
    qtype, grid : the quantizer: ``code = round(x * 2**grid)``, brought into ``qtype``.
    binary : instead, +1 where x >= 0, else -1.
    """
    factor, unit = Fraction(2) ** (grid - frac), Fraction(2) ** grid
    scales = [s * factor for s in affine.scale]
    offsets = [b * unit for b in affine.offset]
    shifts = [max(0, fraction_bits([s])) for s in scales]
    common = max(shifts)
    widest = max((s * 2**common).numerator.bit_length() for s in scales)
    if widest <= _UNIFORM_MULT_BITS:
        shifts = [common] * len(shifts)
    if any(fraction_bits([b]) > n for b, n in zip(offsets, shifts, strict=True)):
        shifts = [n + 2 for n in shifts]
    mult = [int(s * 2**n) for s, n in zip(scales, shifts, strict=True)]
    bias = [_sticky(b, n) for b, n in zip(offsets, shifts, strict=True)]
    if binary:
        # 2 * (x * mult + bias) + 1 is never zero; saturated to +-1 it is the sign with 0 -> +1.
        mult, bias, shifts = [2 * m for m in mult], [2 * b + 1 for b in bias], [0]
        clip = None if affine.low is None and affine.high is None else _binary_clip(affine)
    else:
        clip = clip_codes(qtype, grid, affine.low, affine.high)
    return Requantize(_vector(mult), _vector(bias), _vector(shifts), qtype, clip)


def _sticky(offset: Fraction, shift: int) -> int:
    """``offset * 2**shift`` as an integer that decides every rounding as the exact one does.

    Where bits are lost, ``shift`` has two bits beyond those that the products and half an output
    step need, so it is enough to say that something is left: the lowest bit is set.
    """
    exact = offset * 2**shift
    return exact.numerator if exact.denominator == 1 else (exact.numerator // exact.denominator) | 1


def _binary_clip(affine: Affine) -> tuple[int, int]:
    low = -1 if affine.low is None or affine.low < 0 else 1
    high = 1 if affine.high is None or affine.high >= 0 else -1
    return low, high


def exact(affine: Affine, x: Tensor) -> Requantize:
    """The affine map alone, as integers that hold every result exactly.

    Raises UserError where that takes more than 32 bits.
    """
    unit = Fraction(2) ** -x.type.frac
    scales = [s * unit for s in affine.scale]
    bounds = [b for b in (affine.low, affine.high) if b is not None]
    frac = fraction_bits([*scales, *affine.offset, *bounds])
    up = Fraction(2) ** frac
    mult, bias = [int(s * up) for s in scales], [int(b * up) for b in affine.offset]
    ends = [m * end + b for m, b in zip(mult, bias, strict=True) for end in x.range]
    clip = None
    if bounds:
        low = min(ends) if affine.low is None else int(affine.low * up)
        high = max(ends) if affine.high is None else int(affine.high * up)
        clip = (low, high)
        ends = [min(max(end, low), high) for end in ends] + list(clip)
    qtype = type_for_range(min(ends), max(ends), frac)
    if qtype.width > MAX_TENSOR_WIDTH:
        raise UserError(
            f"its exact values take {qtype.width} bits, because scales or biases are not "
            f"multiples of a common power of two; at most {MAX_TENSOR_WIDTH} can be streamed",
            hint="put a quantizer after it",
        )
    saturating = QType(qtype.signed, qtype.width, frac, Rounding.FLOOR, Overflow.SATURATE)
    return Requantize(_vector(mult), _vector(bias), _vector([0]), saturating, clip)


def nearest(affine: Affine, x: Tensor) -> Requantize:
    """The affine map rounded, ties to even, to as many fractional bits as 32 bits hold."""
    unit = Fraction(2) ** -x.type.frac
    ends = [
        s * end * unit + b
        for s, b in zip(affine.scale, affine.offset, strict=True)
        for end in x.range
    ]
    if affine.low is not None:
        ends = [max(end, affine.low) for end in ends]
    if affine.high is not None:
        ends = [min(end, affine.high) for end in ends]
    size = max(abs(end) for end in ends)
    whole = size.numerator.bit_length() - size.denominator.bit_length() + 1 if size else 0
    # Up to 2**whole and one code for rounding: the sign takes a bit, and saturation is never met.
    frac = MAX_TENSOR_WIDTH - 2 - whole
    qtype = QType(True, MAX_TENSOR_WIDTH, frac, Rounding.HALF_EVEN, Overflow.SATURATE)
    return requantize(affine, x.type.frac, qtype, frac)


def _vector(values: list[int]) -> np.ndarray[Any, Any]:
    """Integers of one a channel, or one where all are equal."""
    values = values[:1] if len(set(values)) == 1 else values
    wide = any(abs(v) >= 1 << 63 for v in values)
    return np.array(values, dtype=object if wide else np.int64)
