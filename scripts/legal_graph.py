#!/usr/bin/env python3
"""The rules of the legal graph as a table: docs/legal_graph.md.

Prints it; ``--write`` puts it between its marks in the document.
"""

from __future__ import annotations

import argparse

from script import ROOT, put, run

from hwgen.ir import Op, legal
from hwgen.passes import LEAVES, PASSES

DOCUMENT = ROOT / "docs" / "legal_graph.md"


def table() -> str:
    """A row for each rule: the layers, what holds of them, the pass that brings it about."""
    names = {step: name for name, step in PASSES}
    left = {rule: names[step] for step, rules in LEAVES.items() for rule in rules}
    lines = ["| layers | rule | left by the pass |", "|---|---|---|"]
    for rule in legal.RULES:
        kinds = "every layer" if Op in rule.ops else ", ".join(op.__name__ for op in rule.ops)
        lines.append(
            f"| {kinds or 'the graph'} | {rule.sentence} | {left.get(rule, 'each of them')} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/legal_graph.md")
    if not parser.parse_args().write:
        print(table(), end="")
        return
    put(DOCUMENT, "rules", "scripts/legal_graph.py", table())


if __name__ == "__main__":
    run(main)
