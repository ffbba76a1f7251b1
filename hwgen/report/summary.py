"""report.json: what a design is, what was estimated, what was measured."""

from __future__ import annotations

from typing import Any

from ..flow.fpga import DEVICES
from ..flow.package_files import PackageFiles
from ..ir import Tensor
from ..plan.protocol import Plan

SCHEMA = 1


def summary(
    package: PackageFiles, plan: Plan, verified: dict[str, Any], own: dict[str, Any]
) -> dict[str, Any]:
    """Assemble the report from the plan and the results; ``*_measured`` is null until then.

    Parameters: ``verified`` is the content of results/verify.json, empty until there is one;
    ``own`` is what the architecture adds.
    """
    graph = package.graph
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
    report["inputs"] = [end_row(x) for x in graph.inputs]
    report["outputs"] = [end_row(graph.tensors[name]) for name in graph.outputs]
    report |= own
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


def end_row(tensor: Tensor) -> dict[str, Any]:
    """What a report says of an input or output of the network."""
    return {"name": tensor.name, "shape": list(tensor.shape), "type": str(tensor.type)}


def utilization(macs: int, interval: int | None, multipliers: int) -> float | None:
    """Part of the multiplier cycles that do work: macs / (interval * multipliers)."""
    if interval is None or multipliers == 0:
        return None
    return round(macs / (interval * multipliers), 4)
