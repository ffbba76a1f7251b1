"""Commands that are to succeed, or to fail, and the programs that they start."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hwgen.flow import tools


def run(folder: Path, *command: str) -> str:
    """Output of a command that is carried out in a folder."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fails(folder: Path, *command: str) -> str:
    """Output of a command that fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.stdout + done.stderr


def native_verilator(folder: Path) -> Path:
    """A directory for PATH with the Verilator that hwgen would use, as users have it."""
    if not tools.can_compile():
        pytest.skip("Verilator, g++, make and perl are needed")
    link = folder / "bin" / "verilator"
    link.parent.mkdir()
    link.write_text(f'#!/bin/sh\nexec "{tools.verilator().require()}" "$@"\n')
    link.chmod(0o755)
    return link.parent


def breaks_off(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Icarus's simulations end at once, with exit code 9."""
    program = folder / "broken" / "vvp"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
