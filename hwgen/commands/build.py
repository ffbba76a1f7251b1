"""hwgen build: a model file becomes a package."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import api
from ..console import Output
from ..report.summary import summary
from .arguments import add_architecture, add_budget, add_model, architecture, input_type, unused

TEXT = "model file to package: Verilog, memory images, bench, report"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_model(sub)
    sub.add_argument("--out", required=True, type=Path, metavar="DIR")
    add_budget(sub, with_file=True)
    add_architecture(sub)
    sub.add_argument("--c", action="store_true", help="also C99 code of the network")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do it. Returns the exit code."""
    with output.steps() as say:
        package = api.build(
            arguments.model, arguments.out, arguments.multipliers, arguments.interval,
            arguments.plan, input_type(arguments), arguments.runtime,
            arguments.tail, say, arguments.c, **architecture(arguments),
        )  # fmt: skip
    report = summary(package)
    cycles = report["cycles"]
    output.say(
        f"{arguments.out}: {report['multipliers']} multipliers, a frame every "
        f"{cycles['interval_estimate']} cycles (bound {cycles['interval_bound']}), "
        f"latency {cycles['latency_estimate']}, {report['memory_bits']:,} bits of memory"
    )
    note = unused(package.any_plan, arguments, output)
    output.say(f"next: hwgen verify {arguments.out}")
    output.json(report | note)
    return 0
