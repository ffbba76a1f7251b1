"""A network as boxes and lines from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

from markupsafe import Markup

from .html import render

WIDTH, HEIGHT, GAP, WAY = 236, 76, (24, 30), 30
"""Sizes of a box, the room between boxes, and what is kept free for an edge that passes a row."""


@dataclass(frozen=True)
class Box:
    """Something that gives tensors: ``names`` of what it gives, ``sources`` of what it takes.

    lines : what it is, its name first. multiplies : whether it is drawn as the main thing.
    """

    names: Sequence[str]
    sources: Sequence[str]
    lines: Sequence[str]
    multiplies: bool = False


@dataclass
class _Slot:
    """A place in a row: a box, or the way of an edge past the row."""

    before: list[_Slot]
    box: Box | None = None
    x: float = 0
    y: float = 0

    @property
    def width(self) -> int:
        return WIDTH if self.box else WAY

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def paths(self) -> list[str]:
        """Edges from the row above, and past this one where there is no box."""
        end = "" if self.box else f"V{self.y + HEIGHT:.0f}"
        return [_bend(before, self) + end for before in self.before]


def network_svg(boxes: Sequence[Box], label: str) -> Markup:
    """Boxes in topological order, side by side where they have the same way from the first.

    label : says what is drawn to those who do not see it.
    """
    rows = _rows(boxes)
    width = max(sum(slot.width + GAP[0] for slot in row) for row in rows) + GAP[0]
    for level, row in enumerate(rows):
        x = (width - sum(slot.width + GAP[0] for slot in row) + GAP[0]) / 2
        for slot in row:
            slot.x, slot.y = x, level * (HEIGHT + GAP[1]) + 2
            x += slot.width + GAP[0]
    return render(
        "network.svg", slots=[slot for row in rows for slot in row], label=label,
        width=round(width), height=len(rows) * (HEIGHT + GAP[1]), box=(WIDTH, HEIGHT),
    )  # fmt: skip


def _rows(boxes: Sequence[Box]) -> list[list[_Slot]]:
    """Boxes and ways, each row in the order of what leads to it (Sugiyama et al., 1981)."""
    rows: list[list[_Slot]] = []
    ends: dict[str, tuple[int, _Slot]] = {}
    for box in boxes:
        known = [ends[source] for source in dict.fromkeys(box.sources)]
        level = max([level + 1 for level, _ in known], default=0)
        while len(rows) <= level:
            rows.append([])
        before = []
        for from_level, slot in known:
            for passed in range(from_level + 1, level):
                slot = _Slot([slot])
                rows[passed].append(slot)
            before.append(slot)
        own = _Slot(before, box)
        rows[level].append(own)
        ends |= dict.fromkeys(box.names, (level, own))
    for above, row in pairwise(rows):
        index = {id(slot): n for n, slot in enumerate(above)}
        row.sort(key=lambda slot: mean(index[id(before)] for before in slot.before))
    return rows


def _bend(before: _Slot, slot: _Slot) -> str:
    x1, y1, x2, y2 = before.middle, before.y + HEIGHT, slot.middle, slot.y
    middle = (y1 + y2) / 2
    return f"M{x1:.0f} {y1:.0f}C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}"
