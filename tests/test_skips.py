"""Where all tools are required, no test is skipped for want of one; the reasons that remain."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_tool():
    pytest.skip("sby or yices is not installed")

@pytest.fixture
def simulator():
    pytest.skip("icarus is not installed")

def test_fixture(simulator):
    pass

@pytest.mark.skipif(True, reason="chromium is not installed")
def test_mark():
    pass

def test_shared(shared):
    shared("models/none.h5")

def test_runtime():
    pytest.skip("could not import 'onnxruntime': No module named 'onnxruntime'")

@pytest.mark.xfail
def test_known():
    assert False

def test_good():
    pass
"""
MODULE = 'import pytest\npytest.importorskip("hwgen_sim_of_nobody", reason="not installed")\n'
EMPTY = 'import pytest\n@pytest.mark.parametrize("n", [])\ndef test_none(n):\n    pass\n'


def outcomes(folder: Path, content: str, **environment: str) -> dict[str, int]:
    """What pytest counts with the project's own conftest and settings."""
    own = Path(__file__).parent
    (folder / "conftest.py").write_text((own / "conftest.py").read_text())
    (folder / "pyproject.toml").write_text((own.parent / "pyproject.toml").read_text())
    (folder / "tests").mkdir()
    (folder / "tests" / "test_it.py").write_text(content)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HWGEN_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=folder, env=clean | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    last = done.stdout.strip().splitlines()[-1]
    return {word.rstrip("s"): int(n) for n, word in re.findall(r"(\d+) ([a-z]+)", last)}


def test_a_skip_fails_where_all_tools_are_required(tmp_path: Path) -> None:
    found = outcomes(tmp_path, TESTS, HWGEN_REQUIRE_SIMULATORS="1")
    assert found == {"failed": 1, "error": 2, "skipped": 2, "xfailed": 1, "passed": 1}


def test_a_person_without_the_tools_goes_on(tmp_path: Path) -> None:
    assert outcomes(tmp_path, TESTS) == {"skipped": 5, "xfailed": 1, "passed": 1}


@pytest.mark.parametrize(("content", "required"), [(MODULE, "1"), (EMPTY, ""), (EMPTY, "1")])
def test_files_that_hold_no_tests_are_errors(tmp_path: Path, content: str, required: str) -> None:
    assert outcomes(tmp_path, content, HWGEN_REQUIRE_SIMULATORS=required) == {"error": 1}


def test_ci_requires_all_tools() -> None:
    text = (Path(__file__).parents[1] / ".ci" / "run").read_text()
    assert re.search(r"(?m)^export HWGEN_REQUIRE_SIMULATORS=1$", text)
