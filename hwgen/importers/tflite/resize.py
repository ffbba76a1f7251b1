"""RESIZE_BILINEAR: weighted sums of neighbours, first of rows and then of columns, rounded once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Conv2D, Requantize
from ...numeric import Overflow, QType, Rounding, type_for_range
from .. import moves
from ..permutation import MOST_SLICES
from .file import TfOperator, options
from .meaning import Runtime
from .work import TfliteImport, frame_shape, quantized

_WEIGHTS = QType(True, 13, 0, Rounding.HALF_AWAY, Overflow.SATURATE)
_BITS = 10
"""Fractional bits of places in TensorFlow Lite's kernels."""
_XNNPACK_BITS = 11


@dataclass(frozen=True)
class Places:
    """Where each result of an axis lies: ``lower`` is the element before it, -1 where that is the
    border, and ``weight`` out of ``1 << bits`` that of the element behind it."""

    lower: np.ndarray
    weight: np.ndarray
    bits: int

    @classmethod
    def of(cls, runtime: Runtime, size: int, wanted: int, corners: bool, middles: bool) -> Places:
        """The places of a runtime: fixed-point numbers, in XNNPACK float32 ones."""
        places = np.arange(wanted)
        less = int(corners and wanted > 1)
        if runtime is Runtime.XNNPACK:
            step = np.float32(size - less) / np.float32(wanted - less)
            offset = np.float32(0.5) * step - np.float32(0.5)
            real = places.astype(np.float32) * step
            if middles and not corners:
                real = np.clip(real + offset, np.float32(0), np.float32(size - 1))
            lower = np.minimum(real.astype(np.int64), size - 1)
            rest = np.rint((real - lower.astype(np.float32)) * np.float32(1 << _XNNPACK_BITS))
            return cls(lower, rest.astype(np.int64), _XNNPACK_BITS).reduced()
        unit = 1 << _BITS
        step = (unit * (size - less) + (wanted - less) // 2) // (wanted - less)
        fixed = places * step + (step // 2 - unit // 2 if middles else 0)
        return cls(fixed >> _BITS, fixed & (unit - 1), _BITS).reduced()

    def reduced(self) -> Places:
        """The same places in the fewest bits."""
        together = int(np.bitwise_or.reduce(self.weight)) | 1 << self.bits
        zeros = (together & -together).bit_length() - 1
        return replace(self, weight=self.weight >> zeros, bits=self.bits - zeros)

    @property
    def period(self) -> int:
        """After how many results all repeats itself, one element further; of all a divisor."""
        count = len(self.lower)
        for period in (n for n in range(1, count) if count % n == 0):
            further = np.array_equal(self.lower[period:], self.lower[:-period] + 1)
            if further and np.array_equal(self.weight[period:], self.weight[:-period]):
                return period
        return count


def bilinear(work: TfliteImport, op: TfOperator) -> None:
    """RESIZE_BILINEAR to any size."""
    chosen = options(op, "ResizeBilinearOptions", "AlignCorners", "HalfPixelCenters")
    work.keep_meaning(op)
    x, size = work.edge(op, 0), work.integers(op, 1)
    wanted = size.reshape(-1).tolist()
    shape = frame_shape(work.output(op))
    if len(x.shape) != 3 or len(wanted) != 2 or shape != (*wanted, x.channels):
        raise UserError(f"resizing {x.shape} to {wanted} is not supported")
    if chosen.AlignCorners and chosen.HalfPixelCenters:
        raise UserError("aligned corners and pixels' middles exclude each other")
    rows, columns = (
        Places.of(work.runtime, n, m, bool(chosen.AlignCorners), bool(chosen.HalfPixelCenters))
        for n, m in zip(x.shape[:2], wanted, strict=True)
    )
    for n, places in zip(x.shape, (rows, columns), strict=False):
        if places.lower.max() >= n:
            raise UserError(
                f"resizing {n} elements to {len(places.lower)}: the runtime reads beyond"
            )
    total = _along(work, f"{op.name}_rows", x, rows, 0)
    total = _along(work, f"{op.name}_columns", total, columns, 1)
    # XNNPACK adds a half and cuts off, TensorFlow Lite's own kernels round by the size.
    xnnpack = work.runtime is Runtime.XNNPACK
    rounding = Rounding.HALF_UP if xnnpack else Rounding.HALF_AWAY
    qtype = replace(quantized(work.output(op)), rounding=rounding)
    shift = rows.bits + columns.bits
    work.give(op, work.add(op.name, Requantize.scaled(qtype, 1, 0, shift), total))


def _along(work: TfliteImport, name: str, x: Tensor, places: Places, axis: int) -> Tensor:
    """The weighted sums of each result's two neighbours along an axis, exact."""
    lower, period = places.lower, places.period
    if period == 1 and not places.bits and len(lower) == x.shape[axis]:
        return x
    before, behind = max(0, -int(lower.min())), max(0, int(lower.max()) + 2 - x.shape[axis])
    if period > MOST_SLICES:
        raise UserError(
            f"each of {period} results has a place of its own between its neighbours; at most "
            f"{MOST_SLICES} are supported",
            hint="resize by a power of two",
        )
    x = _with_borders(work, f"{name}_border", x, axis, before, behind)
    unit = 1 << places.bits
    parts = []
    for phase in range(period):
        weight, count = int(places.weight[phase]), len(lower) // period
        first, label = int(lower[phase]) + before, f"{name}_{phase}"
        near = moves.taken(work.add, f"{label}_part", x, axis, first, count + 1)
        kernel = np.array([unit - weight, weight]).reshape((2, 1) if axis == 0 else (1, 2))
        codes = np.repeat(kernel[:, :, np.newaxis, np.newaxis], x.channels, axis=3)
        total = work.add(f"{label}_mac", Conv2D(codes, _WEIGHTS, groups=x.channels, raw=True), near)
        parts.append(work.add(label, Requantize.scaled(_sums(x, unit), 1), total))
    return _interleaved(work, name, parts, axis)


def _sums(x: Tensor, unit: int) -> QType:
    """The type of sums whose weights add up to ``unit``; saturation is never met."""
    low, high = (unit * end for end in x.range)
    exact = type_for_range(low, high)
    return replace(exact, rounding=Rounding.FLOOR, overflow=Overflow.SATURATE)


def _with_borders(
    work: TfliteImport, name: str, x: Tensor, axis: int, before: int, behind: int
) -> Tensor:
    """The first and the last element of an axis repeated."""
    first = [(f"{name}_first", 0)] * min(before, 1)
    last = [(f"{name}_last", x.shape[axis] - 1)] * min(behind, 1)
    ends = [
        [moves.taken(work.add, label, x, axis, at, 1) for label, at in e] for e in (first, last)
    ]
    return moves.joined(work.add, name, [*ends[0] * before, x, *ends[1] * behind], axis)


def _interleaved(work: TfliteImport, name: str, parts: list[Tensor], axis: int) -> Tensor:
    """The first element of each part along an axis, then the second of each."""
    if len(parts) == 1:
        return parts[0]
    shape = parts[0].shape
    if axis == 0:
        rows = (shape[0], shape[1] * shape[2])
        views = [moves.viewed(work.add, f"{x.name}_row", x, rows) for x in parts]
        flat = moves.joined(work.add, f"{name}_flat", views, 1)
    else:
        flat = moves.joined(work.add, f"{name}_flat", parts, 2)
    whole = tuple(n * len(parts) if k == axis else n for k, n in enumerate(shape))
    return moves.viewed(work.add, name, flat, whole)
