"""Softmax, as gemmlowp computes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import QType, gemmlowp
from ..fields import INT, TYPE
from ..op import IntArray, Op, attr, single
from ..tensor import Tensor

MAX_CHANNELS = 1 << 11
"""The sum of exponentials has 12 integer bits."""


@dataclass(frozen=True, eq=False)
class Softmax(Op):
    """``exp(x) / sum of exp(x)`` over the channels, in gemmlowp's fixed-point arithmetic.

    A difference of inputs times ``mult * 2**(shift - 31)`` is its exponent with 26 fractional
    bits. The output's ``type`` has 8 or 16 bits, a scale of ``2**-width`` and its smallest
    integer as zero point.
    """

    op_name: ClassVar[str] = "softmax"

    mult: int = attr(INT)
    shift: int = attr(INT)
    type: QType = attr(TYPE)

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the given type."""
        x = single(self, inputs)
        out = self.type
        if x.type.width > 8 or x.channels > MAX_CHANNELS:
            raise UserError(
                f"softmax takes at most {MAX_CHANNELS} channels of at most 8 bits, got "
                f"{x.channels} of {x.type.width}"
            )
        if out.width not in (8, 16) or out.scale != 2.0**-out.width or out.zero_point != out.min:
            raise UserError(f"softmax gives 8 or 16 bits of scale 2**-width, not {out}")
        if not 0 <= self.mult <= gemmlowp.MAX_32 or not 0 <= self.shift <= 31:
            raise UserError(f"mult {self.mult} and shift {self.shift} are outside 31 bits, 0..31")
        return Tensor(name, x.shape, out)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        out = gemmlowp.softmax(arrays[0], self.mult, self.shift, self.type.width) + self.type.min
        return np.clip(out, self.type.min, self.type.max)
