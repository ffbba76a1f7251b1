"""Ops with several inputs: Add, Mul and Concat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import int_array, type_for_range, type_text
from ..op import IntArray, Op
from ..tensor import Tensor
from ._matmul import product_scale


@dataclass(frozen=True, eq=False)
class Add(Op):
    """``out = sum of the inputs``, exact: their fractions are aligned first."""

    op_name: ClassVar[str] = "add"

    def shifts(self, inputs: Sequence[Tensor]) -> list[int]:
        """How far each input moves to the left. Raises UserError where they can not be aligned."""
        types = [x.type for x in inputs]
        if any(t.zero_point or t.scale is not None for t in types):
            raise UserError(
                "add takes types with fractional bits, without scale and zero point",
                hint="requantize its inputs",
            )
        frac = max(t.frac for t in types)
        return [frac - t.frac for t in types]

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge that holds every sum."""
        _several(self, inputs)
        if any(x.shape != inputs[0].shape for x in inputs):
            raise UserError(f"add takes inputs of one shape, got {_shapes(inputs)}")
        shifts = self.shifts(inputs)
        low = sum(x.range[0] << s for x, s in zip(inputs, shifts, strict=True))
        high = sum(x.range[1] << s for x, s in zip(inputs, shifts, strict=True))
        frac = inputs[0].type.frac + shifts[0]
        return Tensor(name, inputs[0].shape, type_for_range(low, high, frac), low, high)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        shifts = self.shifts(inputs)
        bound = sum(max(abs(b) for b in x.range) << s for x, s in zip(inputs, shifts, strict=True))
        total = int_array(arrays[0], bound) << shifts[0]
        for array, shift in zip(arrays[1:], shifts[1:], strict=True):
            total = total + (int_array(array, bound) << shift)
        return total


@dataclass(frozen=True, eq=False)
class Mul(Op):
    """``out = product of two inputs``, each less its zero point, exact.

    The second input may have one row and one column: it is then the same for every pixel.
    """

    op_name: ClassVar[str] = "mul"

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge that holds every product."""
        if len(inputs) != 2:
            raise UserError(f"mul takes two inputs, {len(inputs)} given")
        a, b = inputs
        if b.shape not in (a.shape, (1, 1, a.channels)):
            raise UserError(
                f"mul takes inputs of one shape, or a second one of one pixel, got "
                f"{_shapes(inputs)}"
            )
        first, second = ([end - x.type.zero_point for end in x.range] for x in inputs)
        products = [p * q for p in first for q in second]
        low, high = min(products), max(products)
        qtype = replace(type_for_range(low, high), **product_scale(a.type, b.type))
        return Tensor(name, a.shape, qtype, low, high)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        bound = max(abs(b) for b in self.infer("product", inputs).range)
        a, b = (
            int_array(array, bound) - x.type.zero_point
            for array, x in zip(arrays, inputs, strict=True)
        )
        return a * b


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """The channels of the inputs, one input after the other."""

    op_name: ClassVar[str] = "concat"

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the inputs' common type."""
        _several(self, inputs)
        first = inputs[0]
        if any(x.shape[:-1] != first.shape[:-1] for x in inputs):
            raise UserError(
                f"concat takes inputs that differ in channels only, got {_shapes(inputs)}"
            )
        for x in inputs[1:]:
            same = replace(x.type, rounding=first.type.rounding, overflow=first.type.overflow)
            if same != first.type or isinstance(x.type.scale, tuple):
                raise UserError(
                    f"concat takes inputs of one type, got {type_text(first.type, 6)} "
                    f"and {type_text(x.type, 6)}",
                    hint="requantize its inputs",
                )
        low, high = min(x.range[0] for x in inputs), max(x.range[1] for x in inputs)
        shape = (*first.shape[:-1], sum(x.channels for x in inputs))
        return Tensor(name, shape, first.type, low, high)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """The same integers."""
        return np.concatenate(list(arrays), axis=-1)


def _several(op: Op, inputs: Sequence[Tensor]) -> None:
    if len(inputs) < 2:
        raise UserError(f"{op.op_name} takes two inputs or more, {len(inputs)} given")


def _shapes(inputs: Sequence[Tensor]) -> str:
    return ", ".join(str(x.shape) for x in inputs)
