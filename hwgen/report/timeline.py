"""A timeline as a drawing: lanes below each other, and bars where something is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from ..numeric import ceil_div
from ..plan.timeline import Span
from .html import number, render

LABEL, PLOT, BAR = 236, 780, 9
"""Pixels of the names on the left and of the time beside them, and the height of a bar."""
_CLOSE = 0.75
"""Pixels of a gap that is not drawn."""


@dataclass(frozen=True)
class Lane:
    """A name, and rows of spans that do not overlap, one below the other. note : said below it."""

    name: str
    rows: Sequence[Sequence[Span]]
    note: str = ""


@dataclass(frozen=True)
class _Bar:
    x: float
    y: float
    width: float
    kind: str
    text: str


@dataclass
class _Drawn:
    """A lane in its place. bars : of all its rows."""

    lane: Lane
    y: int
    height: int
    bars: list[_Bar] = field(default_factory=list)


class _Scale:
    """Cycles as pixels."""

    def __init__(self, begin: int, end: int) -> None:
        self.begin, self.end = begin, max(end, begin + 1)

    def x(self, cycle: int) -> float:
        """Where a cycle is; those outside are at the border."""
        inside = min(max(cycle, self.begin), self.end)
        return LABEL + PLOT * (inside - self.begin) / (self.end - self.begin)

    def ticks(self) -> list[tuple[float, str]]:
        """Round numbers of cycles, and where they are."""
        step = 1
        while (self.end - self.begin) / step > 8:
            step = {"1": 2 * step, "2": 5 * step // 2, "5": 2 * step}[str(step)[0]]
        first = ceil_div(self.begin, step) * step
        return [(self.x(cycle), number(cycle)) for cycle in range(first, self.end + 1, step)]


def timeline_svg(
    lanes: Sequence[Lane],
    label: str,
    begin: int,
    end: int,
    waits: Iterable[tuple[Span, Span]] = (),
) -> Markup:
    """Lanes between two cycles. label : says what is drawn to those who do not see it. waits :
    pairs of spans, the second of which waited for the first: an arrow goes from one to the other.
    """
    scale, y, drawn = _Scale(begin, end), 22, []
    places: dict[Span, float] = {}
    for lane in lanes:
        height = max(17 if not lane.note else 31, len(lane.rows) * (BAR + 2) + 4)
        place = _Drawn(lane, y, height)
        for n, row in enumerate(lane.rows):
            at = y + 3 + n * (BAR + 2)
            places |= dict.fromkeys(row, at)
            place.bars += _bars(row, scale, at)
        drawn.append(place)
        y += height
    arrows = [
        (scale.x(last.end), places[last] + BAR / 2, scale.x(span.begin), places[span] + BAR / 2)
        for last, span in waits
        if last in places and span in places
    ]
    return render(
        "timeline.svg", lanes=drawn, label=label, ticks=scale.ticks(), width=LABEL + PLOT + 12,
        height=y + 6, left=LABEL, right=LABEL + PLOT, bar=BAR, arrows=arrows,
    )  # fmt: skip


def _bars(row: Sequence[Span], scale: _Scale, y: float) -> list[_Bar]:
    """What of a row is between the scale's ends; neighbours that no eye could part are one."""
    seen = [span for span in row if span.end > scale.begin and span.begin < scale.end]
    groups: list[list[Span]] = []
    for span in seen:
        before = groups[-1][-1] if groups else None
        if before is None or before.kind != span.kind or not _narrow(span, scale):
            groups.append([span])
        elif scale.x(span.begin) - scale.x(before.end) < _CLOSE:
            groups[-1].append(span)
        else:
            groups.append([span])
    return [_bar(group, scale, y) for group in groups]


def _narrow(span: Span, scale: _Scale) -> bool:
    return scale.x(span.end) - scale.x(span.begin) < 3


def _bar(group: Sequence[Span], scale: _Scale, y: float) -> _Bar:
    first, last = group[0], group[-1]
    x, end = scale.x(first.begin), scale.x(last.end)
    what = f"{first.kind} {first.number}" + (f" to {last.number}" if len(group) > 1 else "")
    text = f"{first.name}, {what}: cycles {number(first.begin)} to {number(last.end)}"
    # A hair's breadth parts bars that touch.
    return _Bar(x, y, max(0.8, end - x - (0.5 if end - x > 2 else 0)), first.kind, text)
