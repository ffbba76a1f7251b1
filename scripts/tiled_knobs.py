#!/usr/bin/env python3
"""What tile size, number of tile units and number of multipliers do to one network: docs/tiled.md.

Each engine is built and simulated with Verilator on one random frame, whose outputs must be golden
and whose beats those of the plan. Prints the tables; ``--write`` puts them between their
marks in docs/tiled.md, and draws docs/tiled_knobs.svg. Figures are kept in a file, so that a run
that was ended goes on where it stopped; those of other plans are measured again.

    scripts/tiled_knobs.py ../shared/models/tflite/mlperf_tiny_ic_resnet8_int8.tflite --write
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from math import log
from pathlib import Path
from typing import Any

from script import ROOT, put, run

import hwgen
from hwgen.errors import UserError
from hwgen.plan.tiled.external_traffic import ExternalTraffic
from hwgen.plan.tiled.options import buffer_bytes
from hwgen.plan.tiled.plan import TiledPlan

DOCUMENT, DRAWING = ROOT / "docs" / "tiled.md", ROOT / "docs" / "tiled_knobs.svg"
Options = dict[str, Any]
KNOBS: dict[str, list[Options]] = {
    "Number of multipliers": [
        {"array": array} for array in ("4x4", "8x8", "16x8", "16x16", "32x16", "32x32")
    ],
    "Number of tile units": [
        {"array": "8x8", "tiles": tiles, "mem_width": width}
        for width in (64, 128)
        for tiles in (1, 2, 4, 8)
    ],
    "Size of tiles": [
        {"array": "16x16", "buffer_kib": kib, "resident": resident}
        for resident, sizes in ((2, (20, 32, 64, 156)), (1, (32, 64, 156)), (3, (64,)))
        for kib in sizes
    ],
}  # fmt: skip
NOTES = {
    "Number of multipliers": "One array, the default buffers of each, a port of 64 bits.",
    "Number of tile units": "Arrays of 8x8 with their default buffers.",
    "Size of tiles": "An array of 16x16. Less buffer makes smaller tiles, and tensors leave the "
    "chip; one tile resident instead of two ends the overlap of transfers and work.",
}
COLUMNS = (
    "options", "multipliers", "buffers KiB", "cycles", "model", "bound", "lanes busy", "weights KB",
    "ifmaps KB", "ofmaps KB", "buffers to array MB",
)  # fmt: skip


def said(options: Options) -> str:
    """As on the command line."""
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options.items())


def measured(model: Path, options: Options) -> dict[str, Any]:
    """The figures of one engine. Raises UserError; ends where the RTL is not golden or planned."""
    with tempfile.TemporaryDirectory(prefix="hwgen-") as folder:
        package = hwgen.build(model, Path(folder) / "engine", arch="tiled", **options)
        result = hwgen.verify(package, random=1)
        plan, kept = package.plan, package.result("verify")
        if result.difference is not None or result.interval is None or kept is None:
            sys.exit(f"{said(options)}: {result.difference}")
        if (kept["beats"]["read"], kept["beats"]["written"]) != plan.beats:
            sys.exit(f"{said(options)}: beats {kept['beats']}, planned {plan.beats}")
        return figures(plan) | {"cycles": result.interval}


def figures(plan: TiledPlan) -> dict[str, Any]:
    """Those of the plan."""
    moved = sum(plan.traffic, ExternalTraffic())
    inside = sum(sum(t.bytes(plan.shape).values()) for t in plan.buffer_traffic)
    return {
        "multipliers": plan.multipliers,
        "kib": plan.shape.tiles * buffer_bytes(plan.shape) / 1024,
        "model": plan.estimate().cycles,
        "bound": plan.interval_bound,
        "macs": plan.graph.macs,
        "weights": moved.weights + moved.parameters,
        "ifmaps": moved.ifmaps,
        "ofmaps": moved.ofmaps,
        "inside": inside,
    }


def row(options: Options, found: dict[str, Any]) -> str:
    """A line of a table."""
    busy = found["macs"] / (found["cycles"] * found["multipliers"])
    cells = [
        f"`{said(options)}`", f"{found['multipliers']:,}", f"{found['kib']:g}",
        f"{found['cycles']:,}", f"{found['model']:,}", f"{found['bound']:,}", f"{busy:.2f}",
        *(f"{found[name] / 1000:,.0f}" for name in ("weights", "ifmaps", "ofmaps")),
        f"{found['inside'] / 1e6:.1f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def chart(points: dict[str, list[tuple[int, int]]]) -> str:
    """Cycles over multipliers of several series, both axes logarithmic, as SVG."""
    width, height, left, top = 660, 360, 90, 20
    every = [p for series in points.values() for p in series]
    spans = [(min(values), max(values)) for values in zip(*every, strict=True)]

    def place(x: float, y: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = spans
        across, up = log(x / x0) / log(x1 / x0), log(y / y0) / log(y1 / y0)
        return left + across * (width - left - 150), top + (1 - up) * (height - top - 60)

    parts = []
    for x in sorted({x for x, _ in every}):
        at = place(x, spans[1][0])[0]
        parts.append(f'<path class="grid" d="M{at:.0f} {top}V{height - 60}"/>')
        parts.append(f'<text x="{at:.0f}" y="{height - 42}" text-anchor="middle">{x:,}</text>')
    y = 10.0 ** int(log(spans[1][0]) / log(10))
    for tick in (k * y * 10**n for n in range(4) for k in (1, 2, 5)):
        if spans[1][0] <= tick <= spans[1][1]:
            at = place(spans[0][0], tick)[1]
            parts.append(f'<path class="grid" d="M{left} {at:.0f}H{width - 150}"/>')
            parts.append(
                f'<text x="{left - 8}" y="{at + 4:.0f}" text-anchor="end">{tick:,.0f}</text>'
            )
    for n, (name, series) in enumerate(points.items()):
        places = [place(*p) for p in sorted(series)]
        color = ("#1f6fb2", "#c2571a", "#2d8a57")[n % 3]
        line = "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
        parts.append(f'<path d="M{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{color}"/>' for a, b in places]
        at = 40 + 20 * n
        parts.append(f'<circle cx="{width - 138}" cy="{at - 4}" r="4" fill="{color}"/>')
        parts.append(f'<text x="{width - 128}" y="{at}">{name}</text>')
    parts.append(f'<text x="{(left + width - 150) / 2:.0f}" y="{height - 18}" '
                 'text-anchor="middle">multipliers</text>')  # fmt: skip
    parts.append(f'<text x="14" y="{height / 2:.0f}" transform="rotate(-90 14 {height / 2:.0f})" '
                 'text-anchor="middle">cycles a frame</text>')  # fmt: skip
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        "<style>text{font:12px system-ui,sans-serif;fill:#1c2733}.grid{stroke:#d9e0e6}</style>"
        f'<rect width="{width}" height="{height}" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def tables(model: Path, kept: Path) -> tuple[str, str]:
    """The tables of all knobs and the drawing; figures are taken from ``kept`` where they are."""
    known = json.loads(kept.read_text()) if kept.exists() else {}
    text, points, graph = [], {}, hwgen.load(model)
    for knob, engines in KNOBS.items():
        text += [f"#### {knob}", NOTES[knob], "", "| " + " | ".join(COLUMNS) + " |",
                 "|---" * len(COLUMNS) + "|"]  # fmt: skip
        for options in engines:
            name = said(options)
            try:
                planned = figures(hwgen.plan(graph, arch="tiled", **options))
                if name not in known or not planned.items() <= known[name].items():
                    known[name] = measured(model, options)
                    kept.write_text(json.dumps(known, indent=1))
                text.append(row(options, known[name]))
                print(text[-1], flush=True)
            except UserError as error:
                text.append(f"| `{name}` | refused: {error} |" + " |" * (len(COLUMNS) - 2))
                print(text[-1], flush=True)
                continue
            if knob != "Size of tiles":
                width = options.get("mem_width", 64)
                series = f"8x8 units, {width} bits" if "tiles" in options else "one array, 64 bits"
                found = known[name]
                points.setdefault(series, []).append((found["multipliers"], found["cycles"]))
        text.append("")
    return "\n".join(text), chart(points)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="the network")
    parser.add_argument("--kept", type=Path, default=ROOT / "rtl_out" / "tiled_knobs.json")
    parser.add_argument("--write", action="store_true", help="into docs/tiled.md")
    given = parser.parse_args()
    text, drawing = tables(given.model, given.kept)
    if given.write:
        put(DOCUMENT, "knobs", "scripts/tiled_knobs.py", text)
        DRAWING.write_text(drawing)


if __name__ == "__main__":
    run(main)
