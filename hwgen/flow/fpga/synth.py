"""Placed and routed figures of a package: Yosys and nextpnr, their progress and their logs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, ClassVar

from ...aliases import Progress
from ...errors import ToolError
from ...values import LARGEST_SEED, integer, number, one_of
from .. import tools
from ..images import check_changed
from ..package_files import PackageFiles
from ..workplace import plain_directory
from .devices import DEVICES, Device
from .harness import NAME, harness, ports_of
from .results import critical_path, resources, totals

TARGET_MHZ = 150
"""Clock that placement and routing strive for."""
SEED = 1
"""The seed of the first placement."""

_PORTS = "read_verilog {sources}; hierarchy -top {top}; proc; write_json ports.json"
_SYNTHESIS = (
    "read_verilog {sources} pins.v; {synth} -top {pins} -json netlist.json; tee -q -o stat.txt stat"
)


def synthesize(
    package: PackageFiles,
    device_name: str,
    target_mhz: float = TARGET_MHZ,
    seed: int = SEED,
    tries: int = 1,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Synthesize, place and route a package; the result is in results/synth-DEVICE.json too.

    Placement depends on its seed as on a throw of dice: the best of ``tries`` seeds, from ``seed``
    on, is kept.

    Raises UserError for an unknown device, a clock, a seed or tries that can not be, a missing
    tool, or a memory image that is missing or damaged; ToolError where a tool fails.
    """
    say = progress or (lambda text: None)
    device = DEVICES[one_of("--device", device_name, tuple(DEVICES))]
    target_mhz = number("--freq", target_mhz, 1, 1000, "MHz as a target")
    seed = integer("--seed", seed, 0, LARGEST_SEED)
    tries = integer("--tries", tries, 1, 100)
    yosys, nextpnr = tools.yosys(), tools.nextpnr(device.family)
    for tool in (yosys, nextpnr):
        tool.require()
    changed = package.changed()
    check_changed(package, changed)
    with plain_directory() as work:
        sources = _sources(package, device, work)
        begin = time.monotonic()
        ports = _PORTS.format(sources=sources, top="top")
        _call([yosys.require(), "-p", ports], work, "yosys", _YosysProgress(say))
        pins = harness("top", ports_of((work / "ports.json").read_text(), "top"))
        (work / "pins.v").write_text(pins)
        script = _SYNTHESIS.format(sources=sources, synth=device.synth, pins=NAME)
        _call([yosys.require(), "-p", script], work, "yosys", _YosysProgress(say))
        netlist = json.loads((work / "netlist.json").read_text())
        say(f"{device.improve(netlist, NAME)} registers of block RAMs used")
        (work / "netlist.json").write_text(json.dumps(netlist))
        synthesized = time.monotonic()
        reports = {
            number: _route(nextpnr, device, work, target_mhz, number, say)
            for number in range(seed, seed + tries)
        }
        routed = time.monotonic()
    placed = {number: totals(report, device) for number, report in reports.items()}
    best = max(placed, key=lambda number: placed[number]["fmax_mhz"])
    report = reports[best]
    result: dict[str, Any] = {
        "device": device.name,
        **placed[best],
        "layers": resources(netlist, NAME, device),
        "critical_path": critical_path(report),
        "target_mhz": target_mhz,
        "seed": best,
        "fmax_mhz_of_seeds": {str(number): placed[number]["fmax_mhz"] for number in placed},
        "tools": {tool.name: tool.version for tool in (yosys, nextpnr)},
        "seconds": {
            "synthesis": round(synthesized - begin, 1),
            "place_and_route": round(routed - synthesized, 1),
        },
        "changed": changed,
    }
    package.write_result(f"synth-{device.name}", result)
    return result


def _route(
    nextpnr: tools.Tool, device: Device, work: Path, target_mhz: float, seed: int, say: Progress
) -> dict[str, Any]:
    """Place and route the netlist; returns nextpnr's report."""
    command = [
        nextpnr.require(), *device.options, "--json", "netlist.json", "--report", "report.json",
        "--freq", str(target_mhz), "--seed", str(seed), "--router", "router2",
        "--placer-heap-timingweight", "30", "--lpf-allow-unconstrained", "--timing-allow-fail",
    ]  # fmt: skip
    _call(command, work, f"nextpnr-{device.family}", _NextpnrProgress(say))
    return json.loads((work / "report.json").read_text())


def _sources(package: PackageFiles, device: Device, work: Path) -> str:
    """Copy what is synthesized; the device's primitives take the place of the generic ones."""
    own = Path(__file__).parent / device.primitives
    names = []
    # Relative paths: the tools from PyPI see their working directory alone.
    for file in sorted((package.path / "rtl").glob("*.v")):
        native = own / file.name
        shutil.copy2(native if native.exists() else file, work / file.name)
        names.append(file.name)
    shutil.copytree(package.path / "mem", work / "mem")
    return " ".join(names)


class _YosysProgress:
    """Says each pass that Yosys begins."""

    _PASS = re.compile(r"^[\d.]+ Executing (\w+) (?:pass|command|backend|frontend)")

    def __init__(self, say: Progress) -> None:
        self.say = say

    def __call__(self, line: str) -> None:
        found = self._PASS.match(line)
        if found:
            self.say(f"yosys: {found[1].lower()}")
        elif line.startswith("Preparing to run"):
            self.say("compiling Yosys, once (three minutes)")


class _NextpnrProgress:
    """Says the stage of nextpnr."""

    _STAGES: ClassVar[dict[str, str]] = {
        "Info: Packing": "packing",
        "Info: Creating initial": "placing",
        "Info: Running simulated": "refining the placement",
        "Info: Running router2": "routing",
        "Preparing to run": "compiling nextpnr, once",
    }

    def __init__(self, say: Progress) -> None:
        self.say = say

    def __call__(self, line: str) -> None:
        for start, stage in self._STAGES.items():
            if line.startswith(start):
                self.say(f"nextpnr: {stage}")
        iteration = re.match(r"Info:\s+iter=(\d+)", line)
        if iteration:
            self.say(f"nextpnr: routing, pass {iteration[1]}")


def _call(command: list[str], work: Path, name: str, watch: Progress) -> None:
    """Run a tool, line by line. Raises ToolError with the last lines; the log is kept."""
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                watch(line)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        kept = tools.cache_directory("logs") / f"{name}.log"
        kept.write_text("".join(lines))
        tail = "".join(lines[-8:]).rstrip()
        raise ToolError(f"{name} failed (exit code {process.returncode}):\n{tail}\nlog: {kept}")
