"""What scripts that measure have in common."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hwgen.errors import UserError  # noqa: E402


def run(main: Callable[[], None]) -> None:
    """Carry out a script: errors that a user can cause end in a message and exit code 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def put(document: Path, mark: str, script: str, text: str) -> None:
    """Put what a script makes between its marks in a document."""
    begin, end = f"<!-- {mark}: {script} -->\n", f"<!-- end of {mark} -->"
    before, _, rest = document.read_text().partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        sys.exit(f"{document} has no place for {mark}")
    document.write_text(before + begin + text + end + after)
