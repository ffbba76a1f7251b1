"""Slice: its rule and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import ClassVar

from ....ir import Tensor, ops
from ..units import BeatUnit, Unit
from .rule import Place, Rule, Stage


@dataclass(frozen=True)
class CropUnit(BeatUnit):
    """Some of a frame's beats. See gateware Crop. ``kept`` : rows, columns, beats of a pixel."""

    kind: ClassVar[str] = "crop"

    kept: tuple[tuple[bool, ...], ...]

    def completes(self) -> list[bool]:
        rows, columns, beats = self.kept
        return [r and c and b for r in rows for c in columns for b in beats]


class SliceRule(Rule[ops.Slice]):
    """Some rows, columns and channels: beats are kept whole or not at all."""

    def least_beats(self, stage: Stage[ops.Slice]) -> int:
        lanes = _most_lanes(stage) or stage.input.channels
        return max(super().least_beats(stage), stage.input.size // lanes)

    def lanes(self, stage: Stage[ops.Slice], place: Place, target: int) -> int | None:
        return _most_lanes(stage)

    def unit(self, stage: Stage[ops.Slice], place: Place) -> Unit:
        kept = _kept(stage.op, stage.input, place.inputs[0].lanes)
        return CropUnit(**self.common(stage, place), delay=0, kept=kept)


def _most_lanes(stage: Stage[ops.Slice]) -> int | None:
    """Most lanes with which all channels of a beat are kept, or none; None: any will do."""
    op, channels = stage.op, stage.input.channels
    start, size, step = op.start[-1], op.size[-1], op.step[-1]
    if size == channels:
        return None
    return 1 if step > 1 else gcd(start, size, channels)


def _kept(op: ops.Slice, x: Tensor, lanes: int) -> tuple[tuple[bool, ...], ...]:
    """Which rows, columns and beats of a pixel are kept."""
    missing = (1,) * (3 - len(x.shape))
    start, size, step = (
        (*(default for _ in missing), *numbers)
        for default, numbers in ((0, op.start), (1, op.size), (1, op.step))
    )
    wanted = [range(a, a + n * by, by) for a, n, by in zip(start, size, step, strict=True)]
    rows, columns, channels = x.hwc
    return (
        tuple(n in wanted[0] for n in range(rows)),
        tuple(n in wanted[1] for n in range(columns)),
        tuple(n in wanted[2] for n in range(0, channels, lanes)),
    )
