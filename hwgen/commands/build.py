"""hwgen build: a model file becomes a package."""

from __future__ import annotations

import argparse

from .. import api
from ..archs.reporting import report_of
from ..console import Output
from ..report.command_lines import command_line
from .arguments import add_model, add_plan, input_type, place, planning, say_limits, unused

TEXT = "model file to package: Verilog, memory images, bench, report"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_model(sub)
    sub.add_argument(
        "--out", required=True, type=place, metavar="DIR", help="directory of the package"
    )
    add_plan(sub, with_file=True)
    sub.add_argument("--c", action="store_true", help="write C99 code of the network too")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Carry out the command. Returns the exit code."""
    with output.steps() as say:
        package = api.build(
            arguments.model, arguments.out, plan_file=arguments.plan,
            input_type=input_type(arguments), runtime=arguments.runtime, tail=arguments.tail,
            progress=say, c=arguments.c, **planning(arguments),
        )  # fmt: skip
    report = report_of(package)
    cycles = report["cycles"]
    output.say(
        f"{arguments.out}: {report['multipliers']} multipliers, a frame every "
        f"{cycles['interval_estimate']} cycles (bound {cycles['interval_bound']}), "
        f"latency {cycles['latency_estimate']}, {report['memory_bits']:,} bits of memory"
    )
    told = package.architecture.told(package.plan)
    if told is not None:
        output.say(told)
    limits = say_limits(package.graph, arguments.input_type, output)
    note = unused(package.plan, arguments, output)
    output.say(f"next: {command_line('verify', arguments.out)}")
    output.json(report | note | limits)
    return 0
