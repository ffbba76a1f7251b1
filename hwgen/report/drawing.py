"""Pictures for the report: the network as SVG, frames as PNG, without any library."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from html import escape

import numpy as np

from ..ir import Graph, Tensor
from ..plan.dataflow import DataflowPlan
from ..plan.stages import INPUT
from ..plan.units import Unit

BOX, GAP = (196, 58), (26, 34)
"""Width and height of a unit's box, and the room between boxes, in pixels."""


def network_svg(graph: Graph, plan: DataflowPlan) -> str:
    """The units from top to bottom, those side by side that have the same way from the input."""
    depth: dict[str, int] = {INPUT: 0}
    rows: list[list[tuple[str, str, str, str]]] = [[_input_box(graph.inputs[0])]]
    place: dict[str, tuple[int, int]] = {INPUT: (0, 0)}
    for unit in plan.units:
        level = 1 + max(depth[source] for source in unit.sources)
        for stream in unit.streams:
            depth[stream] = level
        while len(rows) <= level:
            rows.append([])
        for stream in unit.streams:
            place[stream] = (level, len(rows[level]))
        rows[level].append(_unit_box(graph, unit))
    columns = max(len(row) for row in rows)
    width = columns * (BOX[0] + GAP[0]) + GAP[0]
    height = len(rows) * (BOX[1] + GAP[1])

    def corner(level: int, index: int) -> tuple[float, float]:
        row = len(rows[level]) * (BOX[0] + GAP[0]) - GAP[0]
        return (width - row) / 2 + index * (BOX[0] + GAP[0]), level * (BOX[1] + GAP[1]) + 2

    parts = []
    for unit in plan.units:
        x, y = corner(*place[unit.streams[0]])
        for source in unit.sources:
            from_x, from_y = corner(*place[source])
            parts.append(_arrow(from_x + BOX[0] / 2, from_y + BOX[1], x + BOX[0] / 2, y))
    for level, row in enumerate(rows):
        for index, texts in enumerate(row):
            parts.append(_box(*corner(level, index), *texts))
    return (
        f'<svg class="network" role="img" aria-label="the network\'s units" '
        f'viewBox="0 0 {width} {height}" style="max-width:{width}px">'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#7d8c9a"/></marker></defs>'
        f"{''.join(parts)}</svg>"
    )


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
        text = f"{unit.output.lanes} lanes of {unit.output.bits} bits"
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


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    bend = (y2 - y1) / 2
    return (
        f'<path d="M{x1:.0f} {y1:.0f}C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} '
        f'{x2:.0f} {y2:.0f}" fill="none" stroke="#7d8c9a" stroke-width="1.4" '
        'marker-end="url(#tip)"/>'
    )


def frame_png(codes: np.ndarray, low: int, high: int) -> str | None:
    """A frame (rows, columns, 1 or 3 channels) as a data URL; None for any other shape."""
    if codes.ndim != 3 or codes.shape[2] not in (1, 3) or min(codes.shape[:2]) < 4:
        return None
    span = max(1, high - low)
    pixels = ((codes.astype(np.int64) - low) * 255 // span).clip(0, 255).astype(np.uint8)
    rows, columns, channels = pixels.shape
    data = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0 if channels == 1 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return f"data:image/png;base64,{b64encode(png).decode()}"
