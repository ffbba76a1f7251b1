"""Plan files, of whichever architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import naming
from ..validation import Schema, read_json
from .registry import ARCHITECTURES


def read_plan(path: Path) -> dict[str, Any]:
    """What a plan file states: an object whose ``arch`` is one of ``ARCHITECTURES``.

    The rest is checked by that architecture. Raises UserError, naming the file.
    """
    value = read_json(path)
    known = {"arch": {"enum": list(ARCHITECTURES)}}
    with naming(path):
        Schema({"type": "object", "required": list(known), "properties": known}).check(value)
    return value
