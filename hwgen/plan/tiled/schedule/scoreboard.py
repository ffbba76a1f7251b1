"""What each descriptor must wait for, from what it reads and writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ....contract.isa import COUNTER_BITS, Opcode
from ....numeric import ceil_div

UNITS = (Opcode.LOAD, Opcode.COMPUTE, Opcode.STORE)
REACH = 1 << COUNTER_BITS - 2
"""Descriptors of a unit, counted back from the newest, that are waited for by their number."""


@dataclass(frozen=True)
class Span:
    """Part of a memory: its name, the first byte or word, and how many."""

    memory: str
    start: int
    size: int


class Scoreboard:
    """Who read and wrote each piece of every memory last.

    A descriptor waits for the last writers of what it reads, and for the last readers and writers
    of what it writes. A unit's own descriptors follow each other, so that it need not wait for
    itself, but for a tile that reads what a tile before it gives: results come late.

    Counters wrap: one that is half their range beyond a number seems not to have reached it. What
    is older than REACH, or nothing at all, is therefore waited for as REACH descriptors ago.

    pieces : bytes or words that are told apart, for each memory (some, for they cost time).
    """

    def __init__(self, sizes: dict[str, int], pieces: dict[str, int]) -> None:
        self._pieces = pieces
        self._last = {
            (name, kind): np.zeros((len(UNITS), ceil_div(size, pieces[name]) + 1), np.int64)
            for name, size in sizes.items()
            for kind in ("read", "written")
        }
        self.count: dict[Opcode, int] = dict.fromkeys(UNITS, 0)

    def issue(self, unit: Opcode, reads: Iterable[Span], writes: Iterable[Span]) -> dict[str, int]:
        """Register the next descriptor of a unit; returns its waits, counts since the start."""
        reads, writes = list(reads), list(writes)
        waits = np.zeros(len(UNITS), np.int64)
        own = UNITS.index(unit)
        for span in reads:
            waits = np.maximum(waits, self._of(span, "written"))
        late = waits[own]
        for span in writes:
            for kind in ("written", "read"):
                waits = np.maximum(waits, self._of(span, kind))
        waits[own] = late if unit is Opcode.COMPUTE else 0
        waits = np.maximum(waits, [self.count[u] - REACH for u in UNITS])
        self.count[unit] += 1
        for kind, spans in (("read", reads), ("written", writes)):
            for span in spans:
                self._last[span.memory, kind][own, self._slice(span)] = self.count[unit]
        return {f"wait_{u.name.lower()}": int(w) for u, w in zip(UNITS, waits, strict=True)}

    def _slice(self, span: Span) -> slice:
        piece = self._pieces[span.memory]
        return slice(span.start // piece, ceil_div(span.start + span.size, piece))

    def _of(self, span: Span, kind: str) -> np.ndarray:
        part = self._last[span.memory, kind][:, self._slice(span)]
        return part.max(axis=1, initial=0)
