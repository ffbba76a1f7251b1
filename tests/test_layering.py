"""Rooms import only what stands above them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import hwgen

ROOT = Path(hwgen.__file__).parent
COMMON = {"aliases", "caches", "errors", "identifiers", "tables", "validation", "values"}
"""Plain definitions that every room may use."""

ABOVE = {
    "numeric": set(),
    "contract": {"numeric"},
    "ir": {"numeric"},
    "importers": {"ir", "numeric"},
    "passes": {"ir", "numeric"},
    "plan": {"contract", "ir", "numeric"},
    "gateware": {"contract.engine", "contract.features", "contract.geometry", "contract.isa",
                 "numeric.division", "numeric.powers", "numeric.types"},
    "emit": {"plan", "passes", "gateware", "contract", "ir", "numeric"},
    "flow": {"emit", "plan", "contract", "ir", "numeric"},
    "report": {"flow", "emit", "plan", "ir", "numeric"},
    "archs": {"report", "flow", "emit", "plan", "passes", "gateware", "contract", "ir", "numeric"},
    "api": {"archs", "flow", "emit", "plan", "passes", "importers", "ir", "numeric"},
    "console": set(),
    "commands": {"api", "console", "archs", "report", "flow", "emit", "plan", "passes", "importers",
                 "ir", "numeric"},
    "cli": {"commands", "console", "hwgen"},
    "entry": {"cli"},
    "__main__": {"entry"},
}  # fmt: skip
"""What each room may import, and each file beside the rooms.

Gateware takes definitions only, neither golden arithmetic nor the engine's functional model, so
that model and RTL share no bug.
"""

INSIDE = {
    "gateware.common": set(),
    "gateware.bus": {"gateware.common"},
    "gateware.stream": {"gateware.bus", "gateware.common"},
    "gateware.engine": {"gateware.bus", "gateware.common"},
    "plan.dataflow": set(),
    "plan.tiled": set(),
    "plan.tiled.timing": set(),
    "plan.tiled.network": {"plan.tiled.timing"},
    "plan.tiled.mapping": {"plan.tiled.network", "plan.tiled.timing"},
    "plan.tiled.schedule": {"plan.tiled.mapping", "plan.tiled.network", "plan.tiled.timing"},
    "archs.dataflow": set(),
    "archs.tiled": set(),
}
"""What parts of rooms may import of their own room's parts; files that are no parts are free."""


def imports(file: Path) -> Iterator[str]:
    """Absolute dotted names of everything in hwgen that a file imports, also by name at run time.

    Of a name that is imported from a package whose module it is, the module's.
    """
    package = ["hwgen", *file.relative_to(ROOT).with_suffix("").parts[:-1]]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("hwgen."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == "hwgen" or module.startswith("hwgen."):
                yield from (_module(module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in ("import_module", "__import__"):
            (first, *_) = node.args
            assert isinstance(first, ast.Constant), f"{file}:{node.lineno} imports what is computed"
            yield first.value


def _module(package: str, name: str) -> str:
    """The module that ``from package import name`` takes in."""
    folder = ROOT.parent.joinpath(*package.split("."))
    inner = (folder / f"{name}.py").exists() or (folder / name / "__init__.py").exists()
    return f"{package}.{name}" if inner else package


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def within(name: str, rooms: set[str]) -> bool:
    """Whether a module is in one of the rooms, or is one."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def test_every_room_is_listed() -> None:
    rooms = {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()}
    files = {p.stem for p in ROOT.glob("*.py")}
    assert (rooms | files) - {"models", "__init__"} - COMMON == set(ABOVE)
    parts = {
        str(p.parent.relative_to(ROOT)).replace("/", ".")
        for room in ("gateware", "plan", "archs")
        for p in (ROOT / room).glob("*/__init__.py")
    }
    assert parts <= set(INSIDE)


def test_rooms_import_only_what_stands_above() -> None:
    wrong, seen = [], 0
    for room, allowed in ABOVE.items():
        for file in [*(ROOT / room).rglob("*.py"), *ROOT.glob(f"{room}.py")]:
            for name in imports(file):
                inner = name.removeprefix("hwgen.")
                seen += 1
                if not within(inner, COMMON | {room} | allowed):
                    wrong.append(f"{file.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)
    assert seen > 500


def test_parts_of_rooms_import_only_what_stands_above() -> None:
    wrong, seen = [], 0
    for part, allowed in INSIDE.items():
        room = part.split(".")[0]
        others = {p for p in INSIDE if p.startswith(room) and not within(part, {p})} - allowed
        for file in ROOT.joinpath(*part.split(".")).rglob("*.py"):
            for name in imports(file):
                inner = name.removeprefix("hwgen.")
                seen += 1
                if within(inner, others) and not within(inner, {part}):
                    wrong.append(f"{file.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)
    assert seen > 300


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
        "softmax_table",
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
