"""Requantize: its rule, its unit, and what requantizers of other units need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....ir import Tensor, ops
from ... import latency
from ..units import BeatUnit, Unit
from .rule import Place, Rule, Stage


@dataclass(frozen=True)
class RequantUnit(BeatUnit):
    """Requantizers on a stream. See gateware Requant."""

    kind: ClassVar[str] = "requant"

    multiplies: bool
    parameter_bits: int

    @property
    def requant_multipliers(self) -> int:
        return self.output.lanes if self.multiplies else 0

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {"requant": self.input.beats}

    @property
    def memory_bits(self) -> int:
        return super().memory_bits + self.output.channels * self.parameter_bits


class RequantizeRule(Rule[ops.Requantize]):
    """A requantization that does not follow a product."""

    def unit(self, stage: Stage[ops.Requantize], place: Place) -> Unit:
        multiplies = needs_multiplier(stage.op, stage.input)
        return RequantUnit(
            **self.common(stage, place),
            delay=latency.requantizer(multiplies, stage.output.channels),
            multiplies=multiplies,
            parameter_bits=parameter_bits(stage.op),
        )


def needs_multiplier(op: ops.Requantize, x: Tensor) -> bool:
    """Whether the channels have multipliers other than one common power of two, or pivots."""
    if op.pivot is not None:
        return True
    values = set(op.mult.tolist())
    first = next(iter(values))
    return len(values) > 1 or first <= 0 or first & (first - 1) != 0


def parameter_bits(op: ops.Requantize) -> int:
    """Bits of a channel's parameters, all as wide as the widest."""
    arrays = [a for a in (op.mult, op.bias, op.pivot, op.below) if a is not None]
    return len(arrays) * max(int(v).bit_length() for a in arrays for v in a.tolist())
