"""What a report says of a tiled design alone: engine, layers, and the bytes that move."""

from __future__ import annotations

from dataclasses import asdict
from html import escape
from typing import Any

from ...plan.tiled.plan import ExternalTraffic
from ...report.drawing import number
from ...report.summary import utilization
from ..package import Package


def rows(package: Package, verified: dict[str, Any]) -> dict[str, Any]:
    """What report.json says of a tiled design alone; see ``Architecture.report``.

    A layer's cycles last from the end of the one before it.
    """
    plan, graph = package.plan, package.graph
    busy, moved = verified.get("busy") or {}, verified.get("buffer_bytes") or {}
    ops = {node.name: node.op.op_name for node in graph.nodes}
    expected = verified.get("predicted", {}).get("busy", {})
    layers = []
    for row in plan.layers():
        cycles = busy.get(row["name"])
        # A layer that takes no time of its own has no utilization; one that overlaps with the one
        # before, in other tile units, may seem to use more than there is.
        used = utilization(row["macs"], cycles or None, plan.multipliers)
        used = None if used is None else min(used, 1.0)
        measured = {
            "op": ops[row["layers"][0]],
            "pe": plan.shape.pe,
            "simd": plan.shape.simd,
            "interval_estimate": expected.get(row["name"], row["interval_estimate"]),
            "interval_measured": cycles,
            "utilization": used,
            "buffer_bytes_measured": moved.get(row["name"]),
        }
        layers.append(row | measured)
    traffic = sum(plan.traffic, ExternalTraffic())
    return {
        "layers": layers,
        "engine": asdict(plan.shape) | {"resident": plan.resident},
        "bytes_estimate": asdict(traffic),
        "bytes_measured": verified.get("bytes"),
        "memory": verified.get("memory"),
    }


def cards(cycles: dict[str, Any]) -> list[tuple[str, str]]:
    """Figures of time at the top of the page: one frame at a time, so latency is interval."""
    return [
        (number(cycles["interval_measured"]), "cycles a frame, measured"),
        (number(cycles["interval_estimate"]), "estimated"),
        (number(cycles["interval_bound"]), "steps of the array: the lower bound"),
    ]


def sections(report: dict[str, Any]) -> list[str]:
    """Sections of the page, in HTML."""
    return [_engine(report), _layers(report), _traffic(report), _buffers(report)]


def _engine(report: dict[str, Any]) -> str:
    engine = report["engine"]
    rows = {
        "tile units": f"{engine['tiles']}, with an array and the memories below each",
        "array": f"{engine['pe']} output channels x {engine['simd']} ifmap values a cycle",
        "feature maps": f"{number(engine['feature_bytes'])} bytes in 4 banks",
        "weights": f"{number(engine['weight_words'])} words of "
        f"{number(engine['pe'] * engine['simd'])} bytes",
        "psums": f"{number(engine['psum_words'])} words of {engine['pe']} sums",
        "parameters": f"{number(engine['parameter_words'])} words for {engine['pe']} channels each",
        "tiles held in each buffer": number(engine["resident"]),
        "external memory": f"{engine['mem_width']} bits a cycle",
    }
    if report["memory"]:
        memory = report["memory"]
        rows["memory in the simulation"] = (
            f"answers after {number(memory['latency'])} cycles, {memory['rate']:g} beats a cycle"
        )
    cells = "".join(
        f"<tr><td>{escape(k)}</td><td class=text>{v}</td></tr>" for k, v in rows.items()
    )
    return f"<h2>The engine</h2><table>{cells}</table>"


