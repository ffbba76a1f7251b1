"""Rooms import only what stands above them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import hwgen

ROOT = Path(hwgen.__file__).parent
COMMON = {"descriptors", "errors", "geometry", "validation"}
"""Plain definitions that every room may use."""

ABOVE = {
    "numeric": set(),
    "ir": {"numeric"},
    "importers": {"ir", "numeric"},
    "passes": {"ir", "numeric"},
    "plan": {"ir", "numeric"},
    "gateware": {"numeric.types", "numeric.powers"},
    "archs": {"plan", "gateware", "ir", "numeric"},
    "emit": {"archs", "plan", "passes", "gateware", "ir", "numeric"},
    "flow": {"emit", "archs", "plan", "ir", "numeric"},
    "report": {"flow", "emit", "plan", "ir"},
}
"""What each room may import. Gateware takes types only, so that model and RTL share no bug."""


def imports(file: Path) -> Iterator[str]:
    """Absolute dotted names of everything in hwgen that a file imports."""
    package = ["hwgen", *file.relative_to(ROOT).with_suffix("").parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("hwgen."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "hwgen":
                yield from (f"hwgen.{alias.name}" for alias in node.names)
            elif module.startswith("hwgen."):
                yield module


def test_every_room_is_listed() -> None:
    rooms = {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()}
    assert rooms - {"models", "commands"} == set(ABOVE)


def test_rooms_import_only_what_stands_above() -> None:
    wrong = []
    for room, allowed in ABOVE.items():
        for file in (ROOT / room).rglob("*.py"):
            for name in imports(file):
                inner = name.removeprefix("hwgen.")
                top = inner.split(".")[0]
                if top in COMMON | {room} or top in allowed or inner in allowed:
                    continue
                wrong.append(f"{file.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_common_definitions_stand_on_nothing() -> None:
    """But on what an error is."""
    for name in COMMON:
        assert set(imports(ROOT / f"{name}.py")) <= {"hwgen.errors"}


def test_names_of_ops_are_no_strings_elsewhere() -> None:
    from hwgen.ir import OPS

    # Kinds of units, a function exported under its name and a part of a word are other things of
    # the same name.
    homonyms = {
        "dense",
        "argmax",
        "softmax",
        "requantize",
        "add",
        "concat",
        "mul",
        "staircase",
        "cast",
        "pad",
        "upsample",
        "slice",
    }
    wrong = []
    for file in ROOT.rglob("*.py"):
        # A package's check.py reads JSON without hwgen.
        rooms = ("ir/ops", "importers", "emit/templates")
        if any(file.is_relative_to(ROOT / room) for room in rooms):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and node.value in set(OPS) - homonyms:
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.value!r}")
    assert not wrong, "\n".join(wrong)
