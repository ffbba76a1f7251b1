"""What synthesis and routing gave, in terms of the network's layers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from .devices import Device

OTHER = "ports and control"
"""What belongs to no unit of the network."""


def layer_of(cell: str) -> str:
    """The unit that a cell or net of the flattened netlist belongs to, by its name."""
    found = re.match(r"(?:dut\.)?unit_(\w+)\.", cell)
    return found[1] if found else OTHER


def resources(netlist: Mapping[str, Any], top: str, device: Device) -> dict[str, dict[str, int]]:
    """LUTs, registers, DSP blocks and block RAMs of each layer, as synthesized."""
    cells = netlist["modules"][top]["cells"]
    layers: dict[str, Counter[str]] = {}
    for name, cell in cells.items():
        counts = layers.setdefault(layer_of(name), Counter())
        for kind, types in device.cells.items():
            counts[kind] += types.get(cell["type"], 0)
    return {layer: dict(counts) for layer, counts in layers.items() if any(counts.values())}


def critical_path(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The slowest path from register to register: time spent in each layer, in order, in ns.

    Each step has the first and the last cell of the path within the layer.
    """
    paths = [
        path for path in report["critical_paths"]
        if "<async>" not in (path["from"], path["to"])
    ]  # fmt: skip
    if not paths:
        return []
    slowest = max(paths, key=lambda path: sum(step["delay"] for step in path["path"]))
    steps: list[dict[str, Any]] = []
    for step in slowest["path"]:
        cell = step["to"]["cell"] if step["type"] == "routing" else step["from"]["cell"]
        layer = layer_of(cell)
        if not steps or steps[-1]["layer"] != layer:
            steps.append({"layer": layer, "ns": 0.0, "logic_ns": 0.0, "from": cell, "to": cell})
        steps[-1]["ns"] += step["delay"]
        if step["type"] != "routing":
            steps[-1]["logic_ns"] += step["delay"]
        steps[-1]["to"] = cell
    for part in steps:
        part["ns"], part["logic_ns"] = round(part["ns"], 2), round(part["logic_ns"], 2)
    return steps


def totals(report: Mapping[str, Any], device: Device) -> dict[str, Any]:
    """Placed cells and the routed clock."""
    used = report["utilization"]
    counts: dict[str, Any] = {
        kind: used.get(cell, {"used": 0})["used"] for kind, cell in device.placed.items()
    }
    clocks = [clock["achieved"] for clock in report["fmax"].values()]
    counts["fmax_mhz"] = round(min(clocks), 2)
    return counts
