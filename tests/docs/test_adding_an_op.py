"""In how many files an op is named: the document's numbers, counted."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import hwgen

ROOT = Path(hwgen.__file__).parent
DOCUMENT = (ROOT.parent / "docs" / "adding_an_op.md").read_text()

NAMES = {
    "Slice": {"Slice", "SliceRule", "CropUnit", "Crop"},
    "Upsample": {"Upsample", "UpsampleRule", "UpsampleUnit"},
    "Softmax": {"Softmax", "SoftmaxRule", "SoftmaxUnit"},
}
"""Of each op its class, its rule, its unit and the unit's gateware, which may have one name."""


def identifiers(text: str) -> set[str]:
    """Names that a file's code defines, imports or uses; no strings, no comments."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, (ast.alias, ast.ClassDef)):
            found.add(node.name)
    return found


@pytest.fixture(scope="module")
def named() -> dict[str, list[str]]:
    """For each op the files that name it."""
    found: dict[str, list[str]] = {op: [] for op in NAMES}
    for file in sorted(ROOT.rglob("*.py")):
        text = file.read_text()
        if any(name in text for names in NAMES.values() for name in names):
            names = identifiers(text)
            for op, files in found.items():
                if names & NAMES[op]:
                    files.append(str(file.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("op", NAMES)
def test_the_number_of_files_is_right(op: str, named: dict[str, list[str]]) -> None:
    row = re.search(rf"^\| `{op}` \| (\d+) \(\d+\) \| (\d+) \(\d+\) \|$", DOCUMENT, re.M)
    assert row is not None
    planned = [f for f in named[op] if f.startswith("plan/dataflow/")]
    assert (int(row[1]), int(row[2])) == (len(named[op]), len(planned)), "\n".join(named[op])


def test_every_file_that_the_document_names_exists() -> None:
    names = re.findall(r"`((?:hwgen|tests|docs|scripts)/[\w/.]+)`", DOCUMENT)
    assert len(names) > 15
    assert [name for name in names if not (ROOT.parent / name).exists()] == []


def test_every_file_that_names_the_example_is_in_a_step(named: dict[str, list[str]]) -> None:
    assert [f for f in named["Upsample"] if f"`hwgen/{f}`" not in DOCUMENT] == []
