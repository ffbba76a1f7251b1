"""When things begin and end, as a cycle model says or a simulation saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Span:
    """Something that is done from a cycle on and is over in another one, ``end``.

    track : who does it. name : what it belongs to, for a reader. kind : what it is, one of
    ``load``, ``tile``, ``store``, ``gives`` (the beats of a frame that a unit gives), ``frame``.
    number : of the frame, or of the descriptor among those of its kind. waited_for : the place, in
    the list that holds this one, of what had to be over before this one, and was so last.
    """

    track: str
    name: str
    kind: str
    begin: int
    end: int
    number: int
    waited_for: int | None = None


def side_by_side(spans: Sequence[Span]) -> list[list[Span]]:
    """Rows of spans that do not overlap, each in the order of time."""
    rows: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: (span.begin, span.end)):
        free = next((row for row in rows if row[-1].end <= span.begin), None)
        if free is None:
            rows.append([span])
        else:
            free.append(span)
    return rows


def merged(spans: Sequence[Span]) -> list[Span]:
    """Spans in the order of time, those that overlap as one, which bears the first one's name."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.begin, span.end)):
        if found and span.begin <= found[-1].end:
            found[-1] = replace(found[-1], end=max(found[-1].end, span.end))
        else:
            found.append(span)
    return found
