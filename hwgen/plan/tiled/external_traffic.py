"""Bytes between external memory and the buffers."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class ExternalTraffic:
    """Bytes between external memory and the buffers, for one task or all of them.

    What is read are whole beats, those that a row only begins or ends in included; what is written
    are the bytes of ofmaps, though they take whole beats of time.
    """

    weights: int = 0
    parameters: int = 0
    ifmaps: int = 0
    ofmaps: int = 0

    def __add__(self, other: ExternalTraffic) -> ExternalTraffic:
        return ExternalTraffic(
            *(getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        )
