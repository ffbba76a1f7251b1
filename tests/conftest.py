"""Options of the tests, and which of them may be skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

REQUIRED = "HWGEN_REQUIRE_SIMULATORS"
"""Where the environment has it, as in CI, all tools must be there: a test that is skipped fails."""
MAY_BE_ABSENT = (
    "(HWGEN_SHARED)",
    "could not import 'onnxruntime'",
    "could not import 'ai_edge_litert'",
    "could not import 'tflite_micro",
)
"""Parts of the reasons for which a test may be skipped even so: what neither the project nor its
extra ``dev`` brings."""

LONGEST = ("sim", "e2e", "archs", "emit", "formal", "gateware", "importers", "plan")
"""Folders whose files take longest. They come first, so that at the end of a run no worker is left
alone with one of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by their folder; the order within folders stays."""
    items.sort(key=lambda item: _rank(item.path.relative_to(Path(__file__).parent).parts[0]))


def _rank(folder: str) -> int:
    return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)


def pytest_addoption(parser: pytest.Parser) -> None:
    """--fuzz N : random networks that go through Icarus."""
    parser.addoption("--fuzz", type=int, default=20, help="random networks through Icarus")


@pytest.fixture
def shared() -> Callable[[str], Path]:
    """The path of a file that the project does not ship, under HWGEN_SHARED; skips without it."""
    root = Path(os.environ.get("HWGEN_SHARED", Path(__file__).parents[2] / "shared"))

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"{name} is not there (HWGEN_SHARED)")
        return root / name

    return find


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """A test that skips itself."""
    return _not_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    """A file that skips itself."""
    return _not_skipped((yield))


def _not_skipped(report: Any) -> Any:
    if not os.environ.get(REQUIRED) or not report.skipped or hasattr(report, "wasxfail"):
        return report
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(part in reason for part in MAY_BE_ABSENT):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: {reason}, and {REQUIRED} is set"
    return report
