"""Rescale: its rule and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....contract.geometry import ceil_div
from ....ir import Tensor, ops
from ... import latency
from ..units import Unit
from .requantize import RequantUnit
from .rule import Place, Rule, Stage


@dataclass(frozen=True)
class RescaleUnit(RequantUnit):
    """A runtime's own rule to scale and round, on a stream. See gateware Rescaler."""

    kind: ClassVar[str] = "rescaler"


class RescaleRule(Rule[ops.Rescale]):
    """A runtime's own rule to scale and round, where no requantization equals it."""

    def unit(self, stage: Stage[ops.Rescale], place: Place) -> Unit:
        return RescaleUnit(
            **self.common(stage, place),
            delay=_latency(stage.op, stage.input),
            multiplies=True,
            parameter_bits=ceil_div(stage.op.parameters_bits, stage.output.channels),
        )


def _latency(op: ops.Rescale, x: Tensor) -> int:
    precision = 0 if op.scaling.fixed_point else op.scaling.precision
    ends = (x.type.min + int(op.bias.min()), x.type.max + int(op.bias.max()))
    return latency.rescale(x.channels, precision, max(map(abs, ends)) > 1 << precision)
