"""Options of the tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """--fuzz N : random networks that go through Icarus."""
    parser.addoption("--fuzz", type=int, default=18, help="random networks through Icarus")


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """The path of a file that the project does not ship, under HWGEN_SHARED; skips without it."""
    root = Path(os.environ.get("HWGEN_SHARED", Path(__file__).parents[2] / "shared"))

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"{name} is not there (HWGEN_SHARED)")
        return root / name

    return find
