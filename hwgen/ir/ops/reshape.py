"""Flatten and Reshape: the same elements in the same order under another shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ...errors import UserError
from ..fields import SHAPE
from ..op import IntArray, Op, attr, single
from ..tensor import Shape, Tensor


@dataclass(frozen=True, eq=False)
class Flatten(Op):
    """One vector of all elements, in (row, column, channel) order."""

    op_name: ClassVar[str] = "flatten"

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Vector edge of the input's type."""
        return _reshaped(name, single(self, inputs), (single(self, inputs).size,))

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """The same integers."""
        return arrays[0].reshape(len(arrays[0]), -1)


@dataclass(frozen=True, eq=False)
class Reshape(Op):
    """The elements in their order under ``shape``."""

    op_name: ClassVar[str] = "reshape"

    shape: Shape = attr(SHAPE)

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the input's type."""
        return _reshaped(name, single(self, inputs), self.shape)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """The same integers."""
        return arrays[0].reshape(len(arrays[0]), *self.shape)


def _reshaped(name: str, x: Tensor, shape: Shape) -> Tensor:
    if isinstance(x.type.scale, tuple):
        raise UserError("a tensor with one scale a channel can not be reshaped")
    if len(shape) > 3:
        raise UserError(f"shape {shape} has {len(shape)} axes, at most 3 are possible")
    out = Tensor(name, shape, x.type, x.low, x.high)
    if out.size != x.size:
        raise UserError(f"shape {shape} has {out.size} elements, the input {x.size}")
    return out
