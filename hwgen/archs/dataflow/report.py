"""What a report says of a dataflow design alone: its units, and where their cycles go."""

from __future__ import annotations

from html import escape
from typing import Any

from ...ir import Graph
from ...plan.dataflow.events.simulation import FRAMES
from ...plan.dataflow.units import Unit
from ...report.drawing import number
from ...report.summary import utilization
from ..package import Package
from .drawing import network_svg


def rows(package: Package, verified: dict[str, Any]) -> dict[str, Any]:
    """What report.json says of a dataflow design alone; see ``Architecture.report``."""
    busy = verified.get("busy") or {}
    interval = verified.get("cycles", {}).get("interval")
    units = package.plan.units
    return {
        "layers": [_layer(package.graph, u, busy.get(u.name), interval) for u in units],
        "high_water_estimate": package.plan_json["estimate"].get("high_water", {}),
        "high_water_measured": verified.get("high_water"),
    }


def _layer(graph: Graph, unit: Unit, busy: int | None, interval: int | None) -> dict[str, Any]:
    # A unit without a layer of the network only changes a stream: its kind says how.
    first = [node.op.op_name for node in graph.nodes if node.name in unit.layers[:1]]
    return {
        "name": unit.name,
        "op": first[0] if first else unit.kind,
        "unit": unit.kind,
        "layers": list(unit.layers),
        "macs": unit.macs,
        "pe": unit.pe,
        "simd": unit.simd,
        "pixels": getattr(unit, "pixels", 0),
        "multipliers": unit.multipliers,
        "interval_bound": max(unit.bounds.values()),
        "interval_estimate": unit.busy,
        "interval_measured": busy,
        "utilization": utilization(unit.macs, interval, unit.multipliers),
        "memory_bits": unit.memory_bits,
    }


def cards(cycles: dict[str, Any]) -> list[tuple[str, str]]:
    """Figures of time at the top of the page."""
    return [
        (number(cycles["interval_measured"]), "cycles between frames, measured"),
        (number(cycles["interval_estimate"]), "estimated"),
        (number(cycles["interval_bound"]), "lower bound of this folding"),
        (number(cycles["latency_measured"]), "cycles of latency, measured"),
    ]


def sections(report: dict[str, Any], package: Package) -> list[str]:
    """Sections of the page, in HTML."""
    return [_network(package), _layers(report, package), _buffers(report, package)]


def _network(package: Package) -> str:
    return f"<h2>Network</h2>{network_svg(package.graph, package.plan)}"


def _layers(report: dict[str, Any], package: Package) -> str:
    """Units with where their cycles go: work, waiting for input, waiting for room."""
    cycles = report["cycles"]
    interval = cycles["interval_estimate"]
    before, after = package.plan.timing(FRAMES), package.plan.timing(FRAMES + 1)
    rows = []
    for layer in report["layers"]:
        name = layer["name"]
        busy = layer["interval_measured"] or layer["interval_estimate"]
        starved, blocked = (
            max(0, kind[1].get(name, 0) - kind[0].get(name, 0))
            for kind in ((before.starved, after.starved), (before.blocked, after.blocked))
        )
        fold = f"{layer['pe']} x {layer['simd']}" if layer["pe"] else ""
        if layer["pixels"] > 1:
            fold += f" x {layer['pixels']}"
        bars = "".join(
            f'<span class="bar {kind}" style="width:{min(100, 100 * part / interval):.1f}%"></span>'
            for kind, part in (("work", busy), ("starved", starved), ("blocked", blocked))
        )
        rows.append(
            f'<tr><td>{escape(name)}</td><td class="text">{escape(layer["op"])}</td>'
            f"<td>{fold}</td><td>{number(layer['macs'])}</td><td>{number(busy)}</td>"
            f"<td>{number(starved)}</td><td>{number(blocked)}</td>"
            f'<td class="text"><span class="slot">{bars}</span></td></tr>'
        )
    return (
        "<h2>Units, and where the cycles go</h2><p>"
        f"A frame takes {number(interval)} cycles; the slowest unit needs "
        f"{number(cycles['interval_bound'])}. In the steady state a unit "
        '<span class="key work"></span>works, <span class="key starved"></span>waits for its '
        'input, or <span class="key blocked"></span>waits for room behind it.</p>'
        "<table><tr><th>unit</th><th class=text>kind</th><th>PE x SIMD</th><th>MACs</th>"
        "<th>works</th><th>starves</th><th>is blocked</th><th class=text>of the interval</th></tr>"
        + "".join(rows)
        + "</table>"
    )


_CAPACITY: dict[str, str] = {"ring": "rows"}
"""Fields of buffers that have another name."""


def _buffers(report: dict[str, Any], package: Package) -> str:
    measured = report["high_water_measured"] or {}
    units = {unit.name: unit for unit in package.plan.units}
    rows = []
    for name, estimate in report["high_water_estimate"].items():
        unit, _, part = name.rpartition(".")
        field = _CAPACITY.get(part) or part
        sized = unit in units and field in units[unit].capacities
        depth = units[unit].capacity(field) if sized else None
        share = 100 * estimate / depth if depth else 0
        bar = f'<span class="slot"><span class="bar work" style="width:{share:.0f}%"></span></span>'
        rows.append(
            f"<tr><td>{escape(name)}</td><td>{number(depth) if depth else ''}</td>"
            f"<td>{number(estimate)}</td><td>{number(measured.get(name))}</td>"
            f"<td class=text>{bar if depth else ''}</td></tr>"
        )
    return (
        "<h2>Buffers: most entries held</h2><table><tr><th>buffer</th><th>depth</th>"
        "<th>event model</th><th>RTL</th><th class=text>filled</th></tr>"
        f"{''.join(rows)}</table>"
    )
