"""hwgen report: the report of a package, written again."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..archs.package import Package
from ..archs.reporting import write_report
from ..console import Output

TEXT = "write report.json and report.html of a package again"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """What the command takes."""
    sub.add_argument("package", type=Path, metavar="DIR")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Do it. Returns the exit code."""
    report = write_report(Package.open(arguments.package))
    output.say(f"{arguments.package / 'report.html'}")
    output.json(report)
    return 0
