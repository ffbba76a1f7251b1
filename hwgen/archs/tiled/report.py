"""What a report says of a tiled design alone: engine, layers, and the bytes that move."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from ...plan.tiled.external_traffic import ExternalTraffic
from ...plan.tiled.plan import TiledPlan
from ...report.html import number, percent, render, shape, type_text
from ...report.labels import Part, labels
from ...report.network import Box, network_svg
from ...report.summary import utilization
from ...report.tiles import Tile, cycles_of, frames_a_second, interval, memory, multipliers, speed
from ..package import Package
from .drawing import timelines

_KINDS = ("weights", "parameters", "ifmaps", "ofmaps")
"""What bytes are from and to external memory."""
_MOVES = ("ifmaps", "weights", "psums_read", "psums_written")
"""What bytes are between buffers and array."""


def rows(package: Package, verified: dict[str, Any]) -> dict[str, Any]:
    """What report.json says of a tiled design alone; see ``Architecture.report``.

    A layer's cycles last from the end of the one before it.
    """
    plan, graph = package.plan, package.graph
    busy, moved = verified.get("busy") or {}, verified.get("buffer_bytes") or {}
    nodes = {node.name: node for node in graph.nodes}
    expected = verified.get("predicted", {}).get("busy", {})
    layers = []
    for row in plan.layers():
        cycles = busy.get(row["name"])
        # A layer that takes no time of its own has no utilization; one that overlaps with the one
        # before, in other tile units, may seem to use more than there is.
        used = utilization(row["macs"], cycles or None, plan.multipliers)
        used = None if used is None else min(used, 1.0)
        own = [nodes[name] for name in row["layers"]]
        measured = {
            "op": own[0].op.op_name,
            "title": graph.title_of(row["layers"]),
            "pe": plan.shape.pe,
            "simd": plan.shape.simd,
            "interval_estimate": expected.get(row["name"], row["interval_estimate"]),
            "interval_measured": cycles,
            "utilization": used,
            "parameters_bits": sum(node.op.parameters_bits for node in own),
            "ofmap_bytes": plan.task_graph.stored[row["ofmap"]["name"]].bytes,
            "buffer_bytes_measured": moved.get(row["name"]),
        }
        layers.append(row | measured)
    traffic = sum(plan.traffic, ExternalTraffic())
    return {
        "layers": layers,
        "engine": plan.shape.to_json() | {"resident": plan.resident},
        "needs": list(plan.needs),
        "could_leave_out": list(plan.could_leave_out),
        "bytes_estimate": asdict(traffic),
        "bytes_measured": verified.get("bytes"),
        "memory": verified.get("memory"),
    }


def tiles(report: dict[str, Any], plan: TiledPlan) -> list[Tile]:
    """The figures at the top of the page: one frame at a time, so latency is interval."""
    return [
        speed(report),
        interval(report, "cycles a frame"),
        _bound(report, plan),
        _slowest(report),
        _moved(report),
        multipliers(report),
        memory(report),
    ]


def _bound(report: dict[str, Any], plan: TiledPlan) -> Tile:
    """Whether the array's steps or external memory's beats take longer."""
    steps, rate = plan.interval_bound, (report["memory"] or {}).get("rate", 1.0)
    beats = round(max(plan.beats) / rate)
    name = "memory bound" if beats > steps else "compute bound"
    of = f"the array steps in {number(steps)} cycles, memory's port takes {number(beats)}"
    busy = percent(min(1.0, max(beats, steps) / cycles_of(report)))
    return Tile(name, f"{busy} of a frame's cycles", of)


def _slowest(report: dict[str, Any]) -> Tile:
    """The layer that takes the most cycles."""
    slowest = max(report["layers"], key=_cycles)
    part = percent(min(1.0, _cycles(slowest) / cycles_of(report)))
    note = f"{number(_cycles(slowest))} cycles, {part} of a frame"
    return Tile(slowest["title"], "slowest layer", note)


def _cycles(row: dict[str, Any]) -> int:
    """Cycles of a layer: measured, or else estimated."""
    measured = row["interval_measured"]
    return row["interval_estimate"] if measured is None else measured


def _moved(report: dict[str, Any]) -> Tile:
    """Bytes between the engine and external memory: measured, or else estimated."""
    measured, planned = report["bytes_measured"], report["bytes_estimate"]
    if measured:
        read, written = (sum(m[way] for m in measured.values()) for way in ("read", "written"))
    else:
        written = planned["ofmaps"]
        read = sum(planned[kind] for kind in _KINDS) - written
    rate = (read + written) * frames_a_second(report) / 1e6
    ways = f"{number(read)} read, {number(written)} written"
    return Tile(number(read + written), "bytes a frame", f"{ways}: {rate:.3g} MB/s")


def sections(report: dict[str, Any], package: Package) -> list[Markup]:
    """Sections of the page, in HTML."""
    titles = {row["name"]: row for row in report["layers"]}
    network = network_svg(_boxes(package.plan, titles), "the network's layers on the engine")
    traffic, traffic_total = _summed(report, "bytes", _KINDS)
    buffers, buffers_total = _summed(report, "buffer_bytes", _MOVES)
    stationary = [row["stationary"] for row in report["layers"]]
    return [
        render(
            "tiled.html", layers=_layers(report), network=network,
            **timelines(package.plan, report), traffic=traffic, traffic_total=traffic_total,
            measured=_measured(report), counted=_counted(report),
            buffers=[[a, s, *b] for (a, *b), s in zip(buffers, stationary, strict=True)],
            buffers_total=["all", "", *buffers_total[1:]], engine=_engine(report),
        ),
    ]  # fmt: skip


def _boxes(plan: TiledPlan, rows: dict[str, dict[str, Any]]) -> list[Box]:
    """The input and all tasks, each between the stored tensors that it reads and writes."""
    graph, task_graph = plan.graph, plan.task_graph
    boxes = [
        Box([x.name], [], [x.name, "input", shape(x.shape), type_text(x.type)])
        for x in (graph.tensors[name] for name in task_graph.sources)
    ]
    parts: dict[str, list[str]] = {}
    called = labels(
        Part(task.name, rows[task.name]["title"], _kind(rows[task.name]), task.macs > 0)
        for task in plan.tasks
    )
    for task in plan.tasks:
        row, y = rows[task.name], graph.tensors[task.y]
        read = (task_graph.stored[name] for name in (task.x, task.second) if name is not None)
        sources = [tensor.place for tensor in read]
        sources = [part for name in sources for part in parts.get(name, [name])]
        # Several tasks may write a tensor: whoever reads it reads all of them.
        parts.setdefault(task.y, []).append(task.name)
        kind = f"{_kind(row)}, {row['tiles']} tile{'s' * (row['tiles'] > 1)}"
        lines = [called[task.name], kind, shape(y.shape), type_text(y.type)]
        boxes.append(Box([task.name], sources, lines, task.macs > 0))
    return boxes


def _kind(row: dict[str, Any]) -> str:
    """The operation of a task in words."""
    return row["op"].replace("_", " ")


def _layers(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Tasks with their tiles, where their tensors lie, and how much of their time is work."""
    longest = max(max(_cycles(row), 1) for row in report["layers"])
    found = []
    for row in report["layers"]:
        cycles = _cycles(row)
        work = min(row["interval_bound"], cycles)
        used = row["utilization"]
        if used is None and cycles:
            used = utilization(row["macs"], cycles, report["multipliers"])
        states = (("work", work), ("starved", cycles - work))
        found.append(
            row
            | {
                "used": min(used, 1.0) if used and row["macs"] else None,
                "parts": [[kind, part / longest] for kind, part in states],
            }
        )
    return found


