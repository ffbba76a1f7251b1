"""ArgMax: the index of the largest channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import type_for_range
from ..op import IntArray, Op, single
from ..tensor import Tensor


@dataclass(frozen=True, eq=False)
class ArgMax(Op):
    """Index of the largest channel of each pixel; the first where several are equal."""

    op_name: ClassVar[str] = "argmax"

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """One unsigned integer for each pixel."""
        x = single(self, inputs)
        if isinstance(x.type.scale, tuple):
            raise UserError("channels with different scales can not be compared")
        qtype = type_for_range(0, x.channels - 1)
        return Tensor(name, (*x.shape[:-1], 1), qtype, 0, x.channels - 1)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact indices."""
        return np.argmax(arrays[0], axis=-1, keepdims=True).astype(np.int64)
