"""Rescale: its rule and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ....errors import UserError
from ....ir import Tensor, ops
from ....numeric import Overflow, ceil_div, type_text
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
        _check_significand(stage.name, stage.op, stage.input)
        return RescaleUnit(
            **self.common(stage, place),
            delay=_latency(stage.op, stage.input),
            multiplies=True,
            parameter_bits=ceil_div(stage.op.parameters_bits, stage.output.channels),
        )


def _check_significand(layer: str, op: ops.Rescale, x: Tensor) -> None:
    """Raises UserError where a float rule's result may be larger than its significand holds.

    Such a result loses low bits, which the rescaler does not imitate: its own must be those that
    saturate.
    """
    if op.scaling.fixed_point:
        return
    bits, qtype = op.scaling.precision, op.type
    rows = (np.broadcast_to(a, x.channels).tolist() for a in (op.mult, op.shift, op.bias))
    mult, shift, bias = rows
    sizes = [max(abs(x.type.min + b), abs(x.type.max + b)) for b in bias]
    most = max(size * m >> s for size, m, s in zip(sizes, mult, shift, strict=True))
    kept = max(abs(qtype.low - op.offset), abs(qtype.max - op.offset))
    if most >> bits and (kept >> bits or qtype.overflow is Overflow.WRAP):
        raise UserError(
            f"{op.scaling} rounds its products to {bits} bits, results of up to "
            f"{most.bit_length()} are not supported where {type_text(qtype)} keeps more "
            "than it or wraps",
            layer=layer,
            hint=f"let the output saturate to at most {bits} bits",
        )


def _latency(op: ops.Rescale, x: Tensor) -> int:
    precision = 0 if op.scaling.fixed_point else op.scaling.precision
    ends = (x.type.min + int(op.bias.min()), x.type.max + int(op.bias.max()))
    return latency.rescale(x.channels, precision, max(map(abs, ends)) > 1 << precision)
