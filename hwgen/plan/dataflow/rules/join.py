"""Add, Mul and Concat: their rules and units."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import ClassVar

from ....ir import ops
from ... import latency
from ..units import JoinUnit, Unit
from .rule import Place, Rule, Stage


@dataclass(frozen=True)
class AddUnit(JoinUnit):
    """Sum of streams. See gateware Add."""

    kind: ClassVar[str] = "add"
    delay: ClassVar[int] = 1

    def order(self) -> list[tuple[int, ...]]:
        return [tuple(range(len(self.inputs)))]


@dataclass(frozen=True)
class MulUnit(JoinUnit):
    """Products of two streams. See gateware Mul."""

    kind: ClassVar[str] = "multiply"
    delay: ClassVar[int] = latency.MULTIPLY

    @property
    def requant_multipliers(self) -> int:
        return self.output.lanes

    def generous(self, field: str) -> int:
        return super().generous(field) + self.delay

    def order(self) -> list[tuple[int, ...]]:
        return [(0, 1)]


@dataclass(frozen=True)
class ConcatUnit(JoinUnit):
    """Channels one input after the other. See gateware Concat."""

    kind: ClassVar[str] = "concat"

    def order(self) -> list[tuple[int, ...]]:
        beats = [stream.beats // stream.pixels for stream in self.inputs]
        return [(source,) for source, count in enumerate(beats) for _ in range(count)]


class AddRule(Rule[ops.Add]):
    """Sums of several streams, element by element."""

    def unit(self, stage: Stage[ops.Add], place: Place) -> Unit:
        return AddUnit(**self.common(stage, place), inputs=place.inputs)


class MulRule(Rule[ops.Mul]):
    """Products of two streams, element by element."""

    def unit(self, stage: Stage[ops.Mul], place: Place) -> Unit:
        return MulUnit(**self.common(stage, place), inputs=place.inputs)


class ConcatRule(Rule[ops.Concat]):
    """The channels of several streams: a beat has those of one input."""

    def least_beats(self, stage: Stage[ops.Concat]) -> int:
        return max(super().least_beats(stage), stage.output.size // _most_lanes(stage))

    def lanes(self, stage: Stage[ops.Concat], place: Place, target: int) -> int:
        """Take as few lanes as bring a frame in time."""
        most, beats = _most_lanes(stage), stage.output.size
        return next(
            n for n in range(1, most + 1) if most % n == 0 and (n == most or beats // n <= target)
        )

    def unit(self, stage: Stage[ops.Concat], place: Place) -> Unit:
        return ConcatUnit(**self.common(stage, place), inputs=place.inputs)


def _most_lanes(stage: Stage[ops.Concat]) -> int:
    """Most lanes with which every input's pixels are whole beats."""
    return gcd(*(x.channels for x in stage.inputs))
