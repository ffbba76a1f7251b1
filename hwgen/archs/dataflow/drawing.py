"""The units of a dataflow design as boxes, and their frames in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from ...ir import Tensor
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.units import ForkUnit, Unit
from ...plan.timeline import Span, side_by_side
from ...report.html import number, shape, type_text
from ...report.labels import Part, labels
from ...report.network import Box
from ...report.timeline import Lane, timeline_svg

KINDS = {"fork": "copies", "regroup": "change of lanes", "requant": "requantization",
         "stream_pool": "pool", "window_pool": "pool", "ring_conv": "conv, rows in a ring",
         "rescaler": "rescaling"}  # fmt: skip
"""Kinds of units that have another name for a reader; others are called as they are."""


def fold_of(pe: int, simd: int, pixels: int) -> str:
    """Multipliers of a unit: outputs x taps, x pixels; empty where it has none."""
    if not pe:
        return ""
    return f"{pe} x {simd}" + (f" x {pixels}" if pixels > 1 else "")


def boxes_of(plan: DataflowPlan, titles: dict[str, str]) -> list[Box]:
    """The inputs and all units. titles : the layer that each unit belongs to."""
    tensors, called = plan.graph.tensors, _called(plan, titles)
    return [
        *(
            Box([port.stream], [], [port.tensor, "input", *_tensor(tensors[port.tensor])])
            for port in plan.inputs
        ),
        *(_box(plan, unit, titles[unit.name], called[unit.name]) for unit in plan.units),
    ]


def _called(plan: DataflowPlan, titles: dict[str, str]) -> dict[str, str]:
    """What each unit is called in a drawing, by its name. titles : the layer of each unit."""
    ports = (Part(port.stream, port.tensor, "input", True) for port in plan.inputs)
    units = (Part(u.name, titles[u.name], kind_of(u.kind), u.multipliers > 0) for u in plan.units)
    return labels([*ports, *units])


def kind_of(unit: str) -> str:
    """A kind of units in words."""
    return KINDS.get(unit, unit.replace("_", " "))


def _box(plan: DataflowPlan, unit: Unit, title: str, called: str) -> Box:
    kind = kind_of(unit.kind) if called == title or unit.multipliers else unit.name
    if unit.multipliers:
        kind += f", {fold_of(unit.pe, unit.simd, getattr(unit, 'pixels', 1))} multipliers"
    if unit.layers:
        lines = _tensor(plan.graph.tensors[unit.layers[-1]])
    else:
        lanes = unit.output.lanes
        lines = [f"{lanes} lane{'s' * (lanes > 1)} of {unit.output.bits} bits"]
    return Box(unit.streams, unit.sources, [called, kind, *lines], unit.multipliers > 0)


def _tensor(tensor: Tensor) -> list[str]:
    return [shape(tensor.shape), type_text(tensor.type)]


FRAMES_DRAWN = 3
"""Frames of the timeline: the first one fills the units, the others follow as fast as they can."""


def frames_svg(plan: DataflowPlan, rows: Sequence[dict[str, Any]]) -> Markup:
    """When the units take and give the first frames, and what each of them waits for.

    rows : of the report's layers, with the cycles in which a unit ``starved`` and was ``blocked``.
    """
    run, by_name = plan.passages(FRAMES_DRAWN), {row["name"]: row for row in rows}
    called = _called(plan, {row["name"]: row["title"] for row in rows})
    whole = [
        Span("frame", plan.graph.name, "frame", begin, end + 1, n)
        for n, (begin, end) in enumerate(zip(run.first, run.ends, strict=True))
    ]
    lanes = [Lane("whole frames", side_by_side(whole))]
    for unit in plan.units:
        if isinstance(unit, ForkUnit):
            continue  # it takes and gives in the same cycles
        name = called[unit.name]
        bars = [
            [Span(unit.name, name, kind, begin, end + 1, n) for n, (begin, end) in enumerate(ends)]
            for kind, ends in (("takes", run.taken[unit.name]), ("gives", run.given[unit.name]))
        ]
        lanes.append(Lane(name, bars, _waits(plan, unit, by_name[unit.name], called)))
    return timeline_svg(lanes, "when units take and give frames", 0, run.ends[-1] + 1)


def _waits(plan: DataflowPlan, unit: Unit, row: dict[str, Any], called: dict[str, str]) -> str:
    """What a unit waits for most in the steady state, empty where it never waits."""
    starved, blocked = row["starved"], row["blocked"]
    if not starved and not blocked:
        return ""
    before, after = set(unit.sources), set(unit.streams)
    if starved >= blocked:
        others = [u for u in plan.units if before & set(u.streams)]
        way, border = "", "the input"
    else:
        others = [u for u in plan.units if after & set(u.sources)]
        way, border = "room in ", "the output"
    names = " and ".join(called[other.name] for other in others)
    return f"waits {number(max(starved, blocked))} for {way}{names or border}"
