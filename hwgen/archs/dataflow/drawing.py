"""The units of a network as SVG, without any library."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from statistics import mean

from ...ir import Graph, Tensor
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.stages import INPUT
from ...plan.dataflow.units import Unit

BOX, GAP = (196, 58), (26, 34)
"""Width and height of a unit's box, and the room between boxes, in pixels."""


WAY = 30
"""Width kept free for an edge that passes a row of boxes."""


@dataclass
class _Slot:
    """A place in a row: a unit's box, or the way of an edge past the row (no ``texts``)."""

    before: list[_Slot]
    texts: tuple[str, str, str, str] | None = None
    x: float = 0
    y: float = 0

    @property
    def width(self) -> int:
        return BOX[0] if self.texts else WAY


def network_svg(graph: Graph, plan: DataflowPlan) -> str:
    """The units from top to bottom, those side by side that have the same way from the input."""
    rows = _rows(graph, plan)
    width = max(sum(slot.width + GAP[0] for slot in row) for row in rows) + GAP[0]
    height = len(rows) * (BOX[1] + GAP[1])
    for level, row in enumerate(rows):
        x = (width - sum(slot.width + GAP[0] for slot in row) + GAP[0]) / 2
        for slot in row:
            slot.x, slot.y = x, level * (BOX[1] + GAP[1]) + 2
            x += slot.width + GAP[0]
    slots = [slot for row in rows for slot in row]
    lines = [_line(before, slot) for slot in slots for before in slot.before]
    boxes = [_box(slot.x, slot.y, *slot.texts) for slot in slots if slot.texts]
    return (
        f'<svg class="network" role="img" aria-label="the network\'s units" '
        f'viewBox="0 0 {width} {height}" style="max-width:{width}px">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#7d8c9a"/></marker></defs>'
        f"{''.join(lines + boxes)}</svg>"
    )


def _rows(graph: Graph, plan: DataflowPlan) -> list[list[_Slot]]:
    """Boxes and ways, each row in the order of what leads to it (Sugiyama et al., 1981)."""
    rows = [[_Slot([], _input_box(graph.inputs[0]))]]
    ends: dict[str, tuple[int, _Slot]] = {INPUT: (0, rows[0][0])}
    for unit in plan.units:
        level = 1 + max(ends[source][0] for source in unit.sources)
        while len(rows) <= level:
            rows.append([])
        before = []
        for source in unit.sources:
            from_level, slot = ends[source]
            for passed in range(from_level + 1, level):
                slot = _Slot([slot])
                rows[passed].append(slot)
            before.append(slot)
        box = _Slot(before, _unit_box(graph, unit))
        rows[level].append(box)
        ends |= dict.fromkeys(unit.streams, (level, box))
    for above, row in pairwise(rows):
        index = {id(slot): n for n, slot in enumerate(above)}
        row.sort(key=lambda slot: mean(index[id(before)] for before in slot.before))
    return rows


def _line(before: _Slot, slot: _Slot) -> str:
    """An edge's part between two rows, and past the second one where it has no box there."""
    x1, x2 = before.x + before.width / 2, slot.x + slot.width / 2
    path, tip = _bend(x1, before.y + BOX[1], x2, slot.y), ""
    if slot.texts:
        tip = ' marker-end="url(#tip)"'
    else:
        path += f"V{slot.y + BOX[1]:.0f}"
    return f'<path d="{path}" fill="none" stroke="#7d8c9a" stroke-width="1.4"{tip}/>'


def _shape(tensor: Tensor) -> str:
    return f"{' x '.join(map(str, tensor.shape))}, {tensor.type}"


def _input_box(x: Tensor) -> tuple[str, str, str, str]:
    return x.name, "input", _shape(x), "#eef5ee"


def _unit_box(graph: Graph, unit: Unit) -> tuple[str, str, str, str]:
    kind = unit.kind.replace("_", " ")
    if unit.multipliers:
        pixels = getattr(unit, "pixels", 1)
        kind += f", {unit.pe} x {unit.simd}" + (f" x {pixels}" if pixels > 1 else "")
    layer = unit.layers[-1] if unit.layers else None
    if layer is None:
        lanes = unit.output.lanes
        text = f"{lanes} lane{'s' * (lanes > 1)} of {unit.output.bits} bits"
    else:
        text = _shape(graph.tensors[layer])
    return unit.name, kind, text, "#e8f0f8" if unit.multipliers else "#f4f6f8"


def _box(x: float, y: float, name: str, kind: str, shape: str, fill: str) -> str:
    lines = ((17, "600 13px", name, "#1c2733"), (34, "12px", kind, "#44525f"))
    lines += ((50, "12px", shape, "#44525f"),)
    texts = "".join(
        f'<text x="{x + 10:.0f}" y="{y + at:.0f}" fill="{color}" '
        f'style="font:{font} system-ui,sans-serif">{escape(_fitted(text))}</text>'
        for at, font, text, color in lines
    )
    return (
        f'<rect x="{x:.0f}" y="{y:.0f}" width="{BOX[0]}" height="{BOX[1]}" rx="6" fill="{fill}" '
        f'stroke="#c9d3dc"/>{texts}'
    )


def _fitted(text: str, most: int = 27) -> str:
    return text if len(text) <= most else text[: most - 1] + "\u2026"


def _bend(x1: float, y1: float, x2: float, y2: float) -> str:
    middle = (y1 + y2) / 2
    return f"M{x1:.0f} {y1:.0f}C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}"
