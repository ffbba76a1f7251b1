"""One requantization for two in a row, where the result is provably the same for every input.

Every rule names the integers before rounding by exact arithmetic on the ends of the input's
range: a requantization is monotone in each channel until it overflows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..ir import Tensor, ops
from ..numeric import Overflow, QType, apply_overflow, round_shift
from .shift import with_common_shift

IntArray = np.ndarray[Any, Any]

_SATURATING = (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC)


def composed(
    first: ops.Requantize, second: ops.Requantize, x: Tensor, middle: Tensor
) -> ops.Requantize | None:
    """``second`` after ``first``, or None where no rule proves one requantization equal.

    x : the edge that ``first`` reads. middle : the edge between them.
    """
    if first.pivot is not None or second.pivot is not None:
        return None  # they are made last, where nothing is left to compose
    a, b = with_common_shift(first), with_common_shift(second)
    if only_clips(b, middle):
        return _with_clip_of(a, b, x, middle)
    if int(a.shift[0]) != 0:
        return None
    if _is_lossless(a, x):
        return _multiplied(a, b, b.type, b.clip)
    return _with_clip_behind(a, b, x)


def only_clips(op: ops.Requantize, x: Tensor) -> bool:
    """Whether only the clip can change a value of ``x``."""
    if op.pivot is not None:
        return False
    op = with_common_shift(op)
    plain = np.all(op.mult == 1) and np.all(op.bias == 0) and np.all(op.shift == 0)
    low, high = x.range
    return bool(plain) and op.type.low <= low and high <= op.type.max


def is_identity(op: ops.Requantize, x: Tensor) -> bool:
    """Whether type and every value of ``x`` are kept."""
    low, high = x.range
    clips = op.clip is not None and not (op.clip[0] <= low and high <= op.clip[1])
    return _meaning(op.type) == _meaning(x.type) and not clips and only_clips(op, x)


def is_monotone(op: ops.Requantize, x: Tensor) -> bool:
    """Whether no larger value of ``x`` gives a smaller output, in any channel."""
    if np.any(op.mult < 0) or op.pivot is not None:
        return False
    return op.type.overflow in _SATURATING or not _overflows(op, *x.range)


def _meaning(qtype: QType) -> tuple[Any, ...]:
    """What the integers of a type mean, and how many there are."""
    return qtype.signed, qtype.width, qtype.frac, qtype.scale, qtype.zero_point


def _before_overflow(op: ops.Requantize, *inputs: int | IntArray) -> IntArray:
    """Rounded results of inputs (a number, or one a channel), shape (inputs, channels)."""
    x = np.array(
        np.broadcast_arrays(*[np.asarray(i, object) for i in inputs], op.mult, op.bias)[:-2],
        dtype=object,
    )
    mult, bias, shift = (a.astype(object) for a in (op.mult, op.bias, op.shift))
    return round_shift(x * mult + bias, shift, op.type.rounding)


def _overflows(op: ops.Requantize, *inputs: int | IntArray) -> bool:
    """Whether the results between these inputs leave the type."""
    results = _before_overflow(op, *inputs)
    return int(results.min()) < op.type.low or op.type.max < int(results.max())


def _is_lossless(op: ops.Requantize, x: Tensor) -> bool:
    """Whether no value overflows or is clipped; the shift is 0."""
    results = _before_overflow(op, *x.range)
    low, high = op.clip or (op.type.low, op.type.max)
    return not _overflows(op, *x.range) and low <= results.min() and results.max() <= high


def _multiplied(
    a: ops.Requantize, b: ops.Requantize, qtype: QType, clip: tuple[int, int] | None
) -> ops.Requantize:
    mult, bias = a.mult.astype(object), a.bias.astype(object)
    return replace(b, mult=mult * b.mult, bias=bias * b.mult + b.bias, type=qtype, clip=clip)


def _with_clip_of(
    a: ops.Requantize, b: ops.Requantize, x: Tensor, middle: Tensor
) -> ops.Requantize | None:
    """``a`` into the type of ``b``, which only clips, with the clips of both."""
    old, new = a.clip or (a.type.min, a.type.max), b.clip or (b.type.min, b.type.max)
    clip = _clamped(old, new)
    if (a.type.signed, a.type.width) == (b.type.signed, b.type.width):
        qtype = replace(b.type, rounding=a.type.rounding, overflow=a.type.overflow)
        return replace(a, type=qtype, clip=None if clip == (qtype.min, qtype.max) else clip)
    if a.type.overflow not in _SATURATING and _overflows(a, *x.range):
        return None
    # All that ``a`` does to a rounded value is to clamp it, and into a range that b's type holds:
    # a clamp there does the same.
    qtype = replace(b.type, rounding=a.type.rounding, overflow=Overflow.SATURATE)
    low, high = _clamped(middle.range, clip)
    results = apply_overflow(_before_overflow(a, *x.range), qtype)
    needed = int(results.min()) < low or high < int(results.max())
    return replace(a, type=qtype, clip=(low, high) if needed else None)


def _clamped(bounds: tuple[int, int], within: tuple[int, int]) -> tuple[int, int]:
    low, high = (min(max(bound, within[0]), within[1]) for bound in bounds)
    return low, high


@dataclass(frozen=True)
class _Clamp:
    """What one end of a clamp must be: ``exactly`` where it acts, at most ``limit`` elsewhere."""

    exactly: set[int]
    limit: int

    def bound(self, free: int) -> int | None:
        """The bound that suits every channel, or None; ``free`` where none is needed."""
        if not self.exactly:
            return free
        bound = next(iter(self.exactly))
        return bound if len(self.exactly) == 1 and bound <= self.limit else None


def _with_clip_behind(a: ops.Requantize, b: ops.Requantize, x: Tensor) -> ops.Requantize | None:
    """``a`` clamps but rounds nothing; the clamp moves behind ``b``, which is monotone."""
    saturating = a.type.overflow in _SATURATING
    if not saturating and _overflows(a, *x.range):
        return None
    raw = np.sort(_before_overflow(a, *x.range), axis=0)
    limits = (a.type.low, a.type.max) if saturating else (int(raw.min()), int(raw.max()))
    limits = _clamped(limits, a.clip) if a.clip else limits
    ends = np.clip(raw, *limits)
    qtype = b.type
    if qtype.overflow not in _SATURATING:
        if _overflows(b, *ends):
            return None
        # Between the clamped ends nothing overflows; beyond them it must not wrap back.
        qtype = replace(qtype, overflow=Overflow.SATURATE)
    # What each channel gives, and what it would give without the clamp of ``a``.
    wanted = np.sort(apply_overflow(_before_overflow(b, *ends), qtype), axis=0)
    wanted = np.clip(wanted, *b.clip) if b.clip else wanted
    free = np.sort(apply_overflow(_before_overflow(b, *raw), qtype), axis=0)
    low = _Clamp({int(w) for w, f in zip(wanted[0], free[0], strict=True) if f < w},
                 int(wanted[0].min())).bound(qtype.min)  # fmt: skip
    # The upper end is the lower end of the negated values.
    high = _Clamp({-int(w) for w, f in zip(wanted[1], free[1], strict=True) if f > w},
                  int((-wanted[1]).min())).bound(-qtype.max)  # fmt: skip
    if low is None or high is None or low > -high:
        return None
    clip = None if (low, -high) == (qtype.min, qtype.max) else (low, -high)
    return _multiplied(a, b, qtype, clip)
