"""Ops that change rows and columns without arithmetic: Pad and Upsample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import type_text
from ..fields import INT, PADS, PAIR
from ..op import IntArray, Op, attr, image
from ..tensor import Tensor
from ._spatial import Pads, Pair


@dataclass(frozen=True, eq=False)
class Pad(Op):
    """The image with rows and columns of ``value`` around it.

    ``pads`` is [[top, bottom], [left, right]]; ``value`` an integer of the input's type.
    """

    op_name: ClassVar[str] = "pad"

    pads: Pads = attr(PADS)
    value: int = attr(INT, default=0)

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the input's type."""
        x = image(self, inputs)
        if not x.type.min <= self.value <= x.type.max:
            raise UserError(f"value {self.value} is outside {type_text(x.type)}")
        (top, bottom), (left, right) = self.pads
        rows, columns, channels = x.shape
        shape = (rows + top + bottom, columns + left + right, channels)
        low, high = x.range
        return replace(
            x, name=name, shape=shape, low=min(low, self.value), high=max(high, self.value)
        )

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """The same integers, and the border."""
        return np.pad(arrays[0], ((0, 0), *self.pads, (0, 0)), constant_values=self.value)


@dataclass(frozen=True, eq=False)
class Upsample(Op):
    """Every row and every column several times: the nearest neighbour.

    ``factor`` : how often, [rows, columns].
    """

    op_name: ClassVar[str] = "upsample"

    factor: Pair = attr(PAIR)

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the input's type."""
        x = image(self, inputs)
        rows, columns, channels = x.shape
        return replace(
            x, name=name, shape=(rows * self.factor[0], columns * self.factor[1], channels)
        )

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """The same integers."""
        return arrays[0].repeat(self.factor[0], axis=1).repeat(self.factor[1], axis=2)
