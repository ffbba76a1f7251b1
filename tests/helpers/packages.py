"""A small model whose package is built in a second: the example of docs/model_format.md."""

from __future__ import annotations

import re
from pathlib import Path

import hwgen
from hwgen.archs.package import Package

DOCUMENT = Path(__file__).parents[2] / "docs" / "model_format.md"


def tiny_model(folder: Path) -> Path:
    """Write the documented example as ``folder``/tiny.json."""
    found = re.search(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)
    assert found, f"{DOCUMENT} has no example"
    path = folder / "tiny.json"
    path.write_text(found[1], encoding="utf-8")
    return path


def tiny_package(folder: Path, multipliers: int = 4) -> Package:
    """Build it as ``folder``/tiny."""
    return hwgen.build(tiny_model(folder), folder / "tiny", multipliers=multipliers)
