"""The summary at the top of a page: tiles with a figure, what it is, and what it depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .html import THIN, number, percent, size

USUAL_MHZ = 100.0
"""The clock that speeds are given at where no synthesis has said one."""


@dataclass(frozen=True)
class Tile:
    """A figure, its name, and a word on it."""

    value: str
    name: str
    note: str = ""


def clock_mhz(report: dict[str, Any]) -> float:
    """The clock of the last synthesis, or the usual one."""
    return report.get("synthesis", {}).get("fmax_mhz") or USUAL_MHZ


def cycles_of(report: dict[str, Any]) -> int:
    """Cycles between frames: measured, or else estimated."""
    cycles = report["cycles"]
    return cycles["interval_measured"] or cycles["interval_estimate"]


def frames_a_second(report: dict[str, Any]) -> float:
    """Frames a second at the clock of ``clock_mhz``."""
    return clock_mhz(report) * 1e6 / cycles_of(report)


def speed(report: dict[str, Any]) -> Tile:
    """Frames a second, and at which clock."""
    synthesis = report.get("synthesis")
    clock = f"{clock_mhz(report):.0f}{THIN}MHz"
    note = f"at {clock}, routed on {synthesis['device']}" if synthesis else f"if clocked at {clock}"
    rate = frames_a_second(report)
    return Tile(number(round(rate)) if rate >= 100 else f"{rate:.3g}", "frames a second", note)


def interval(report: dict[str, Any], name: str) -> Tile:
    """Cycles between frames with their estimate and their bound. name : what they are called."""
    cycles = report["cycles"]
    bound = f"at least {number(cycles['interval_bound'])}"
    if cycles["interval_measured"] is None:
        return Tile(number(cycles["interval_estimate"]), name, f"not measured yet; {bound}")
    note = f"measured; estimated {number(cycles['interval_estimate'])}, {bound}"
    return Tile(number(cycles["interval_measured"]), name, note)


def multipliers(report: dict[str, Any]) -> Tile:
    """How many there are, and how much of their time they work."""
    count, cycles = report["multipliers"], cycles_of(report)
    if not count:
        return Tile("0", "multipliers")
    used = report["utilization"] or report["macs"] / (cycles * count)
    return Tile(number(count), "multipliers", f"{percent(used)} of their cycles at work")


def memory(report: dict[str, Any]) -> Tile:
    """Memory on chip, and the parameters of the network."""
    note = f"parameters of the network: {size(report['parameters_bits'])}"
    return Tile(size(report["memory_bits"]), "memory on chip", note)


def measured_later(report: dict[str, Any]) -> list[Tile]:
    """What synthesis and a labelled data set say, where they have."""
    tiles, synthesis, accuracy = [], report.get("synthesis"), report.get("accuracy")
    if synthesis:
        dsp = f"{number(synthesis['dsp'])} DSP, {number(synthesis['bram'])} block RAM"
        tiles.append(Tile(number(synthesis["lut"]), "combinational cells", dsp))
    if accuracy:
        samples = f"on {number(accuracy['samples'])} samples"
        tiles.append(Tile(percent(accuracy["accuracy"], 2), "accuracy", samples))
    return tiles
