"""MultiThreshold: any function of one integer that is constant between thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import QType
from ..fields import INTS, TYPE
from ..op import IntArray, Op, attr, single
from ..tensor import Tensor
from . import _matmul

MAX_STEPS = 4095


@dataclass(frozen=True, eq=False)
class MultiThreshold(Op):
    """``out = values[number of thresholds that are at most x]``.

    ``thresholds``, (steps) or (channels, steps), ascend; ``values`` (steps + 1) are integers of
    ``type``. This is the multi-threshold of FINN (Umuroglu et al., 2017) with any values: leaky
    ReLU, tanh, sigmoid and powers of two behind an accumulator, or a table of few integers.
    """

    op_name: ClassVar[str] = "staircase"

    thresholds: IntArray = attr(INTS)
    values: IntArray = attr(INTS)
    type: QType = attr(TYPE)

    @property
    def rows(self) -> IntArray:
        """Thresholds as (1 or channels, steps)."""
        return np.atleast_2d(self.thresholds)

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the given type."""
        x = single(self, inputs)
        if self.thresholds.ndim not in (1, 2) or self.values.ndim != 1:
            raise UserError(
                f"thresholds have shape {self.thresholds.shape}, values {self.values.shape}; "
                "(steps) or (channels, steps), and (steps + 1) are needed"
            )
        rows, steps = self.rows.shape
        if not 1 <= steps <= MAX_STEPS or len(self.values) != steps + 1:
            raise UserError(
                f"{steps} thresholds need {steps + 1} values (got {len(self.values)}), and at "
                f"most {MAX_STEPS} are supported"
            )
        if rows not in (1, x.channels):
            raise UserError(f"thresholds for {rows} channels, the input has {x.channels}")
        if np.any(np.diff(self.rows, axis=1) < 0):
            raise UserError("thresholds must ascend")
        if isinstance(x.type.scale, tuple) and rows == 1 and x.channels > 1:
            raise UserError("channels with different scales need thresholds of their own")
        _matmul.check_codes(self.values, self.type, "values")
        low, high = int(self.values.min()), int(self.values.max())
        return Tensor(name, x.shape, self.type, low, high)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        x = arrays[0]
        if len(self.rows) == 1:
            return self.values[np.searchsorted(self.rows[0], x, side="right")]
        steps = np.empty(x.shape, np.int64)
        for channel, thresholds in enumerate(self.rows):
            steps[..., channel] = np.searchsorted(thresholds, x[..., channel], side="right")
        return self.values[steps]

    @property
    def parameters_bits(self) -> int:
        """Thresholds at the narrowest common width, values at theirs."""
        widest = max(abs(int(t)) for t in (self.thresholds.min(), self.thresholds.max()))
        return self.thresholds.size * (widest.bit_length() + 1) + self.values.size * self.type.width