def _layers(report: dict[str, Any]) -> str:
    """Tasks with their tiles, where their tensors lie, and how much of their time is work."""
    longest = max(
        max(row["interval_measured"] or row["interval_estimate"], 1) for row in report["layers"]
    )
    rows = []
    for row in report["layers"]:
        tile, cycles = row["tile"], row["interval_measured"] or row["interval_estimate"]
        work = min(row["interval_bound"], cycles)
        bars = "".join(
            f'<span class="bar {kind}" style="width:{100 * part / longest:.1f}%"></span>'
            for kind, part in (("work", work), ("starved", cycles - work))
        )
        used = row["utilization"]
        rows.append(
            f"<tr><td>{escape(row['name'])}</td><td class=text>{escape(row['op'])}</td>"
            f"<td>{tile['rows']} x {tile['columns']} x {tile['outputs']}</td>"
            f"<td>{number(row['tiles'])}</td><td class=text>{row['units']} by {row['split']}</td>"
            f"<td class=text>{'chip' if row['ofmap']['stays'] else 'memory'}</td>"
            f"<td>{number(row['macs'])}</td><td>{number(row['interval_bound'])}</td>"
            f"<td>{number(row['interval_estimate'])}</td><td>{number(row['interval_measured'])}</td>"
            f"<td>{'' if used is None else f'{100 * used:.0f} %'}</td>"
            f'<td class="text"><span class="slot">{bars}</span></td></tr>'
        )
    return (
        "<h2>Layers, and where the cycles go</h2><p>One layer after the other; its cycles are "
        "those from the end of the layer before, which other tile units may still be at. The array "
        '<span class="key work"></span>takes '
        'its steps, or <span class="key starved"></span>waits.</p>'
        '<div class="scroll"><table><tr><th>layer</th>'
        "<th class=text>kind</th><th>tile</th><th>tiles</th><th class=text>units</th>"
        "<th class=text>ofmap in</th>"
        "<th>MACs</th><th>steps</th><th>estimate</th><th>RTL</th><th>lanes busy</th>"
        f"<th class=text>cycles</th></tr>{''.join(rows)}</table></div>"
    )


def _traffic(report: dict[str, Any]) -> str:
    kinds = ("weights", "parameters", "ifmaps", "ofmaps")
    rows = "".join(
        f"<tr><td>{escape(row['name'])}</td>"
        + "".join(f"<td>{number(row['bytes'][kind])}</td>" for kind in kinds)
        + "</tr>"
        for row in report["layers"]
    )
    total = "".join(f"<td>{number(report['bytes_estimate'][kind])}</td>" for kind in kinds)
    text = (
        "<h2>Bytes from and to external memory</h2><table><tr><th>layer</th><th>weights</th>"
        "<th>parameters</th><th>ifmaps read</th><th>ofmaps written</th></tr>"
        f"{rows}<tr class=all><td>all</td>{total}</tr></table>"
    )
    if not report["bytes_measured"]:
        return text
    measured = "".join(
        f"<tr><td>{escape(name)}</td><td>{number(moved['read'])}</td>"
        f"<td>{number(moved['written'])}</td></tr>"
        for name, moved in report["bytes_measured"].items()
        if moved["read"] or moved["written"]
    )
    return (
        f"{text}<h2>Bytes at the bus, measured</h2><p>Whole beats, a frame.</p><table>"
        f"<tr><th>region</th><th>read</th><th>written</th></tr>{measured}</table>"
    )


def _buffers(report: dict[str, Any]) -> str:
    """What passes between the buffers and the array, and what stays there meanwhile."""
    kinds = ("ifmaps", "weights", "psums_read", "psums_written")
    rows, totals, measured = "", dict.fromkeys(kinds, 0), []
    for row in report["layers"]:
        moved = row["buffer_bytes"]
        cells = "".join(f"<td>{number(moved[kind])}</td>" for kind in kinds)
        rows += (
            f"<tr><td>{escape(row['name'])}</td><td class=text>{escape(row['stationary'])}</td>"
            f"{cells}</tr>"
        )
        totals = {kind: totals[kind] + moved[kind] for kind in kinds}
        measured.append(row["buffer_bytes_measured"] in (None, moved))
    cells = "".join(f"<td>{number(totals[kind])}</td>" for kind in kinds)
    said = ""
    if any(row["buffer_bytes_measured"] for row in report["layers"]):
        said = " The RTL counted the same." if all(measured) else " The RTL counted others."
    return (
        f"<h2>Bytes between buffers and array</h2><p>Predicted.{said} A buffer is read where a "
        "step of the array takes something new.</p><table><tr><th>layer</th>"
        "<th class=text>stays at the array</th><th>ifmaps read</th><th>weights read</th>"
        "<th>psums read</th><th>psums written</th></tr>"
        f"{rows}<tr class=all><td>all</td><td></td>{cells}</tr></table>"
    )
