"""What a report says of a dataflow design alone: its units, and where their cycles go."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from ...emit.packing import beat_bytes
from ...ir import Graph
from ...plan.dataflow.events.simulation import FRAMES
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.ports import Port
from ...plan.dataflow.units import Unit
from ...report.html import number, render, shape
from ...report.network import network_svg
from ...report.summary import end_row, utilization
from ...report.tiles import Tile, frames_a_second, interval, memory, multipliers, speed
from ..package import Package
from .drawing import boxes_of, fold_of, frames_svg, kind_of


def rows(package: Package, verified: dict[str, Any]) -> dict[str, Any]:
    """What report.json says of a dataflow design alone; see ``Architecture.report``."""
    busy = verified.get("busy") or {}
    interval = verified.get("cycles", {}).get("interval")
    units, titles = package.plan.units, titles_of(package.plan)
    return {
        "inputs": [_port(package.graph, port) for port in package.plan.inputs],
        "outputs": [_port(package.graph, port) for port in package.plan.outputs],
        "layers": [
            _layer(package.graph, u, busy.get(u.name), interval) | {"title": titles[u.name]}
            for u in units
        ],
        "high_water_estimate": package.plan_json["estimate"].get("high_water", {}),
        "high_water_measured": verified.get("high_water"),
    }


def _port(graph: Graph, port: Port) -> dict[str, Any]:
    stream = port.shape
    return end_row(graph.tensors[port.tensor]) | {
        "stream": port.bus,
        "lanes": stream.lanes,
        "beats": stream.beats,
        "bytes": stream.beats * beat_bytes(stream),
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


def titles_of(plan: DataflowPlan) -> dict[str, str]:
    """The layer of the user's file that each unit belongs to, by the unit's name.

    One that only copies a stream belongs to what gives the stream, one that only changes its lanes
    to what wants them.
    """
    titles: dict[str, str] = {}
    gives = {port.stream: port.tensor for port in plan.inputs}
    for unit in plan.units:
        title = plan.graph.title_of(unit.layers) or gives[unit.sources[0]]
        titles[unit.name] = title
        gives |= dict.fromkeys(unit.streams, title)
    for unit in reversed(plan.units):
        for before in plan.units:
            wanted = not before.layers and len(before.streams) == 1
            if wanted and before.streams[0] in unit.sources:
                titles[before.name] = titles[unit.name]
    return titles


def tiles(report: dict[str, Any], plan: DataflowPlan) -> list[Tile]:
    """The figures at the top of the page."""
    latency = report["cycles"]["latency_measured"] or report["cycles"]["latency_estimate"]
    return [
        speed(report),
        interval(report, "cycles between frames"),
        _bottleneck(report, plan),
        Tile(number(latency), "cycles of latency", "first beat in to last beat out"),
        _streams(report, plan),
        multipliers(report),
        memory(report),
    ]


_BOUND = {
    "compute": "compute bound: its multipliers take {} of the cycles",
    "input": "stream bound: its input takes {} beats",
    "output": "stream bound: its output takes {} beats",
}


def _bottleneck(report: dict[str, Any], plan: DataflowPlan) -> Tile:
    """The unit, or the port of an input, that no frame passes more quickly."""
    name = "bottleneck"
    slowest = max(plan.units, key=lambda unit: max(unit.bounds.values()))
    resource, cycles = max(slowest.bounds.items(), key=lambda item: item[1])
    longest = max(plan.inputs, key=lambda port: port.shape.beats)
    if longest.shape.beats >= cycles:
        beats = number(longest.shape.beats)
        port = f"the port of {longest.tensor}" if longest.suffix else "the input port"
        return Tile(port, name, f"stream bound: a frame is {beats} beats")
    text = _BOUND.get(resource, f"bound by its {resource}: {{}} cycles")
    title = next(row["title"] for row in report["layers"] if row["name"] == slowest.name)
    return Tile(title, name, text.format(number(cycles)))


def _streams(report: dict[str, Any], plan: DataflowPlan) -> Tile:
    """Bytes that pass the ports; weights stay on chip."""
    ways = [
        sum(port.shape.beats * beat_bytes(port.shape) for port in ports)
        for ports in (plan.inputs, plan.outputs)
    ]
    rate = sum(ways) * frames_a_second(report) / 1e6
    note = f"{number(ways[0])} in, {number(ways[1])} out: {rate:.3g} MB/s; weights stay on chip"
    return Tile(number(sum(ways)), "bytes a frame", note)


def sections(report: dict[str, Any], package: Package) -> list[Markup]:
    """Sections of the page, in HTML."""
    plan: DataflowPlan = package.plan
    titles = {row["name"]: row["title"] for row in report["layers"]}
    network = network_svg(boxes_of(plan, titles), "the network's units")
    cycles = report["cycles"]
    layers = _layers(report, plan)
    return [
        render(
            "dataflow.html", interval=cycles["interval_estimate"], bound=cycles["interval_bound"],
            layers=layers, buffers=list(_buffers(report, plan)), network=network,
            ports=[
                [p["name"], p["stream"], shape(p["shape"]), p["lanes"], number(p["beats"])]
                for p in (*report["inputs"], *report["outputs"])
            ],
            timeline=frames_svg(plan, [row for layer in layers for row in layer.rows]),
        ),
    ]  # fmt: skip


@dataclass
class _Layer:
    """The units of a layer of the user's file."""

    title: str
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def macs(self) -> int:
        return sum(row["macs"] for row in self.rows)

    @property
    def memory_bits(self) -> int:
        return sum(row["memory_bits"] for row in self.rows)


def _layers(report: dict[str, Any], plan: DataflowPlan) -> list[_Layer]:
    """Layers with their units, where their cycles go: work, waiting for input, for room."""
    interval = report["cycles"]["interval_estimate"]
    before, after = plan.timing(FRAMES), plan.timing(FRAMES + 1)
    layers: dict[str, _Layer] = {}
    for row in report["layers"]:
        name, title = row["name"], row["title"]
        busy = row["interval_measured"] or row["interval_estimate"]
        starved, blocked = (
            max(0, kind[1].get(name, 0) - kind[0].get(name, 0))
            for kind in ((before.starved, after.starved), (before.blocked, after.blocked))
        )
        states = (("work", busy), ("starved", starved), ("blocked", blocked))
        used = row["utilization"] or utilization(row["macs"], interval, row["multipliers"])
        layers.setdefault(title, _Layer(title)).rows.append(
            row
            | {
                "kind": kind_of(row["unit"]),
                "fold": fold_of(row["pe"], row["simd"], row["pixels"]),
                "busy": busy,
                "starved": starved,
                "blocked": blocked,
                "used": used,
                "parts": [[kind, min(1, part / interval)] for kind, part in states],
            }
        )
    return list(layers.values())


_CAPACITY: dict[str, str] = {"ring": "rows"}
"""Fields of buffers that have another name."""


def _buffers(report: dict[str, Any], plan: DataflowPlan) -> Iterator[list[Any]]:
    measured = report["high_water_measured"] or {}
    units = {unit.name: unit for unit in plan.units}
    for name, estimate in report["high_water_estimate"].items():
        unit, _, part = name.rpartition(".")
        attribute = _CAPACITY.get(part) or part
        sized = unit in units and attribute in units[unit].capacities
        depth = units[unit].capacity(attribute) if sized else 0
        bar = render("bar.html", parts=[["work", estimate / depth]]) if depth else ""
        level = number(measured.get(name))
        yield [name, bar, number(depth) if depth else "", number(estimate), level]
