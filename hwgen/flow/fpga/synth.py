"""Placed and routed figures of a package: Yosys and nextpnr, their progress and their logs."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
from .products import MULTIPLIER, without_block
from .results import critical_path, resources, totals
from .routing import ROUTERS, Convergence, Router, Stalled
from .watched import call

TARGET_MHZ = 150
"""Clock that placement and routing strive for."""
SEED = 1
"""The seed of the first placement."""

_READ = "read_verilog {sources}\n{black_box}\nhierarchy -top {top}\nproc\n"
"""Reads a design whose multipliers stay what they are: cells with parameters."""
_BLACK_BOX = f"read_verilog -lib {MULTIPLIER}.v"
_PORTS = _READ + "write_json ports.json\n"
_SYNTHESIS = "read_verilog {sources}\n"
_WITH_TABLES = f"""\
{_READ}flatten
setparam -set TABLES 1 {{cells}}
delete ={MULTIPLIER}
read_verilog {MULTIPLIER}.v
hierarchy -top {{top}}
"""
_NO_ROUTE = """\
no router found a way for all signals on {}:
{}
a smaller design (--array, --multipliers), a larger device, a lower clock (--freq) or another seed \
(--seed) may be routed"""
_FINISH = """\
hierarchy -top {top}
proc
flatten
opt_expr
opt_clean
wreduce
opt_clean
techmap -map {adders}
{synth} -top {top} -json netlist.json
tee -q -o stat.txt stat
"""
_ADDERS = "adders.v"
"""The file among those of a device's cells that says how it adds."""


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
        begin = time.monotonic()
        netlist, tables = _netlist(package, device, yosys, work, say)
        synthesized = time.monotonic()
        seeds = range(seed, seed + tries)
        routed = list(_routed(nextpnr, device, work, target_mhz, seeds, say))
        end = time.monotonic()
    best = max(routed, key=lambda one: one.totals["fmax_mhz"])
    result: dict[str, Any] = {
        "device": device.name,
        **best.totals,
        "layers": resources(netlist, NAME, device),
        "critical_path": critical_path(best.report),
        "lut_multipliers": tables,
        "target_mhz": target_mhz,
        "seed": best.seed,
        "fmax_mhz_of_seeds": {str(one.seed): one.totals["fmax_mhz"] for one in routed},
        "router": best.convergence.router.name,
        "convergence": best.convergence.steps,
        "tools": {tool.name: tool.version for tool in (yosys, nextpnr)},
        "seconds": {
            "synthesis": round(synthesized - begin, 1),
            "place_and_route": round(end - synthesized, 1),
        },
        "changed": changed,
    }
    package.write_result(f"synth-{device.name}", result)
    return result


def _netlist(
    package: PackageFiles, device: Device, yosys: tools.Tool, work: Path, say: Progress
) -> tuple[dict[str, Any], int]:
    """Synthesize; the netlist is in netlist.json too. With it comes how many products are tables:
    those of more products than the device has DSP blocks."""
    names = _sources(package, device, work)
    multiplier = f"{MULTIPLIER}.v"
    design = {
        "sources": " ".join(name for name in names if name != multiplier),
        "black_box": _BLACK_BOX if multiplier in names else "",
    }
    _yosys(yosys, _PORTS.format(top="top", **design), work, "ports.ys", say)
    ports = (work / "ports.json").read_text()
    (work / "pins.v").write_text(harness("top", ports_of(ports, "top")))
    tables = without_block(json.loads(ports)["modules"], "top", device)
    if tables:
        say(f"products made of tables: {len(tables)}; {device.name} has {device.blocks} DSP blocks")
        cells = " ".join(f"{NAME}/dut.{name}" for name in tables)
        design["sources"] += " pins.v"
        read = _WITH_TABLES.format(top=NAME, cells=cells, **design)
    else:
        read = _SYNTHESIS.format(sources=" ".join([*names, "pins.v"]))
    finish = _FINISH.format(synth=device.synth, top=NAME, adders=_ADDERS)
    _yosys(yosys, read + finish, work, "synthesis.ys", say)
    netlist = json.loads((work / "netlist.json").read_text())
    for what, improve in device.improve.items():
        say(f"{improve(netlist, NAME)} {what}")
    (work / "netlist.json").write_text(json.dumps(netlist))
    return netlist, len(tables)


