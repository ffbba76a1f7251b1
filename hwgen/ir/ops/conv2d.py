"""Conv2D: two-dimensional convolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import QType, int_array
from ..fields import (
    ACCUMULATOR,
    BOOL,
    COUNT,
    FRAC,
    INTS,
    PADDING,
    PAIR,
    TYPE,
    Accumulator,
    optional,
)
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
    exactly. Padded positions hold the input's zero point. With ``raw`` the zero point is not
    subtracted: the sums are those of the integers as they are stored.
    """

    op_name: ClassVar[str] = "conv2d"

    weights: IntArray = attr(INTS)
    weight_type: QType = attr(TYPE)
    stride: Pair = attr(PAIR, default=(1, 1))
    padding: Any = attr(PADDING, default="valid")
    bias: IntArray | None = attr(optional(INTS), default=None)
    bias_frac: int | None = attr(optional(FRAC), default=None)
    accumulator: Accumulator | None = attr(optional(ACCUMULATOR), default=None)
    dilation: Pair = attr(PAIR, default=(1, 1))
    groups: int = attr(COUNT, default=1)
    raw: bool = attr(BOOL, default=False)

    @property
    def kernel(self) -> Pair:
        """Rows and columns of the kernel."""
        return self.weights.shape[0], self.weights.shape[1]

    @property
    def dilated_kernel(self) -> Pair:
        """Rows and columns from the first tap to the last one, both counted."""
        rows, columns = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return rows, columns

    def pads(self, x: Tensor) -> Pads:
        """Resolved padding for this input."""
        size = x.shape[0], x.shape[1]
        return resolve_padding(self.padding, self.dilated_kernel, self.stride, size)

    def _flat(self) -> IntArray:
        return self.weights.reshape(-1, self.weights.shape[3])

    def _accumulated(self, name: str, x: Tensor) -> Tensor:
        pads = self.pads(x)
        out = output_size((x.shape[0], x.shape[1]), self.dilated_kernel, self.stride, pads)
        shape = (*out, self.weights.shape[3])
        return _matmul.accumulated(
            name, shape, x.type, self._factors(x), self._flat(), self.weight_type, self.accumulator
        )

    def _factors(self, x: Tensor) -> tuple[int, int]:
        padded = any(max(p) > 0 for p in self.pads(x))
        return _matmul.factor_range(x, self.raw, [x.type.zero_point] if padded else [])

    def channel_ranges(self, x: Tensor) -> tuple[IntArray, IntArray]:
        """Smallest and largest exact sum of each output channel, without bias."""
        return _matmul.sum_ranges(self._flat(), self._factors(x))

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
        acc = self._accumulated("acc", tensor)
        zero, subtracted = tensor.type.zero_point, _matmul.subtracted(tensor.type, self.raw)
        bound = max(abs(b) for b in _matmul.factor_range(tensor, self.raw, [zero]))
        x = x - subtracted if subtracted else x
        if bound < 1 << 15:
            x = x.astype(np.int16)
        view = windows(x, self.dilated_kernel, self.stride, self.pads(tensor), zero - subtracted)
        view = view[:, :, :, :: self.dilation[0], :: self.dilation[1]]
        if self.weights.shape[2] == 1 and self.accumulator is None:
            total = self._depthwise(view, bound)
        else:
            total = self._grouped(view, bound, tensor.type.frac + self.weight_type.frac)
        total = _matmul.biased(total, acc, self.bias, self.bias_frac)
        return total.reshape(len(x), *acc.shape)

    def _grouped(self, view: IntArray, bound: int, frac: int) -> IntArray:
        """Sums (pixels, outputs) of windows, group by group as matrix products."""
        weights, outputs = self._flat(), self.weights.shape[3] // self.groups
        parts = []
        for group, channels in enumerate(np.split(view, self.groups, axis=-1)):
            flat = channels.reshape(-1, len(weights))
            mine = weights[:, group * outputs : (group + 1) * outputs]
            parts.append(_matmul.accumulate(flat, mine, bound, self.accumulator, frac))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _depthwise(self, view: IntArray, bound: int) -> IntArray:
        """The same with one input channel a group: tap by tap, all channels at once."""
        rows, columns, _, outputs = self.weights.shape
        largest = bound * int(np.abs(self.weights.astype(object)).sum(axis=(0, 1)).max())
        dtype = np.int32 if largest < 1 << 31 else np.int64
        weights = int_array(self.weights, largest).astype(dtype if largest < 1 << 62 else object)
        total: Any = None
        for ky in range(rows):
            for kx in range(columns):
                tap = view[:, :, :, ky, kx].astype(weights.dtype)
                if outputs > self.groups:
                    tap = np.repeat(tap, outputs // self.groups, axis=-1)
                product = tap * weights[ky, kx, 0]
                total = product if total is None else total + product
        return int_array(total.reshape(-1, outputs), largest)

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
