"""Weights that need no multiplier, and how they are stored: signs, and signed powers of two."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PowerCode:
    """A code for signed powers of two from 2**low to 2**high; ``zero``: and for 0.

    A code word is the sign (1: negative) above the index of the exponent; the last index is zero.
    Binary weights take one bit, ternary ones two.
    """

    low: int
    high: int
    zero: bool

    @classmethod
    def of(cls, values: np.ndarray, width: int) -> PowerCode | None:
        """The code of these integers, at most ``width`` bits; None where there is no such code."""
        sizes = {abs(value) for value in np.unique(values).tolist()}
        zero = 0 in sizes
        sizes.discard(0)
        if not sizes or any(size & (size - 1) for size in sizes):
            return None
        code = cls(min(sizes).bit_length() - 1, max(sizes).bit_length() - 1, zero)
        return code if code.width <= width else None

    @property
    def indices(self) -> int:
        """Exponents, and zero."""
        return self.high - self.low + 1 + self.zero

    @property
    def width(self) -> int:
        """Bits of a code word."""
        return 1 + (self.indices - 1).bit_length()

    @property
    def filler(self) -> int:
        """A weight for a place where there is none: 0 if it has a code, else the smallest."""
        return 0 if self.zero else 1 << self.low

    def encode(self, value: int) -> int:
        """The code word of an integer. Raises ValueError for one that has none."""
        if value == 0 and self.zero:
            return self.indices - 1
        exponent = abs(value).bit_length() - 1
        if abs(value) != 1 << max(exponent, 0) or not self.low <= exponent <= self.high:
            raise ValueError(f"{value} has no code word in {self}")
        return (value < 0) << (self.width - 1) | (exponent - self.low)
