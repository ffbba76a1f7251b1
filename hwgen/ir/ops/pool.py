"""MaxPool, AvgPool, and SumPool, which AvgPool becomes before it is lowered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import (
    Overflow,
    QType,
    Rounding,
    apply_overflow,
    int_array,
    magnitude,
    type_for_range,
    type_text,
)
from ..fields import BOOL, PADDING, PAIR, TYPE
from ..op import IntArray, Op, attr, image
from ..tensor import Tensor
from ._spatial import Pads, Pair, output_size, resolve_padding, window_counts, windows


@dataclass(frozen=True, eq=False)
class Pool(Op):
    """What all pools share: a window of ``kernel`` moved by ``stride`` over each channel."""

    kernel: Pair = attr(PAIR)
    stride: Pair = attr(PAIR)
    padding: Any = attr(PADDING, default="valid")

    def pads(self, x: Tensor) -> Pads:
        """Resolved padding for this input."""
        return resolve_padding(self.padding, self.kernel, self.stride, (x.shape[0], x.shape[1]))

    def _shape(self, x: Tensor) -> tuple[int, int, int]:
        size = (x.shape[0], x.shape[1])
        return (*output_size(size, self.kernel, self.stride, self.pads(x)), x.channels)

    def counts(self, x: Tensor) -> IntArray:
        """Real elements in each window, shape (rows, columns)."""
        return window_counts((x.shape[0], x.shape[1]), self.kernel, self.stride, self.pads(x))


@dataclass(frozen=True, eq=False)
class MaxPool(Pool):
    """The largest real element of each window; padded positions do not take part."""

    op_name: ClassVar[str] = "max_pool"
    reads_accumulators: ClassVar[bool] = True

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the input's type."""
        x = image(self, inputs)
        return Tensor(name, self._shape(x), x.type, x.low, x.high)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        x, pads = arrays[0], self.pads(inputs[0])
        rows, columns, _ = self._shape(inputs[0])
        if any(max(p) for p in pads):
            x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=x.min(initial=0))
        # One strided maximum per tap is many times quicker than a reduction over windows.
        out: IntArray | None = None
        for ky in range(self.kernel[0]):
            for kx in range(self.kernel[1]):
                tap = x[
                    :,
                    ky : ky + (rows - 1) * self.stride[0] + 1 : self.stride[0],
                    kx : kx + (columns - 1) * self.stride[1] + 1 : self.stride[1],
                ]
                out = tap if out is None else np.maximum(out, tap)
        assert out is not None
        return out


@dataclass(frozen=True, eq=False)
class SumPool(Pool):
    """The exact sum of each window; padded positions count as zero.

    It is the sum of the integers as they are stored: behind a zero point it is a plain integer.
    """

    op_name: ClassVar[str] = "sum_pool"

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge wide enough for every sum."""
        x = image(self, inputs)
        taps = prod(self.kernel)
        low, high = x.range
        low, high = min(low, 0) * taps, max(high, 0) * taps
        exact = type_for_range(low, high)
        scale = None if x.type.zero_point else x.type.scale
        qtype = QType(exact.signed, exact.width, x.type.frac, Rounding.FLOOR, Overflow.WRAP, scale)
        return Tensor(name, self._shape(x), qtype, low, high)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        view = windows(arrays[0], self.kernel, self.stride, self.pads(inputs[0]), 0)
        return view.sum(axis=(3, 4), dtype=np.int64)


@dataclass(frozen=True, eq=False)
class AvgPool(Pool):
    """The mean of each window, rounded once into ``type`` by its rounding and overflow.

    ``count_padding``: divide by the whole window even where part of it is padding (zeros);
    otherwise by the number of real elements. Where types have a scale and a zero point, both must
    be the input's, and the mean is that of the integers as they are stored.
    """

    op_name: ClassVar[str] = "avg_pool"

    type: QType = attr(TYPE, kw_only=True)
    count_padding: bool = attr(BOOL, default=False, kw_only=True)

    def divisors(self, x: Tensor) -> IntArray:
        """What each window's sum is divided by, shape (rows, columns)."""
        counts = self.counts(x)
        return np.full_like(counts, prod(self.kernel)) if self.count_padding else counts

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the given type."""
        x = image(self, inputs)
        if (x.type.scale, x.type.zero_point) != (self.type.scale, self.type.zero_point):
            raise UserError(
                f"avg_pool keeps scale and zero point, but takes {type_text(x.type, 6)} "
                f"and gives {type_text(self.type, 6)}"
            )
        if self.count_padding and x.type.zero_point:
            raise UserError("avg_pool counts no padding where the zero point is not 0")
        return Tensor(name, self._shape(x), self.type)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers: sum * 2**(frac out - frac in) / count, rounded as a rational."""
        x = inputs[0]
        sums = windows(arrays[0], self.kernel, self.stride, self.pads(x), 0)
        total = sums.sum(axis=(3, 4), dtype=np.int64)
        divisor = self.divisors(x)[..., np.newaxis]
        return self.divided(total, self.type.frac - x.type.frac, divisor)

    def divided(self, sums: IntArray, up: int, divisor: Any) -> IntArray:
        """Sums * 2**up / divisor, rounded and brought into range as ``type`` says."""
        left, right, divisor = max(0, up), max(0, -up), np.asarray(divisor)
        # Twice a rest is below twice the divisor.
        bound = max(magnitude(sums) << left, magnitude(divisor) << (right + 1))
        numerator, denominator = int_array(sums, bound) << left, int_array(divisor, bound) << right
        out = apply_overflow(_divide(numerator, denominator, self.type.rounding), self.type)
        return int_array(out, max(abs(self.type.min), self.type.max))


def _divide(numerator: IntArray, divisor: IntArray, rounding: Rounding) -> IntArray:
    """Rational rounding to integers; divisor > 0."""
    floor = numerator // divisor
    twice = 2 * (numerator - floor * divisor)
    below, tie, above = twice > 0, twice == divisor, twice > divisor
    negative = numerator < 0
    up = {
        Rounding.FLOOR: np.zeros_like(tie),
        Rounding.CEIL: below,
        Rounding.TO_ZERO: below & negative,
        Rounding.FROM_ZERO: below & ~negative,
        Rounding.HALF_UP: above | tie,
        Rounding.HALF_DOWN: above,
        Rounding.HALF_TO_ZERO: above | (tie & negative),
        Rounding.HALF_AWAY: above | (tie & ~negative),
        Rounding.HALF_EVEN: above | (tie & (floor % 2 != 0)),
        Rounding.HALF_ODD: above | (tie & (floor % 2 == 0)),
    }[rounding]
    return floor + up
