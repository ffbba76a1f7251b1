"""hwgen inspect on networks of every form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwgen.cli import main

FIXTURES = Path(__file__).parents[1] / "importers" / "fixtures"
FILES = sorted(path.name for path in FIXTURES.iterdir() if path.suffix in (".h5", ".keras"))
PLANNED = [name for name in FILES if "weights" not in name and name != "float_model.h5"]


@pytest.mark.parametrize("name", PLANNED)
def test_plans_can_be_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["inspect", str(FIXTURES / name), "--plan", "--multipliers", "40"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["layers"] and value["plan"]["units"]
    assert all(layer["name"] in shown for layer in value["layers"])
    assert all(unit["name"] in shown for unit in value["plan"]["units"])