def _yosys(yosys: tools.Tool, script: str, work: Path, name: str, say: Progress) -> None:
    (work / name).write_text(script)
    call([yosys.require(), "-s", name], work, "yosys", _YosysProgress(say))


@dataclass(frozen=True)
class _Routed:
    """What became of one seed: nextpnr's report, what it says in all, how the router came there."""

    seed: int
    report: dict[str, Any]
    totals: dict[str, Any]
    convergence: Convergence


def _routed(
    nextpnr: tools.Tool, device: Device, work: Path, target_mhz: float, seeds: Iterable[int],
    say: Progress,
) -> Iterator[_Routed]:  # fmt: skip
    """Place and route the netlist with each seed that a router finds a way for.

    A router that has stalled before it routed any seed is not tried again: it took minutes. Raises
    ToolError where no seed is routed.
    """
    routers, stalls, routed = list(ROUTERS), [], set[Router]()
    for seed in seeds:
        for router in list(routers):
            convergence = Convergence(router)
            try:
                _route(nextpnr, device, work, target_mhz, seed, convergence, say)
            except Stalled as stall:
                stalls.append(f"seed {seed}: {stall}")
                say(f"nextpnr: {stall}")
                if router not in routed:
                    routers.remove(router)
                continue
            routed.add(router)
            report = json.loads((work / "report.json").read_text())
            yield _Routed(seed, report, totals(report, device), convergence)
            break
    if not routed:
        raise ToolError(_NO_ROUTE.format(device.name, "\n".join(stalls)))


def _route(
    nextpnr: tools.Tool, device: Device, work: Path, target_mhz: float, seed: int,
    convergence: Convergence, say: Progress,
) -> None:  # fmt: skip
    """Place and route the netlist with one router. Raises Stalled where it gets no further."""
    command = [
        nextpnr.require(), *device.options, "--json", "netlist.json", "--report", "report.json",
        "--freq", str(target_mhz), "--seed", str(seed), *convergence.router.options,
        "--lpf-allow-unconstrained", "--timing-allow-fail",
    ]  # fmt: skip
    call(command, work, f"nextpnr-{device.family}", _NextpnrProgress(say, convergence))


def _sources(package: PackageFiles, device: Device, work: Path) -> list[str]:
    """Copy what is synthesized; the device's primitives take the place of the generic ones."""
    own = Path(__file__).parent / device.primitives
    names = []
    # Relative paths: the tools from PyPI see their working directory alone.
    for file in sorted((package.path / "rtl").glob("*.v")):
        native = own / file.name
        shutil.copy2(native if native.exists() else file, work / file.name)
        names.append(file.name)
    shutil.copy2(own / _ADDERS, work / _ADDERS)
    shutil.copytree(package.path / "mem", work / "mem")
    return names


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
    """Says the stage of nextpnr, and of its router how far it is."""

    _STAGES: ClassVar[dict[str, str]] = {
        "Info: Packing": "packing",
        "Info: Creating initial": "placing",
        "Info: Running simulated": "refining the placement",
        "Info: Running router2": "routing",
        "Info: Routing..": "routing",
        "Preparing to run": "compiling nextpnr, once",
    }

    def __init__(self, say: Progress, convergence: Convergence) -> None:
        self.say, self.convergence = say, convergence

    def __call__(self, line: str) -> None:
        for start, stage in self._STAGES.items():
            if line.startswith(start):
                self.say(f"nextpnr: {stage}")
        reached = self.convergence.read(line)
        if reached:
            self.say(f"nextpnr: routing, {reached}")
