"""What a simulation gives, whichever simulator ran it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..aliases import ByteArray


class DesignFault(Exception):
    """The simulated design breaks the contract of its streams, or hangs: what it did."""


Beats = Mapping[str, ByteArray]
"""Packed frames (frames, beats, bytes) of each input by its name."""


@dataclass(frozen=True, repr=False)
class SimulationRun:
    """Result of driving frames through a design.

    outputs : beats (frames, beats, bytes) of each output by its name. first, ends : cycles of each
    frame's first beat in and last beat out, at whichever port; ports : those of each port's own, by
    the name of its bus, where there are such. levels : most entries in each buffer, work : busy
    cycles of each unit, over all frames; None where the engine does not watch them. given : cycles
    of the first and the last beat of each frame on each unit's output stream, where they are
    watched. edges : beats on each unit's output stream (frames, beats, bytes), when asked for.
    seconds : of the simulation.
    """

    outputs: dict[str, ByteArray]
    first: list[int]
    ends: list[int]
    seconds: float
    levels: dict[str, int] | None = None
    work: dict[str, int] | None = None
    edges: dict[str, ByteArray] = field(default_factory=dict)
    wave: Path | None = None
    given: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    ports: dict[str, list[int]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<SimulationRun: {self.seconds:.1f} s>"
