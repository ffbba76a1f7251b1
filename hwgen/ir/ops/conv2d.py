"""Conv2D: two-dimensional convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import QType
from ..fields import ACCUMULATOR, INT, INTS, PADDING, PAIR, TYPE, Accumulator, optional
from ..op import IntArray, Op, attr, image
from ..tensor import Tensor
from . import _matmul
from ._spatial import Pads, Pair, output_size, resolve_padding, windows


@dataclass(frozen=True, eq=False)
class Conv2D(Op):
    """``out = sum over (ky, kx, cin) of (x - zero point) * weights, + bias``; channels last.

    ``weights`` (kernel rows, kernel columns, cin / groups, cout) are integers of ``weight_type``.
    Input and output channels are split into ``groups`` that do not meet (a depthwise convolution
    has a group for each input channel); ``dilation`` is the distance of the taps. ``bias``
    (cout) are integers with ``bias_frac`` fractional bits (null: those of the products). The
    output is the exact accumulator, unless ``accumulator`` gives one; the bias is added after it,
    exactly. Padded positions are zero.
    """

    op_name: ClassVar[str] = "conv2d"

    weights: IntArray = attr(INTS)
    weight_type: QType = attr(TYPE)
    stride: Pair = attr(PAIR, default=(1, 1))
    padding: Any = attr(PADDING, default="valid")
    bias: IntArray | None = attr(optional(INTS), default=None)
    bias_frac: int | None = attr(optional(INT), default=None)
    accumulator: Accumulator | None = attr(optional(ACCUMULATOR), default=None)
    dilation: Pair = attr(PAIR, default=(1, 1))
    groups: int = attr(INT, default=1)

    @property
    def kernel(self) -> Pair:
        """Rows and columns of the kernel."""
        return self.weights.shape[0], self.weights.shape[1]

    @property
    def reach(self) -> Pair:
        """Rows and columns from the first tap to the last one, both counted."""
        rows, columns = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return rows, columns

    def pads(self, x: Tensor) -> Pads:
        """Resolved padding for this input."""
        return resolve_padding(self.padding, self.reach, self.stride, (x.shape[0], x.shape[1]))

    def _flat(self) -> IntArray:
        return self.weights.reshape(-1, self.weights.shape[3])

    def _accumulated(self, name: str, x: Tensor) -> Tensor:
        pads = self.pads(x)
        out = output_size((x.shape[0], x.shape[1]), self.reach, self.stride, pads)
        padded = any(max(p) > 0 for p in pads)
        shape = (*out, self.weights.shape[3])
        return _matmul.accumulated(
            name, shape, x, self._flat(), self.weight_type, self.accumulator, padded
        )

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Accumulator edge with the exact range of values."""
        x = image(self, inputs)
        if self.weights.ndim != 4 or min(self.weights.shape) < 1:
            raise UserError(
                f"weights have shape {self.weights.shape}, (rows, columns, cin, cout) is needed"
            )
        inputs_of_group, outputs = self.weights.shape[2:]
        if self.groups < 1 or outputs % self.groups:
            raise UserError(f"{outputs} output channels can not be split into {self.groups} groups")
        if inputs_of_group * self.groups != x.channels:
            groups = f" in each of {self.groups} groups" if self.groups > 1 else ""
            raise UserError(
                f"weights take {inputs_of_group} channels{groups}, the input has {x.channels}"
            )
        _matmul.check_codes(self.weights, self.weight_type, "weights")
        if self.bias is not None and self.bias.shape != (self.weights.shape[3],):
            raise UserError(f"bias has shape {self.bias.shape}, not ({self.weights.shape[3]},)")
        return _matmul.add_bias(self._accumulated(name, x), self.bias, self.bias_frac)[0]

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        x, tensor = arrays[0], inputs[0]
        zero = tensor.type.zero_point
        acc = self._accumulated("acc", tensor)
        bound = max(abs(b - zero) for b in tensor.range)
        small = x - zero if zero else x
        if bound < 1 << 15:
            small = small.astype(np.int16)
        view = windows(small, self.reach, self.stride, self.pads(tensor), 0)
        view = view[:, :, :, :: self.dilation[0], :: self.dilation[1]]
        frac = tensor.type.frac + self.weight_type.frac
        weights, outputs = self._flat(), self.weights.shape[3] // self.groups
        parts = []
        for group, channels in enumerate(np.split(view, self.groups, axis=-1)):
            flat = channels.reshape(-1, len(weights))
            mine = weights[:, group * outputs : (group + 1) * outputs]
            parts.append(_matmul.accumulate(flat, mine, bound, self.accumulator, frac))
        total = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        total = _matmul.biased(total, acc, self.bias, self.bias_frac)
        return total.reshape(len(x), *acc.shape)

    def macs(self, inputs: Sequence[Tensor]) -> int:
        """Products of one frame, padded positions counted."""
        rows, columns, _ = self._accumulated("acc", inputs[0]).shape
        return rows * columns * self.weights.size

    @property
    def parameters_bits(self) -> int:
        """Weights at their width, biases at the narrowest common one."""
        return self.weights.size * self.weight_type.width + bias_bits(self.bias)


def bias_bits(bias: IntArray | None) -> int:
    """Bits to store a bias vector in the narrowest two's complement."""
    if bias is None or not bias.size:
        return 0
    widest = max(int(b).bit_length() if b >= 0 else (~int(b)).bit_length() for b in bias)
    return bias.size * (widest + 1)
