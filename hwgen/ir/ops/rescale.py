"""Rescale: a runtime's own way to bring an accumulator to the scale of the next tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import (
    SCALED_WIDTH,
    QType,
    Scaling,
    apply_overflow,
    apply_scaling,
    int_array,
    left_shift,
)
from ..fields import CLIP, OFFSET, PER_CHANNEL, SCALING, TYPE, optional
from ..op import IntArray, Op, attr, single
from ..tensor import Tensor
from .requantize import MAX_SHIFT, limited, parameters


@dataclass(frozen=True, eq=False)
class Rescale(Op):
    """``out = clip(overflow(scaled(x + bias) + offset))``.

    ``scaling`` is the rule of a runtime that multiplies by ``mult / 2**shift`` and rounds; see
    numeric.scaling. ``bias`` is added before it, ``offset`` (a zero point) behind it. ``mult``,
    ``shift`` and ``bias`` hold one integer, or one a channel (last axis). ``clip`` acts last, as
    a fused activation does.
    """

    op_name: ClassVar[str] = "rescale"
    reads_accumulators: ClassVar[bool] = True

    scaling: Scaling = attr(SCALING)
    mult: IntArray = attr(PER_CHANNEL)
    shift: IntArray = attr(PER_CHANNEL)
    type: QType = attr(TYPE)
    bias: IntArray = attr(PER_CHANNEL, default_factory=lambda: np.zeros(1, np.int64))
    offset: int = attr(OFFSET, default=0)
    clip: tuple[int, int] | None = attr(optional(CLIP), default=None)

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the given type, its range narrowed by what the input can hold."""
        x = single(self, inputs)
        mult, shift, bias = parameters(self, x, "mult", "shift", "bias")
        precision = self.scaling.precision
        if mult.min() < 0 or int(mult.max()).bit_length() > precision:
            raise UserError(f"a multiplier of {self.scaling} has {precision} bits without sign")
        least = 1 if self.scaling.fixed_point else 0
        if shift.min() < least or shift.max() > MAX_SHIFT:
            span = f"{int(shift.min())}..{int(shift.max())}"
            raise UserError(f"shift {span} is outside {least}..{MAX_SHIFT}")
        ends = [[bound + int(b) for b in bias] for bound in x.range]
        left = left_shift(shift) if self.scaling.fixed_point else 0
        limit = 1 << (SCALED_WIDTH - 1)
        if min(ends[0]) << left < -limit or max(ends[1]) << left >= limit:
            raise UserError(
                f"inputs {min(ends[0])}..{max(ends[1])} do not fit the {SCALED_WIDTH} bits of "
                f"{self.scaling}" + (f" after a shift by {left}" if left else "")
            )
        if not -limit <= self.offset < limit:
            raise UserError(f"offset {self.offset} does not fit {SCALED_WIDTH} bits with sign")
        raw = apply_scaling(np.array(ends), mult, shift, self.scaling) + self.offset
        return limited(Tensor(name, x.shape, self.type), int(raw.min()), int(raw.max()), self.clip)

    def unclipped(self, x: IntArray, channels: Any = slice(None)) -> IntArray:
        """Results before overflow and clip, of all channels or those given by their indices."""
        mult, shift, bias = (
            a if a.size == 1 else a[channels] for a in (self.mult, self.shift, self.bias)
        )
        return apply_scaling(x + bias, mult, shift, self.scaling) + self.offset

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        wide = apply_overflow(self.unclipped(arrays[0]), self.type)
        out = int_array(wide, max(abs(self.type.min), self.type.max))
        return out if self.clip is None else np.clip(out, *self.clip)

    @property
    def parameters_bits(self) -> int:
        """Multiplier, shift (a byte) and bias (32 bits) of each channel that has its own."""
        widths = ((self.mult, self.scaling.precision), (self.shift, 8), (self.bias, SCALED_WIDTH))
        return sum(array.size * width for array, width in widths if array.size > 1)
