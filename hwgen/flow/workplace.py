"""Directories that every outside tool can work in.

Between hwgen and a tool stand shells, makefiles, command files and Verilog's strings, and each
takes some characters of a path for its own. So no tool is given a path that a person chose as text
of any of these: it works in a directory of plain name, on copies or links, with names relative to
it, or in the package itself with names relative to that.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError

_PLAIN = re.compile(r"(/[A-Za-z0-9_+-][A-Za-z0-9_.+-]*){1,12}")
_LONGEST = 120
_OTHERS = ("/tmp", "/var/tmp", "/dev/shm")
"""Where temporary files may be too, in case that TMPDIR's name is not plain."""


@contextmanager
def plain_directory() -> Iterator[Path]:
    """An empty directory of plain and short name, which is gone when the block ends.

    It is below TMPDIR where that has such a name. Raises UserError where there is no such place.
    """
    folder = _make()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_plain(path: Path) -> bool:
    """Whether every tool can take an absolute path as it is."""
    text = str(path)
    return len(text) <= _LONGEST and _PLAIN.fullmatch(text) is not None


def _make() -> Path:
    for place in (tempfile.gettempdir(), *_OTHERS):
        resolved = Path(place).resolve()
        if not is_plain(resolved):
            continue
        try:
            return Path(tempfile.mkdtemp(prefix="hwgen-", dir=resolved))
        except OSError:  # full, not there, or of another user
            continue
    raise UserError(
        "no directory for temporary files has a name that all tools can take",
        file=tempfile.gettempdir(),
        hint="set TMPDIR to one of letters, digits, '_', '-' and '.'",
    )
