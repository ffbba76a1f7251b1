"""Requantize: integers of one type to integers of another; and ReLU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import QType, int_array, requantize, round_shift, type_text
from ..fields import CLIP, INT, PER_CHANNEL, TYPE, WIDE_PER_CHANNEL, optional
from ..op import IntArray, Op, attr, single
from ..tensor import Tensor

MAX_SHIFT = 512
"""Largest shift of a requantization."""


@dataclass(frozen=True, eq=False)
class Requantize(Op):
    """``out = clip(overflow(round((x * mult + bias) / 2**shift)))``.

    ``mult``, ``bias`` and ``shift`` hold one integer, or one a channel (last axis). Rounding and
    overflow are those of ``type``; ``clip`` acts after overflow, as a fused activation does.
    One shift for all channels can make wide integers of the others: they may have any size.
    Where there is a ``pivot``, inputs below it take ``below`` in place of ``bias``: so a rule that
    rounds numbers by their size becomes one that rounds down.
    """

    op_name: ClassVar[str] = "requantize"
    reads_accumulators: ClassVar[bool] = True

    mult: IntArray = attr(WIDE_PER_CHANNEL)
    bias: IntArray = attr(WIDE_PER_CHANNEL)
    shift: IntArray = attr(PER_CHANNEL)
    type: QType = attr(TYPE)
    clip: tuple[int, int] | None = attr(optional(CLIP), default=None)
    pivot: IntArray | None = attr(optional(PER_CHANNEL), default=None)
    below: IntArray | None = attr(optional(WIDE_PER_CHANNEL), default=None)

    @classmethod
    def identity(cls, x: Tensor, clip: tuple[int, int] | None = None) -> Requantize:
        """The requantization that keeps every value of ``x`` (but for the clip)."""
        return cls.scaled(x.type, clip=clip)

    @classmethod
    def scaled(
        cls,
        qtype: QType,
        mult: Any = 1,
        bias: Any = 0,
        shift: Any = 0,
        clip: tuple[int, int] | None = None,
    ) -> Requantize:
        """Build from plain numbers or arrays."""
        arrays = (np.atleast_1d(np.asarray(a)) for a in (mult, bias, shift))
        return cls(*arrays, type=qtype, clip=clip)

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the given type, its range narrowed by what the input can hold."""
        x = single(self, inputs)
        mult, shift, *_ = parameters(self, x, "mult", "shift", "bias", "pivot", "below")
        if shift.min() < 0 or shift.max() > MAX_SHIFT:
            ends = f"{int(shift.min())}..{int(shift.max())}"
            raise UserError(f"shift {ends} is outside 0..{MAX_SHIFT}")
        if (self.pivot is None) != (self.below is None):
            raise UserError("pivot and below belong together")
        # Before overflow the map is monotone in each channel, on both sides of a pivot, so the ends
        # of the input give the ends of the output; where they wrap, all of the type is possible.
        ends = np.array([[lo_hi] * len(mult) for lo_hi in x.range], dtype=object)
        if self.pivot is not None:
            pivot = np.broadcast_to(self.pivot, mult.shape).astype(object)
            beside = np.clip([pivot - 1, pivot], *x.range)
            ends = np.concatenate([ends, beside])
        raw = round_shift(ends * mult + self.biases(ends), shift, self.type.rounding)
        return limited(Tensor(name, x.shape, self.type), int(raw.min()), int(raw.max()), self.clip)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        x = arrays[0]
        return requantize(x, self.mult, self.biases(x), self.shift, self.type, self.clip)

    def biases(self, x: IntArray, channels: Any = slice(None)) -> IntArray:
        """What is added to the product of each element; of all channels or some (indices)."""

        def chosen(values: IntArray) -> IntArray:
            return values if values.size == 1 else values[channels]

        if self.pivot is None or self.below is None:
            return chosen(self.bias)
        return np.where(x >= chosen(self.pivot), chosen(self.bias), chosen(self.below))

    @property
    def parameters_bits(self) -> int:
        """Multipliers, biases and shifts that differ from 1, 0 and a common constant."""
        bits = 0
        pairs = ((self.mult, 1), (self.bias, 0), (self.shift, None))
        for array, neutral in (*pairs, (self.pivot, 0), (self.below, 0)):
            if (
                array is not None
                and array.size > 1
                and (neutral is None or np.any(array != neutral))
            ):
                values = [int(v) for v in array]
                width = max(max(v, ~v).bit_length() for v in values)
                bits += array.size * (width + int(array.min() < 0))
        return bits


def parameters(op: Op, x: Tensor, *names: str) -> list[IntArray]:
    """Attributes that hold one integer, or one a channel, as arrays of one length: that of the
    channels where one of them has more than one integer, else 1. An attribute may be None.

    Raises UserError for another shape.
    """
    arrays = [(name, getattr(op, name)) for name in names]
    given = [(name, array) for name, array in arrays if array is not None]
    for name, array in given:
        if array.shape not in ((1,), (x.channels,)):
            raise UserError(f"{name} has shape {array.shape}, (1,) or ({x.channels},) is needed")
    # Not the channels themselves: what a file says of its shapes is not yet limited.
    return list(np.broadcast_arrays(*(array for _, array in given)))


def limited(out: Tensor, low: int, high: int, clip: tuple[int, int] | None) -> Tensor:
    """The edge whose values were ``low..high`` before its type's overflow and the clip.

    Raises UserError for a clip outside the type.
    """
    qtype = out.type
    if clip and not qtype.min <= clip[0] <= clip[1] <= qtype.max:
        raise UserError(f"clip {list(clip)} is outside {type_text(qtype)}")
    if qtype.low <= low and high <= qtype.max:
        out = replace(out, low=low, high=high)
    elif qtype.overflow.value.startswith("saturate"):
        zeroing = qtype.overflow.value == "saturate_zero"
        lo = qtype.low if low < qtype.low or zeroing else low
        hi = qtype.max if high > qtype.max or zeroing else high
        out = replace(out, low=min(lo, qtype.max), high=max(hi, qtype.low))
    if clip:
        lo, hi = (_within(bound, clip) for bound in out.range)
        out = replace(out, low=lo, high=hi)
    return out


@dataclass(frozen=True, eq=False)
class Relu(Op):
    """``out = clip(x, zero, maximum)``; ``maximum`` is in the input's integers (null: none)."""

    op_name: ClassVar[str] = "relu"
    reads_accumulators: ClassVar[bool] = True

    maximum: int | None = attr(optional(INT), default=None)

    def bounds(self, x: Tensor) -> tuple[int, int]:
        """Lowest and highest integer that pass."""
        zero = x.type.zero_point
        high = x.type.max if self.maximum is None else self.maximum
        if not zero <= high <= x.type.max:
            raise UserError(f"maximum {self.maximum} is outside {zero}..{x.type.max}")
        return zero, high

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the input's type, narrowed."""
        x = single(self, inputs)
        low, high = (_within(bound, self.bounds(x)) for bound in x.range)
        return Tensor(name, x.shape, x.type, low, high)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        low, high = self.bounds(inputs[0])
        bound = max(abs(b) for b in (low, high, *inputs[0].range))
        return np.clip(int_array(arrays[0], bound), low, high)


def _within(value: int, bounds: tuple[int, int]) -> int:
    return min(max(value, bounds[0]), bounds[1])
