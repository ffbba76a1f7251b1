"""Softmax, as gemmlowp computes it, and as LiteRT and ONNX Runtime do with a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...errors import UserError
from ...numeric import QType, gemmlowp
from ..fields import COUNT, INT, REALS, TYPE, optional
from ..op import IntArray, Op, attr, single
from ..tensor import Tensor

MAX_CHANNELS = 1 << 11
"""The sum of exponentials has 12 integer bits."""
MAX_FLOAT = float(np.finfo(np.float32).max)


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
        _check_types(x, self.type)
        if not 0 <= self.mult <= gemmlowp.MAX_32 or not 0 <= self.shift <= 31:
            raise UserError(f"mult {self.mult} and shift {self.shift} are outside 31 bits, 0..31")
        return Tensor(name, x.shape, self.type)

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        out = gemmlowp.softmax(arrays[0], self.mult, self.shift, self.type.width) + self.type.min
        return np.clip(out, self.type.min, self.type.max)


@dataclass(frozen=True, eq=False)
class SoftmaxTable(Op):
    """``exp(x) / sum of exp(x)`` over the channels, in float32 from a table of exponentials.

    ``powers[d]`` is the exponential, a float32, of an integer that lies ``d`` below the largest.
    They are summed in the order of channels, each step rounded to float32; each one times the
    inverse of the sum, in steps of the output, is rounded to an integer: ties away from zero for a
    signed output, by a float32 addition of one half for an unsigned one. LiteRT's optimized
    kernels (its public sources: SoftmaxOp with a lookup table).

    With ``steps``, those of the output from 0 to 1, each exponential is multiplied by them and
    divided by the sum, and ties go to even; the zero point is added, and what the type does not
    hold is saturated. Exponentials may then have any common factor that is at least 1. ONNX
    Runtime's QLinearSoftmax, which divides in float64 (as measured of version 1.32): a quotient so
    near a tie that this precision did not tell it from one would need more bits than an exponential
    times the steps and a sum have.
    """

    op_name: ClassVar[str] = "softmax_table"

    powers: np.ndarray[Any, Any] = attr(REALS)
    type: QType = attr(TYPE)
    steps: int | None = attr(optional(COUNT), default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "powers", np.asarray(self.powers, np.float32))

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """Edge of the given type."""
        x = single(self, inputs)
        if self.steps is None:
            _check_types(x, self.type)
        else:
            _check_input(x)
        if self.powers.shape != (1 << x.type.width,):
            raise UserError(f"powers holds {self.powers.shape}, {1 << x.type.width} are needed")
        inside = np.isfinite(self.powers) & (self.powers >= 0) & (self.powers <= self.powers[0])
        first = float(self.powers[0])
        if not inside.all() or first < 1 or (self.steps is None and first != 1):
            raise UserError(
                "powers must be from 0 to the first one, which is at least 1, and 1 without steps"
            )
        # What roundings may add to a sum of all channels is less than 1 %.
        if first * x.channels * 1.01 > MAX_FLOAT:
            raise UserError(f"{x.channels} times the first of powers is more than float32 holds")
        return Tensor(name, x.shape, self.type)

    @property
    def patterns(self) -> tuple[int, ...]:
        """Exponentials as IEEE 754 stores them, a zero without its sign."""
        return tuple((self.powers.view(np.uint32) & 0x7FFFFFFF).tolist())

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact integers."""
        x = arrays[0]
        powers = self.powers[x.max(axis=-1, keepdims=True) - x]
        total = np.zeros(x.shape[:-1], np.float32)
        for channel in range(x.shape[-1]):
            total = total + powers[..., channel]
        if self.steps is not None:
            parts = powers * np.float64(self.steps) / total[..., None]
            codes = np.rint(parts).astype(np.int64) + self.type.zero_point
            return np.clip(codes, self.type.min, self.type.max)
        inverse = np.float32(1) / (total * np.float32(2.0**-self.type.width))
        scaled = powers * inverse[..., None]
        if self.type.signed:
            whole = np.trunc(scaled)
            whole = whole + (scaled - whole >= np.float32(0.5))
        else:
            whole = np.trunc(scaled + np.float32(0.5))
        out = whole.astype(np.int64) + self.type.min
        return np.clip(out, self.type.min, self.type.max)


def _check_types(x: Tensor, out: QType) -> None:
    _check_input(x)
    if out.width not in (8, 16) or out.scale != 2.0**-out.width or out.zero_point != out.min:
        raise UserError(f"softmax gives 8 or 16 bits of scale 2**-width, not {out}")


def _check_input(x: Tensor) -> None:
    if x.type.width > 8 or x.channels > MAX_CHANNELS:
        raise UserError(
            f"softmax takes at most {MAX_CHANNELS} channels of at most 8 bits, got "
            f"{x.channels} of {x.type.width}"
        )
