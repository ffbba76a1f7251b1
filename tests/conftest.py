"""Options of the tests."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """--fuzz N : random networks that go through Icarus."""
    parser.addoption("--fuzz", type=int, default=18, help="random networks through Icarus")
