"""Dense: a fully connected layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ...errors import UserError
from ...numeric import QType
from ..fields import ACCUMULATOR, BOOL, FRAC, INTS, TYPE, Accumulator, optional
from ..op import IntArray, Op, attr, single
from ..tensor import Tensor
from . import _matmul
from .conv2d import bias_bits


@dataclass(frozen=True, eq=False)
class Dense(Op):
    """``out = sum over inputs of (x - zero point) * weights, + bias``.

    The input is a vector; ``weights`` (inputs, outputs) and the other attributes are as in
    Conv2D.
    """

    op_name: ClassVar[str] = "dense"

    weights: IntArray = attr(INTS)
    weight_type: QType = attr(TYPE)
    bias: IntArray | None = attr(optional(INTS), default=None)
    bias_frac: int | None = attr(optional(FRAC), default=None)
    accumulator: Accumulator | None = attr(optional(ACCUMULATOR), default=None)
    raw: bool = attr(BOOL, default=False)

    def _accumulated(self, name: str, x: Tensor) -> Tensor:
        shape = (self.weights.shape[1],)
        bounds = _matmul.factor_range(x, self.raw)
        return _matmul.accumulated(
            name, shape, x.type, bounds, self.weights, self.weight_type, self.accumulator
        )

    def channel_ranges(self, x: Tensor) -> tuple[IntArray, IntArray]:
        """Smallest and largest exact sum of each output, without bias."""
        return _matmul.sum_ranges(self.weights, _matmul.factor_range(x, self.raw))

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Accumulator edge with the exact range of values."""
        x = single(self, inputs)
        if len(x.shape) != 1:
            raise UserError(
                f"dense takes a vector, the input has shape {x.shape}", hint="flatten it first"
            )
        if self.weights.ndim != 2 or self.weights.shape[0] != x.size or not self.weights.shape[1]:
            raise UserError(
                f"weights have shape {self.weights.shape}, ({x.size}, outputs) is needed"
            )
        _matmul.check_codes(self.weights, self.weight_type, "weights")
        if self.bias is not None and self.bias.shape != (self.weights.shape[1],):
            raise UserError(f"bias has shape {self.bias.shape}, not ({self.weights.shape[1]},)")
        return _matmul.add_bias(self._accumulated(name, x), self.bias, self.bias_frac)[0]

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        x, tensor = arrays[0], inputs[0]
        zero = _matmul.subtracted(tensor.type, self.raw)
        bound = max(abs(b) for b in _matmul.factor_range(tensor, self.raw))
        frac = tensor.type.frac + self.weight_type.frac
        total = _matmul.accumulate(x - zero, self.weights, bound, self.accumulator, frac)
        acc = self._accumulated("acc", tensor)
        return _matmul.biased(total, acc, self.bias, self.bias_frac)

    def macs(self, inputs: Sequence[Tensor]) -> int:
        """Products of one frame."""
        return self.weights.size

    @property
    def parameters_bits(self) -> int:
        """Weights at their width, biases at the narrowest common one."""
        return self.weights.size * self.weight_type.width + bias_bits(self.bias)
