#!/usr/bin/env python3
"""The tables of the tiled engine's instruction set: docs/engine_isa.md.

Prints them; ``--write`` puts them between their marks in the document.
"""

from __future__ import annotations

import argparse

from script import ROOT, put, run

from hwgen.contract.isa_tables import codes, records

DOCUMENT = ROOT / "docs" / "engine_isa.md"


def main() -> None:
    """Print or write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/engine_isa.md")
    given = parser.parse_args()
    for mark, text in (("codes", codes()), ("records", records())):
        if given.write:
            put(DOCUMENT, mark, "scripts/engine_isa.py", text)
        else:
            print(text)


if __name__ == "__main__":
    run(main)
