"""hwgen doctor: the tools that are there."""

from __future__ import annotations

import argparse

from ..console import Output
from ..flow import tools

TEXT = "which tools are there, which version, what to install"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Declare nothing: the command has no arguments of its own."""


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Carry out the command. Returns the exit code."""
    found = [tool() for tool in tools.TOOLS]
    rows = [
        [tool.name, "yes" if tool.found else "NO", tool.version, tool.use,
         "" if tool.found else tool.install]
        for tool in found
    ]  # fmt: skip
    output.table("tools", ["tool", "there", "version", "use", "to install"], rows)
    output.json(
        [
            {"name": t.name, "found": t.found, "path": t.path, "version": t.version, "use": t.use,
             "install": t.install}
            for t in found
        ]
    )  # fmt: skip
    return 0
