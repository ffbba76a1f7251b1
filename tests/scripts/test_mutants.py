"""The list of mutants does not rot, and some of them are caught here; all by scripts/mutants.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from mutants import all_mutations, run  # noqa: E402

MUTATIONS = all_mutations()

QUICK = ("golden wraps where it saturates", "half away rounds half up", "dropped TLAST")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_the_place_is_there(mutation) -> None:
    file = ROOT / mutation.file
    assert mutation.applied(file.read_text()) != file.read_text()
    assert all((ROOT / test.split("::")[0]).exists() for test in mutation.tests)


@pytest.mark.parametrize("name", QUICK)
def test_caught(name: str) -> None:
    mutation = next(m for m in MUTATIONS if m.name == name)
    caught, _ = run(mutation, timeout=300)
    assert caught
