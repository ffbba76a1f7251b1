"""Commands that are to succeed."""

from __future__ import annotations

import subprocess
from pathlib import Path


def run(folder: Path, *command: str) -> str:
    """Output of a command that is carried out in a folder."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