def _summed(
    report: dict[str, Any], key: str, kinds: tuple[str, ...]
) -> tuple[list[list[str]], list[str]]:
    """A row for each layer with its figures of some kinds, and the row of their sums."""
    totals = dict.fromkeys(kinds, 0)
    found = []
    for row in report["layers"]:
        found.append([row["title"], *(number(row[key][kind]) for kind in kinds)])
        totals = {kind: totals[kind] + row[key][kind] for kind in kinds}
    return found, ["all", *(number(total) for total in totals.values())]


def _measured(report: dict[str, Any]) -> list[list[str]]:
    return [
        [name, number(moved["read"]), number(moved["written"])]
        for name, moved in (report["bytes_measured"] or {}).items()
        if moved["read"] or moved["written"]
    ]


def _counted(report: dict[str, Any]) -> str:
    """Whether the RTL counted what was predicted, where it was asked."""
    found = [(row["buffer_bytes_measured"], row["buffer_bytes"]) for row in report["layers"]]
    if not any(measured for measured, _ in found):
        return ""
    same = all(measured in (None, planned) for measured, planned in found)
    return " The RTL counted the same." if same else " The RTL counted others."


def _engine(report: dict[str, Any]) -> list[tuple[str, str]]:
    engine, memory = report["engine"], report["memory"]
    facts = {
        "tile units": f"{engine['tiles']}, with an array and the memories below each",
        "array": f"{engine['pe']} output channels x {engine['simd']} ifmap values a cycle",
        "feature maps": f"{number(engine['feature_bytes'])} bytes in 4 banks",
        "weights": f"{number(engine['weight_words'])} words of "
        f"{number(engine['pe'] * engine['simd'])} weights",
        "psums": f"{number(engine['psum_words'])} words of {engine['pe']} sums",
        "operands": f"ifmap values of {engine['ifmap_bits']} bits, weights of "
        f"{engine['weight_bits']}",
        "requantizers": number(engine["requantizers"]),
        "parameters": f"{number(engine['parameter_words'])} words for {engine['pe']} channels each",
        "built without": ", ".join(engine["without"]) or "nothing left out",
        "tiles held in each buffer": number(engine["resident"]),
        "external memory": f"{engine['mem_width']} bits a cycle",
    }
    if memory:
        facts["memory in the simulation"] = (
            f"answers after {number(memory['latency'])} cycles, {memory['rate']:g} beats a cycle"
            + ("" if memory.get("gaps") is None else f", pauses of seed {memory['gaps']}")
        )
    return list(facts.items())
