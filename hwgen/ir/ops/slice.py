"""Slice: some of the elements along each axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ...errors import UserError
from ..fields import SHAPE, START
from ..op import IntArray, Op, attr, single
from ..tensor import Shape, Tensor


@dataclass(frozen=True, eq=False)
class Slice(Op):
    """Along each axis ``size`` elements from ``start`` on, ``step`` apart."""

    op_name: ClassVar[str] = "slice"

    start: tuple[int, ...] = attr(START)
    size: Shape = attr(SHAPE)
    step: Shape = attr(SHAPE)

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the input's type."""
        x = single(self, inputs)
        axes = len(x.shape)
        if not len(self.start) == len(self.size) == len(self.step) == axes:
            raise UserError(f"start, size and step need a number for each of {axes} axes")
        for axis, length in enumerate(x.shape):
            last = self.start[axis] + (self.size[axis] - 1) * self.step[axis]
            if last >= length:
                raise UserError(f"axis {axis} has {length} elements, number {last} is asked for")
        if isinstance(x.type.scale, tuple):
            raise UserError("a tensor with one scale a channel can not be sliced")
        return replace(x, name=name, shape=self.size)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """The same integers."""
        index = [
            slice(first, first + count * step, step)
            for first, count, step in zip(self.start, self.size, self.step, strict=True)
        ]
        return arrays[0][(slice(None), *index)]
