"""report.json: what a design is, what was estimated, what was measured."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..emit.package import dump_json
from ..flow.fpga import DEVICES
from ..flow.package_files import Package
from ..ir import Graph
from ..plan.tiled.plan import Traffic
from ..plan.units import Unit

SCHEMA = 1


def summary(package: Package) -> dict[str, Any]:
    """Assemble the report from the plan and the results; ``*_measured`` is null until then."""
    plan, graph = package.any_plan, package.graph
    verified = package.result("verify") or {}
    # Of a tiled design with the memory that was simulated, where that says when it answers.
    estimate = package.plan_json["estimate"]
    predicted = verified.get("predicted", {}).get("interval")
    if predicted is not None:
        estimate = estimate | {"interval": predicted, "latency": predicted}
    cycles = verified.get("cycles", {})
    interval = cycles.get("interval")
    report: dict[str, Any] = {
        "schema": SCHEMA,
        "model": package.manifest["model"]["file"],
        "name": graph.name,
        "arch": package.arch,
        "design": package.design,
        "macs": graph.macs,
        "multipliers": plan.multipliers,
        "requant_multipliers": plan.requant_multipliers,
        "requantizations": package.certificate["requantizations"],
        "parameters_bits": graph.parameters_bits,
        "memory_bits": plan.memory_bits,
        "cycles": {
            "interval_bound": plan.interval_bound,
            "interval_estimate": estimate["interval"],
            "interval_measured": interval,
            "latency_estimate": estimate["latency"],
            "latency_measured": cycles.get("latency"),
        },
        "utilization": utilization(graph.macs, interval, plan.multipliers),
    }
    report |= _tiled(package, verified) if package.arch == "tiled" else _units(package, verified)
    report["notes"] = list(graph.notes)
    if verified:
        report["verification"] = {
            key: verified[key] for key in ("simulator", "frames", "equal", "difference", "changed")
        }
    synthesis = [found for name in DEVICES if (found := package.result(f"synth-{name}"))]
    if synthesis:
        # The device synthesized last; all are in results/.
        report["synthesis"] = {
            key: value for key, value in synthesis[-1].items() if key not in ("design", "schema")
        }
    accuracy = package.result("accuracy")
    if accuracy:
        report["accuracy"] = {k: v for k, v in accuracy.items() if k != "design"}
    return report


def utilization(macs: int, interval: int | None, multipliers: int) -> float | None:
    """Part of the multiplier cycles that do work: macs / (interval * multipliers)."""
    if interval is None or multipliers == 0:
        return None
    return round(macs / (interval * multipliers), 4)


def _units(package: Package, verified: dict[str, Any]) -> dict[str, Any]:
    """What only a dataflow design has."""
    busy = verified.get("busy") or {}
    interval = verified.get("cycles", {}).get("interval")
    units = package.plan.units
    return {
        "layers": [_layer(package.graph, u, busy.get(u.name), interval) for u in units],
        "high_water_estimate": package.plan_json["estimate"].get("high_water", {}),
        "high_water_measured": verified.get("high_water"),
    }


def _tiled(package: Package, verified: dict[str, Any]) -> dict[str, Any]:
    """What only a tiled design has. A layer's cycles last from the end of the one before it."""
    plan, graph = package.tiled, package.graph
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
    traffic = sum(plan.traffic, Traffic())
    return {
        "layers": layers,
        "engine": asdict(plan.shape) | {"resident": plan.resident},
        "bytes_estimate": asdict(traffic),
        "bytes_measured": verified.get("bytes"),
        "memory": verified.get("memory"),
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


def write_report(package: Package) -> dict[str, Any]:
    """Write report.json and report.html of a package; returns the report."""
    from .page import page

    report = summary(package)
    package.write({"report.json": dump_json(report), "report.html": page(report, package)})
    return report
