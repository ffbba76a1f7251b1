"""hwgen report: the report of a package, written again."""

from __future__ import annotations

import argparse

from ..archs.package import Package
from ..archs.reporting import write_report
from ..console import Output
from .arguments import add_package

TEXT = "write report.json and report.html of a package again"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_package(sub)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Carry out the command. Returns the exit code."""
    report = write_report(Package.open(arguments.package))
    output.say(f"{arguments.package / 'report.html'}")
    output.json(report)
    return 0
