"""ArgMax: its rule and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....ir import ops
from ... import latency
from ..units import BeatUnit, Unit
from .rule import Place, Rule, Stage


@dataclass(frozen=True)
class ArgMaxUnit(BeatUnit):
    """Index of the largest channel. See gateware ArgMax."""

    kind: ClassVar[str] = "argmax"

    def completes(self) -> list[bool]:
        pixel = [False] * (self.input.channels - 1) + [True]
        return pixel * self.input.pixels


class ArgMaxRule(Rule[ops.ArgMax]):
    """The index of the largest channel, which come one by one."""

    def least_beats(self, stage: Stage[ops.ArgMax]) -> int:
        return stage.input.size

    def lanes(self, stage: Stage[ops.ArgMax], place: Place, target: int) -> int:
        return 1

    def unit(self, stage: Stage[ops.ArgMax], place: Place) -> Unit:
        return ArgMaxUnit(**self.common(stage, place), delay=latency.ARGMAX)
