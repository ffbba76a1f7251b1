"""MultiThreshold: its rule and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....ir import ops
from ... import latency
from ..units import BeatUnit, Unit
from .rule import Place, Rule, Stage


@dataclass(frozen=True)
class MultiThresholdUnit(BeatUnit):
    """A function constant between thresholds, on a stream. See gateware MultiThreshold."""

    kind: ClassVar[str] = "staircase"

    parameter_bits: int

    @property
    def memory_bits(self) -> int:
        return super().memory_bits + self.parameter_bits


class MultiThresholdRule(Rule[ops.MultiThreshold]):
    """A function constant between thresholds."""

    def unit(self, stage: Stage[ops.MultiThreshold], place: Place) -> Unit:
        return MultiThresholdUnit(
            **self.common(stage, place),
            delay=latency.multi_threshold(stage.input.type.width, *stage.op.rows.shape),
            parameter_bits=stage.op.parameters_bits,
        )
