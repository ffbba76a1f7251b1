"""The project's own files agree with each other."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from hwgen import aliases

ROOT = Path(__file__).parents[1]
NAMES = {"hwgen": "hwgen", "sim": "hwgen_sim", "boards": "hwgen_boards"}


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = set()
    for folder, name in NAMES.items():
        for file in (ROOT / folder).rglob("*.py"):
            parts = file.parent.relative_to(ROOT / folder).parts
            found.add(".".join([name, *parts]))
    assert set(listed) == found


def tracked() -> list[Path]:
    run = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in run.stdout.splitlines() if (ROOT / line).exists()]


def test_nothing_large_or_generated_is_tracked() -> None:
    files = tracked()
    assert not [f for f in files if f.stat().st_size > 1_000_000]
    generated = {f.name for f in files if f.parent == ROOT / "rtl_out"}
    assert generated == {"README.md", ".gitignore"}
    assert not [f for f in files if f.suffix == ".pkl"]


def test_links_between_documents_lead_somewhere() -> None:
    import re

    found = 0
    for file in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"
            found += 1
    assert found > 10


FRAGMENTS = (
    "Of ", "For ", "From ", "With ", "By ", "To ", "Behind ", "In ", "On ", "At ", "Likewise",
    "All of", "Those ", "So that", "Do it",
)  # fmt: skip
"""How docstrings begin that are no sentence and no name of what there is."""


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    """Lines and texts of a module's docstrings, and whether it is one of what is assigned."""
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            continue
        if text := ast.get_docstring(node):
            yield getattr(node, "lineno", 1), text, False
        for before, text in pairwise(node.body):
            assigned = isinstance(before, (ast.Assign, ast.AnnAssign))
            if assigned and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                yield text.lineno, str(text.value.value), True


def test_docstrings_are_no_fragments() -> None:
    wrong, seen = [], 0
    for file in (ROOT / "hwgen").rglob("*.py"):
        for line, text, assigned in docstrings(ast.parse(file.read_text())):
            seen += 1
            # Of a function the name of what it imports says enough, of a value a unit does not.
            if text.startswith(FRAGMENTS) or (assigned and len(text.split()) < 2):
                wrong.append(f"{file.relative_to(ROOT)}:{line} {text.splitlines()[0]}")
    assert not wrong, "\n".join(wrong)
    assert seen > 2500


def test_names_of_types_that_rooms_share_are_defined_once() -> None:
    tree = ast.parse(Path(aliases.__file__).read_text())
    shared = {ast.unparse(node.targets[0]) for node in tree.body if isinstance(node, ast.Assign)}
    assert "Array" in shared and "Progress" in shared
    wrong = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in (ROOT / "hwgen").rglob("*.py")
        if file != Path(aliases.__file__)
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.Assign) and shared & {ast.unparse(t) for t in node.targets}
    ]
    assert not wrong, "\n".join(wrong)


DECLARATIONS = {"engine/fetch/descriptor_layout.py", "engine/memory/feature_ports.py"}
"""Layouts and signatures: nothing happens in these."""


def test_every_module_of_gateware_is_tested_in_its_room() -> None:
    """A test file has its name, or one of the folder that mirrors its room imports it, or a fault
    in it is known that a named test catches (see mutants.py there)."""
    missing, seen = [], 0
    for file in sorted((ROOT / "hwgen" / "gateware").rglob("*.py")):
        module = file.relative_to(ROOT).with_suffix("")
        folder = ROOT / "tests" / module.parent.relative_to("hwgen")
        path = file.relative_to(ROOT / "hwgen" / "gateware").as_posix()
        if file.name == "__init__.py" or path in DECLARATIONS:
            continue
        seen += 1
        others = "\n".join(other.read_text() for other in folder.glob("*.py"))
        named = (".".join(module.parts) + " import", f'"{module}.py"')
        if not ((folder / f"test_{file.name}").exists() or any(n in others for n in named)):
            missing.append(str(module))
    assert not missing
    assert seen > 50
