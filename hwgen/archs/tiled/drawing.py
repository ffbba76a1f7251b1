"""A frame on the tiled engine in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...plan.tiled.plan import TiledPlan
from ...plan.tiled.timeline import estimated
from ...plan.tiled.timing import MemoryTiming
from ...plan.timeline import Span, merged, side_by_side
from ...report.timeline import Lane, timeline_svg

_KINDS = ("load", "tile", "store")
_TILES_SHOWN = 8
"""Tiles of the slowest layer that are drawn one by one."""
_AT_ONCE = 40
"""Cycles in which what waited begins after what it waited for: longer, and it waited for else."""


def timelines(plan: TiledPlan, report: dict[str, Any]) -> dict[str, Any]:
    """Drawings of a whole frame, by layers, and of some tiles, with what is said of them."""
    memory = report["memory"]
    timing = MemoryTiming()
    if memory is not None and memory.get("gaps") is None:
        timing = MemoryTiming(memory["latency"], memory["rate"])
    *spans, frame = estimated(plan, timing)
    slowest = max(report["layers"], key=lambda row: row["interval_estimate"])
    answers = f"after {timing.latency} cycles, {timing.rate:g} beats a cycle"
    return {
        "memory_text": f" with a memory that answers {answers}",
        "slowest": slowest["title"],
        "whole": _whole(report, spans, frame),
        "part": _part(spans, slowest["title"]),
    }


def _whole(report: dict[str, Any], spans: Sequence[Span], frame: Span) -> Any:
    """A lane for each layer: its loads, its tiles, its stores."""
    lanes = []
    for title in dict.fromkeys(row["title"] for row in report["layers"]):
        own = [span for span in spans if span.name == title]
        rows = [merged([span for span in own if span.kind == kind]) for kind in _KINDS]
        lanes.append(Lane(title, [row for row in rows if row]))
    return timeline_svg(lanes, "a frame, layer by layer", 0, frame.end)


def _part(spans: Sequence[Span], title: str) -> Any:
    """Loads, tile units and stores around the first tiles of a layer, and who waits for whom."""
    tiles = [span for span in spans if span.kind == "tile" and span.name == title]
    tiles = tiles[:_TILES_SHOWN]
    begin, end = min(span.begin for span in tiles), max(span.end for span in tiles)
    margin = (end - begin) // 4 + 1
    begin, end = max(0, begin - margin), end + margin
    seen = [span for span in spans if span.end > begin and span.begin < end]
    lanes = [
        Lane(track, side_by_side([span for span in seen if span.track == track]))
        for track in sorted({span.track for span in seen}, key=_order)
    ]
    waits = [
        (spans[span.waited_for], span)
        for span in seen
        if span.waited_for is not None and span.begin - spans[span.waited_for].end <= _AT_ONCE
    ]
    return timeline_svg(lanes, f"tiles of {title}", begin, end, waits)


def _order(track: str) -> tuple[bool, str]:
    """Loads, then tile units, then stores."""
    return track == "stores", track
