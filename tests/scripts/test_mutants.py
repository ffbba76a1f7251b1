"""The list of mutants does not rot, and some of them are caught here; all by scripts/mutants.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from mutants import Copy, all_mutations  # noqa: E402

MUTATIONS = all_mutations()

QUICK = ("golden wraps where it saturates", "half away rounds half up", "dropped TLAST")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_the_place_is_there(mutation) -> None:
    file = ROOT / mutation.file
    assert mutation.applied(file.read_text()) != file.read_text()
    assert all((ROOT / test.split("::")[0]).exists() for test in mutation.tests)


def test_caught(tmp_path: Path) -> None:
    """One after the other in one copy: each fault is gone before the next one comes."""
    copy = Copy(tmp_path / "copy")
    for name in QUICK:
        mutation = next(m for m in MUTATIONS if m.name == name)
        caught, _ = copy.run(mutation, timeout=300)
        assert caught, name
        assert (copy.folder / mutation.file).read_bytes() == (ROOT / mutation.file).read_bytes()
