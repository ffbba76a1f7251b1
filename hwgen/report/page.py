"""report.html: the report as one page that needs no network."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from ..flow.package_files import PackageFiles
from .command_lines import commands_of
from .drawing import frame_png, number

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
.bar.work { background: #2f6fab; } .bar.starved { background: #d9a441; }
.bar.blocked { background: #b3432e; } .bar { border-radius: 0; }
.key { display: inline-block; width: .7rem; height: .7rem; margin: 0 .25rem 0 .1rem; }
.key.work { background: #2f6fab; } .key.starved { background: #d9a441; }
.key.blocked { background: #b3432e; }
svg.network { width: 100%; display: block; margin: auto; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; } figure { margin: 0; }
figure img { width: 112px; image-rendering: pixelated; border: 1px solid #e3e8ed; }
table.logits { width: auto; font-size: .75rem; } table.logits td { padding: 0 .3rem; border: 0; }
tr.best, tr.all { font-weight: 700; } .scroll { overflow-x: auto; }
pre { background: #f4f6f8; padding: .8rem; border-radius: 6px; overflow-x: auto; }
.good { color: #1a7f4b; } .bad { color: #b3261e; }
"""


def page(
    report: dict[str, Any],
    package: PackageFiles,
    cards: list[tuple[str, str]],
    sections: list[str],
) -> str:
    """The page of a report (see ``summary``).

    Parameters: ``cards`` are figures of time with their names, ``sections`` HTML, both of the
    architecture.
    """
    parts = [
        _heading(report),
        _cards(report, cards),
        *sections,
        _resources(report),
        _examples(package),
        _types(package),
        _requantizations(report),
        _commands(package),
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


def _cards(report: dict[str, Any], times: list[tuple[str, str]]) -> str:
    used = report["utilization"]
    cards = [
        *times,
        (number(report["multipliers"]), "multipliers"),
        ("not measured" if used is None else f"{100 * used:.1f} %", "multiplier utilization"),
        (number(report["macs"]), "MACs a frame"),
        (f"{report['memory_bits'] / 1024:.1f} Kibit", "memory on chip"),
    ]
    synthesis = report.get("synthesis")
    if synthesis:
        cards.append((f"{synthesis['fmax_mhz']:.0f} MHz", f"routed on {synthesis['device']}"))
        cards.append((number(synthesis["lut"]), "combinational cells"))
    accuracy = report.get("accuracy")
    if accuracy:
        text = f"{100 * accuracy['accuracy']:.2f} %"
        cards.append((text, f"accuracy on {accuracy['samples']} samples"))
    items = "".join(f'<div class="card"><b>{a}</b><span>{b}</span></div>' for a, b in cards)
    return f'<div class="cards">{items}</div>'


def _resources(report: dict[str, Any]) -> str:
    synthesis = report.get("synthesis")
    if not synthesis:
        return ""
    kinds = ("lut", "ff", "dsp", "bram")
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td>{number(used.get(kind))}</td>" for kind in kinds)
        + "</tr>"
        for name, used in synthesis["layers"].items()
    )
    path = ", ".join(
        f"{escape(str(part['layer']))} {part['ns']} ns ({part['logic_ns']} ns logic)"
        for part in synthesis["critical_path"]
    )
    return (
        f"<h2>Resources on {escape(synthesis['device'])}</h2><p>Routed at "
        f"{synthesis['fmax_mhz']} MHz (seed {synthesis['seed']}); the critical path: {path}. Cells "
        "of a layer are counted before placement.</p><table><tr><th>layer</th><th>LUT</th>"
        f"<th>FF</th><th>DSP</th><th>block RAM</th></tr>{rows}</table>"
    )


def _examples(package: PackageFiles) -> str:
    """Frames that were given to the last verification, with the RTL's outputs."""
    found = (package.result("verify") or {}).get("examples")
    if not found:
        return ""
    x = package.graph.inputs[0]
    y = package.graph.tensors[package.graph.outputs[0]]
    items = []
    for codes, outputs in zip(found["inputs"], found["outputs"], strict=True):
        image = frame_png(np.array(codes).reshape(x.shape), x.type.min, x.type.max)
        picture = f'<img alt="an input" src="{image}">' if image else ""
        if len(outputs) > 32:
            items.append(
                f"<figure>{picture}<figcaption>{len(outputs)} outputs</figcaption></figure>"
            )
            continue
        best = outputs.index(max(outputs))
        low, high = min(outputs), max(outputs)
        bars = "".join(
            f'<tr class="{"best" if n == best else ""}"><td>{n}</td>'
            f'<td class="text"><span class="bar work" '
            f'style="width:{4 + 60 * (value - low) / max(1, high - low):.0f}px"></span></td>'
            f"<td>{value}</td></tr>"
            for n, value in enumerate(outputs)
        )
        items.append(f'<figure>{picture}<table class="logits">{bars}</table></figure>')
    return (
        "<h2>Frames and what the RTL gave for them</h2>"
        f'<p>Integers of {escape(str(y.type))}.</p><div class="figures">{"".join(items)}</div>'
    )


def _requantizations(report: dict[str, Any]) -> str:
    forms = report["requantizations"]
    return (
        f"<h2>Requantization</h2><p>{number(forms['shift'])} channels by a shift, "
        f"{number(forms['multiply'])} by a multiplier, {number(forms['staircase'])} by a table "
        f"or a search; {number(forms['proven'])} replace a batch norm or an average and were "
        "proven equal on every input (<code>python3 check.py</code> does it again).</p>"
    )


def _commands(package: PackageFiles) -> str:
    """What made the package and its results, to be run again."""
    tools = ", ".join(f"{k} {v}" for k, v in package.manifest["tools"].items())
    return (
        f"<h2>Made by</h2><pre>{escape(chr(10).join(commands_of(package)))}</pre>"
        f'<p class="sub">{escape(tools)}; design <code>{package.design}</code></p>'
    )


def _types(package: PackageFiles) -> str:
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
