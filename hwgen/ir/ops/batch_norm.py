"""BatchNorm with the quantizer that follows it; a pass folds it into a Requantize."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import QType, dequantize, quantize
from ..fields import CLIP, REALS, TYPE, optional
from ..op import IntArray, Op, attr, single
from ..tensor import Tensor

RealArray = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class BatchNorm(Op):
    """``out = quantize((x - mean) * gamma / sqrt(variance + epsilon) + beta)`` per channel.

    Parameters are real; ``scale`` = gamma / sqrt(variance + epsilon) and ``offset`` = beta -
    mean * scale, both in float64, are what is stored. The result is evaluated in float64 as
    ``x * scale + offset`` and quantized once into ``type``; ``clip`` acts after that.
    """

    op_name: ClassVar[str] = "batch_norm"
    reads_accumulators: ClassVar[bool] = True

    scale: RealArray = attr(REALS)
    offset: RealArray = attr(REALS)
    type: QType = attr(TYPE)
    clip: tuple[int, int] | None = attr(optional(CLIP), default=None)

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the given type."""
        x = single(self, inputs)
        for what in ("scale", "offset"):
            if getattr(self, what).shape != (x.channels,):
                raise UserError(
                    f"{what} has shape {getattr(self, what).shape}, ({x.channels},) is needed"
                )
        # The map is linear: what its ends give is finite, or they are the first that are not.
        ends = np.array([[end] * x.channels for end in x.range], dtype=object)
        try:
            self._quantized(ends, x)
        except ValueError as error:
            raise UserError(f"scale and offset are too large: {error}") from None
        if self.clip:
            if not self.type.min <= self.clip[0] <= self.clip[1] <= self.type.max:
                raise UserError(f"clip {list(self.clip)} is outside {self.type}")
            return Tensor(name, x.shape, self.type, *self.clip)
        return Tensor(name, x.shape, self.type)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers of the float64 formula."""
        out = self._quantized(arrays[0], inputs[0])
        return np.clip(out, *self.clip) if self.clip else out

    def _quantized(self, values: IntArray, x: Tensor) -> IntArray:
        with np.errstate(over="ignore", invalid="ignore"):
            real = dequantize(values, x.type) * self.scale + self.offset
        return quantize(real, self.type)

    @property
    def parameters_bits(self) -> int:
        """Counted as float32, until it is folded."""
        return 32 * (self.scale.size + self.offset.size)
