"""Cast: each element to a fixed-point type of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import QType, apply_overflow, int_array, magnitude, round_shift
from ..fields import INTS, TYPES
from ..op import IntArray, Op, attr, single
from ..tensor import Tensor

MAX_TYPES = 256


@dataclass(frozen=True, eq=False)
class Cast(Op):
    """Element by element ``types[index]``, rounded and brought into range as that type says.

    ``index`` broadcasts to the shape of a frame; where it is -1 the result is 0. The types share
    rounding and overflow. The result has the fraction of the finest and the range of the widest:
    heterogeneous bit widths (HGQ, Sun et al., 2024) on one edge.
    """

    op_name: ClassVar[str] = "cast"

    types: tuple[QType, ...] = attr(TYPES)
    index: IntArray = attr(INTS)

    @property
    def type(self) -> QType:
        """The type that holds every element."""
        frac = max(t.frac for t in self.types)
        signed = any(t.signed for t in self.types)
        width = max(t.width - t.signed + frac - t.frac for t in self.types) + signed
        first = self.types[0]
        return QType(signed, width, frac, first.rounding, first.overflow)

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the covering type, with the range of what is chosen."""
        x = single(self, inputs)
        if x.type.scale is not None or any(t.scale is not None for t in self.types):
            raise UserError("a cast is between fixed-point types, without scales")
        if len({(t.rounding, t.overflow) for t in self.types}) > 1:
            raise UserError("the types of a cast share their rounding and overflow")
        if len(self.types) > MAX_TYPES:
            raise UserError(f"{len(self.types)} types, at most {MAX_TYPES} are supported")
        try:
            np.broadcast_to(self.index, x.shape)
        except ValueError:
            raise UserError(f"index has shape {self.index.shape}, the input {x.shape}") from None
        if self.index.min() < -1 or self.index.max() >= len(self.types):
            raise UserError(f"index is outside -1..{len(self.types) - 1}")
        low, high = zip(*(self._ends(n) for n in np.unique(self.index).tolist()), strict=True)
        return Tensor(name, x.shape, self.type, min(low), max(high))

    def _ends(self, index: int) -> tuple[int, int]:
        """Range of the elements of one type, in integers of the result."""
        if index < 0:
            return 0, 0
        qtype = self.types[index]
        up = self.type.frac - qtype.frac
        return qtype.low << up, qtype.max << up

    def rows(self, x: Tensor) -> IntArray:
        """The index of each element of the pixels after which it repeats: (pixels, channels)."""
        index = np.broadcast_to(self.index, x.shape).reshape(-1, x.channels)
        return index[:1] if np.all(index == index[0]) else index

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        x = arrays[0]
        index = np.broadcast_to(self.index, inputs[0].shape)
        bound = max(abs(self.type.min), self.type.max)
        result = int_array(np.zeros(x.shape, np.int64), bound)
        for n, qtype in enumerate(self.types):
            here = index == n
            up = max(0, qtype.frac - inputs[0].type.frac)
            down = max(0, inputs[0].type.frac - qtype.frac)
            values = int_array(x[:, here], magnitude(x) << up)
            codes = apply_overflow(round_shift(values << up, down, qtype.rounding), qtype)
            result[:, here] = int_array(codes, bound) << (self.type.frac - qtype.frac)
        return result

    @property
    def parameters_bits(self) -> int:
        """An index for each element that has one of its own."""
        return self.index.size * len(self.types).bit_length()
