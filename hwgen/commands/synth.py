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
    """Declare the command's arguments."""
    add_package(sub)
    sub.add_argument(
        "--device", required=True, metavar="NAME", help=f"the FPGA: {', '.join(DEVICES)}"
    )
    sub.add_argument(
        "--freq", type=number, default=TARGET_MHZ, metavar="MHZ",
        help=f"clock that placement and routing strive for (default {TARGET_MHZ:g})",
    )  # fmt: skip
    sub.add_argument(
        "--seed", type=whole, default=SEED, metavar="N",
        help=f"where the search for a placement begins (default {SEED})",
    )  # fmt: skip
    sub.add_argument(
        "--tries", type=whole, default=1, metavar="N",
        help="place with N seeds, from --seed on, and keep the best (default 1)",
    )  # fmt: skip


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Carry out the command. Returns the exit code."""
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
    if result["lut_multipliers"]:
        output.say(f"multipliers without a DSP block, of lut: {result['lut_multipliers']}")
    path = " -> ".join(f"{step['layer']} {step['ns']:.1f} ns" for step in result["critical_path"])
    output.say(f"critical path: {path}")
    output.json(result)
    return 0
