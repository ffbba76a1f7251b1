"""report.html: the report as one page that needs no network."""

from __future__ import annotations

from html import escape
from typing import Any

from ..flow.package_files import Package

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c2733; background: #fff; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p.sub { color: #5b6b7a; margin-top: .2rem; }
table { border-collapse: collapse; width: 100%; } th, td { padding: .3rem .6rem; text-align: right;
       border-bottom: 1px solid #e3e8ed; } th { color: #5b6b7a; font-weight: 600; }
th:first-child, td:first-child, td.text, th.text { text-align: left; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
.card { border: 1px solid #e3e8ed; border-radius: 8px; padding: .7rem 1rem; min-width: 8.5rem; }
.card b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.card span { color: #5b6b7a; font-size: .85rem; }
td { font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .7rem; background: #2f6fab; border-radius: 2px;
       vertical-align: middle; }
.slot { display: inline-block; width: 9rem; height: .7rem; background: #eef2f6;
        border-radius: 2px; vertical-align: middle; margin-right: .5rem; text-align: left;
        line-height: 0; }
.good { color: #1a7f4b; } .bad { color: #b3261e; }
"""


def page(report: dict[str, Any], package: Package) -> str:
    """The page of a report (see ``summary``)."""
    parts = [
        _heading(report),
        _cards(report),
        _layers(report),
        _buffers(report),
        _types(package),
        _notes(report),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(report['name'])}: hwgen report</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _heading(report: dict[str, Any]) -> str:
    verified = report.get("verification")
    if verified is None:
        state = "not yet simulated: <code>hwgen verify</code> measures it"
    elif verified["equal"]:
        state = (
            f'<span class="good">every output bit of {verified["frames"]} frames equals the '
            f"golden model</span> ({escape(verified['simulator'])})"
        )
    else:
        state = f'<span class="bad">differs: {escape(str(verified["difference"]))}</span>'
    return (
        f"<h1>{escape(report['name'])}</h1>"
        f'<p class="sub">{escape(report["model"])}, {report["arch"]} architecture, design '
        f"<code>{report['design'][:12]}</code>; {state}</p>"
    )


def _number(value: Any) -> str:
    if value is None:
        return "not measured"
    return f"{value:,}".replace(",", "&#8239;") if isinstance(value, int) else escape(str(value))


def _cards(report: dict[str, Any]) -> str:
    cycles = report["cycles"]
    used = report["utilization"]
    cards = [
        (_number(cycles["interval_measured"]), "cycles between frames, measured"),
        (_number(cycles["interval_estimate"]), "estimated"),
        (_number(cycles["interval_bound"]), "lower bound of this folding"),
        (_number(cycles["latency_measured"]), "cycles of latency, measured"),
        (_number(report["multipliers"]), "multipliers"),
        ("not measured" if used is None else f"{100 * used:.1f} %", "multiplier utilization"),
        (_number(report["macs"]), "MACs a frame"),
        (f"{report['memory_bits'] / 1024:.1f} Kibit", "memory on chip"),
    ]
    accuracy = report.get("accuracy")
    if accuracy:
        text = f"{100 * accuracy['accuracy']:.2f} %"
        cards.append((text, f"accuracy on {accuracy['samples']} samples"))
    items = "".join(f'<div class="card"><b>{a}</b><span>{b}</span></div>' for a, b in cards)
    return f'<div class="cards">{items}</div>'


def _layers(report: dict[str, Any]) -> str:
    interval = report["cycles"]["interval_measured"] or report["cycles"]["interval_estimate"]
    rows = []
    for layer in report["layers"]:
        busy = layer["interval_measured"] or layer["interval_estimate"]
        share = min(1.0, busy / interval)
        fold = f"{layer['pe']} x {layer['simd']}" if layer["pe"] else ""
        if layer["pixels"] > 1:
            fold += f" x {layer['pixels']}"
        rows.append(
            f'<tr><td>{escape(layer["name"])}</td><td class="text">{escape(layer["op"])}</td>'
            f"<td>{fold}</td><td>{_number(layer['macs'])}</td><td>{_number(busy)}</td>"
            f'<td><span class="slot"><span class="bar" style="width:{100 * share:.1f}%"></span>'
            f"</span>{100 * share:.0f} %</td></tr>"
        )
    return (
        "<h2>Units</h2><table><tr><th>unit</th><th class=text>kind</th>"
        "<th>PE x SIMD</th><th>MACs</th><th>busy cycles a frame</th><th>of the interval</th></tr>"
        + "".join(rows)
        + "</table>"
    )


def _buffers(report: dict[str, Any]) -> str:
    measured = report["high_water_measured"] or {}
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{_number(estimate)}</td>"
        f"<td>{_number(measured.get(name))}</td></tr>"
        for name, estimate in report["high_water_estimate"].items()
    )
    return (
        "<h2>Buffers: most entries held</h2><table><tr><th>buffer</th><th>event model</th>"
        f"<th>RTL</th></tr>{rows}</table>"
    )


def _types(package: Package) -> str:
    rows = []
    for tensor in package.graph.tensors.values():
        low, high = tensor.range
        rows.append(
            f'<tr><td>{escape(tensor.name)}</td><td class="text">'
            f"{' x '.join(map(str, tensor.shape))}</td><td>{escape(str(tensor.type))}</td>"
            f"<td>{low} .. {high}</td></tr>"
        )
    return (
        "<h2>Edges</h2><table><tr><th>edge</th><th class=text>shape</th><th>type</th>"
        f"<th>range</th></tr>{''.join(rows)}</table>"
    )


def _notes(report: dict[str, Any]) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in report["notes"])
    return f"<h2>Notes</h2><ul>{notes}</ul>" if notes else ""
