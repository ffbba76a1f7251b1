"""Cast: its rule and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....ir import ops
from ....numeric import ceil_div
from ... import latency
from ..units import BeatUnit, Unit
from .rule import Place, Rule, Stage


@dataclass(frozen=True)
class CastUnit(BeatUnit):
    """Elements to types of their own, on a stream. See gateware Cast.

    positions : pixels after which the types repeat. types : how many there are.
    """

    kind: ClassVar[str] = "cast"

    positions: int
    types: int

    @property
    def memory_bits(self) -> int:
        beats = self.positions * ceil_div(self.input.channels, self.input.lanes)
        return super().memory_bits + beats * self.input.lanes * self.types.bit_length()


class CastRule(Rule[ops.Cast]):
    """Elements to types of their own."""

    def unit(self, stage: Stage[ops.Cast], place: Place) -> Unit:
        positions, types = len(stage.op.rows(stage.input)), len(stage.op.types)
        beats = positions * ceil_div(stage.output.channels, place.inputs[0].lanes)
        return CastUnit(
            **self.common(stage, place),
            delay=latency.cast(beats, types),
            positions=positions,
            types=types,
        )
