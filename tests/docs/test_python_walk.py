"""The walk through the Python API runs as it stands."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_walk_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "python.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) == 4
    (tmp_path / "hwgen").mkdir()
    shutil.copytree(ROOT / "hwgen" / "models", tmp_path / "hwgen" / "models")
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] in text
    assert lines[1] == "{'dense2': (10, 10)}"
    assert [int(line.split()[0]) for line in lines[2:5]] == [32, 62, 123]
    assert lines[-1] == "True 5488 6965"
