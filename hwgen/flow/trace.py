"""Timelines in the trace event format, which Perfetto and Chrome's tracing show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..plan.timeline import Span, side_by_side


def trace_events(spans: Sequence[Span], design: str) -> dict[str, Any]:
    """A JSON value of the trace event format: a complete event for each span, in the order of time.

    A microsecond of the trace is a cycle. A track with spans that overlap has several threads.
    Parameters: ``design`` is the name of the process. The format: "Trace Event Format", Google,
    https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
    """
    names = [_metadata("process_name", 0, design)]
    events: list[dict[str, Any]] = []
    thread = 0
    for track in dict.fromkeys(span.track for span in spans):
        own = [span for span in spans if span.track == track]
        for n, row in enumerate(side_by_side(own)):
            names.append(_metadata("thread_name", thread, f"{track} ({n + 1})" if n else track))
            names.append({"ph": "M", "name": "thread_sort_index", "pid": 0, "tid": thread,
                          "args": {"sort_index": thread}})  # fmt: skip
            events += [_event(span, thread, spans) for span in row]
            thread += 1
    events.sort(key=lambda event: (event["ts"], event["tid"]))
    return {
        "traceEvents": [*names, *events],
        "displayTimeUnit": "ns",
        "otherData": {"unit": "a microsecond is a clock cycle", "measured_by": "hwgen verify"},
    }


def _metadata(name: str, thread: int, value: str) -> dict[str, Any]:
    return {"ph": "M", "name": name, "pid": 0, "tid": thread, "args": {"name": value}}


def _event(span: Span, thread: int, spans: Sequence[Span]) -> dict[str, Any]:
    arguments: dict[str, Any] = {"number": span.number}
    if span.waited_for is not None:
        last = spans[span.waited_for]
        arguments["waited_for"] = f"{last.kind} {last.number} of {last.name}"
    return {
        "ph": "X",
        "name": f"{span.name}, {span.kind} {span.number}",
        "cat": span.kind,
        "ts": span.begin,
        "dur": span.end - span.begin,
        "pid": 0,
        "tid": thread,
        "args": arguments,
    }
