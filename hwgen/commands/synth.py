"""hwgen synth: cells and clock of a package on a device."""

from __future__ import annotations

import argparse

from .. import api
from ..archs.package import Package
from ..console import Output
from ..flow.fpga import DEVICES
from ..flow.fpga.synth import SEED, TARGET_MHZ
from .arguments import add_package, number, whole

TEXT = "synthesis, placement and routing for an FPGA"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_package(sub)
    sub.add_argument("--device", required=True, metavar="NAME", help=", ".join(DEVICES))
    sub.add_argument("--freq", type=number, default=TARGET_MHZ, metavar="MHZ", help="to strive for")
    sub.add_argument("--seed", type=whole, default=SEED, help="of placement")
    sub.add_argument(
        "--tries", type=whole, default=1, metavar="N", help="the best of N seeds from --seed on"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do it. Returns the exit code."""
    package = Package.open(arguments.package)
    with output.steps() as say:
        result = api.synthesize(
            package, arguments.device, arguments.freq, arguments.seed, arguments.tries, say
        )
    kinds = ("lut", "ff", "dsp", "bram")
    output.table(
        f"cells of {arguments.device}, as synthesized",
        ["layer", *kinds],
        [[layer, *(counts[k] for k in kinds)] for layer, counts in result["layers"].items()],
    )
    placed = ", ".join(f"{result[kind]:,} {kind}" for kind in kinds)
    output.say(f"placed: {placed}; {result['fmax_mhz']:.1f} MHz routed")
    path = " -> ".join(f"{step['layer']} {step['ns']:.1f} ns" for step in result["critical_path"])
    output.say(f"critical path: {path}")
    output.json(result)
    return 0
