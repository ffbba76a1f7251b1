"""Timelines as trace events: what Perfetto and Chrome's tracing read."""

from __future__ import annotations

from hwgen.flow.trace import trace_events
from hwgen.plan.timeline import Span, merged, side_by_side

SPANS = [
    Span("loads", "b", "load", 10, 30, 0),
    Span("loads", "b", "load", 20, 40, 1),
    Span("unit", "b", "tile", 31, 90, 0, waited_for=0),
    Span("loads", "a", "load", 2, 9, 2),
]


def test_events_are_in_order_and_no_thread_holds_two_at_a_time() -> None:
    value = trace_events(SPANS, "net")
    events = [event for event in value["traceEvents"] if event["ph"] == "X"]
    assert [(e["ts"], e["dur"]) for e in events] == [(2, 7), (10, 20), (20, 20), (31, 59)]
    threads: dict[int, int] = {}
    for event in events:
        assert event["ts"] >= threads.get(event["tid"], 0)
        threads[event["tid"]] = event["ts"] + event["dur"]
    names = {
        e["tid"]: e["args"]["name"]
        for e in value["traceEvents"]
        if e["ph"] == "M" and e["name"] == "thread_name"
    }
    assert names == {0: "loads", 1: "loads (2)", 2: "unit"} and threads.keys() == names.keys()
    assert events[-1]["args"] == {"number": 0, "waited_for": "load 0 of b"}


def test_rows_and_what_overlaps() -> None:
    assert [len(row) for row in side_by_side(SPANS)] == [3, 1]
    assert [(span.begin, span.end) for span in merged(SPANS)] == [(2, 9), (10, 90)]
    assert side_by_side([]) == [] and merged([]) == []
