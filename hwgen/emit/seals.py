"""Seals: what comes into a package after its build carries a digest of what it was written as.

The manifest has hashes of what a build writes, and can not have those of what comes later. A seal
tells a file that hwgen wrote from one that a person or a broken disk changed; it keeps nobody from
making another one.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from .parts import dump_json

_PAGE = "<!-- sha256 {} -->\n"


def sealed(value: dict[str, Any]) -> str:
    """The text of a JSON object, with the digest of its other keys as the last one."""
    return dump_json(value | {"digest": _digest(dump_json(value))})


def unsealed(value: Any) -> dict[str, Any] | None:
    """The object that was sealed; None for what is no object or has been changed."""
    if not isinstance(value, dict):
        return None
    rest = {key: part for key, part in value.items() if key != "digest"}
    return rest if value.get("digest") == _digest(dump_json(rest)) else None


def sealed_page(text: str) -> str:
    """The text of an HTML page, with its digest in a comment at the end."""
    # Of markup, which escapes what is added to it, the plain text.
    return str(text) + _PAGE.format(_digest(text))


def is_sealed(file: Path) -> bool:
    """Whether a JSON file or a page is as it was sealed. Raises OSError, and ValueError for no text
    in UTF-8 and no JSON."""
    text = file.read_bytes().decode()
    if file.suffix == ".json":
        value = unsealed(json.loads(text))
        return value is not None and text == sealed(value)
    before = text[: -len(_PAGE.format("0" * 64))]
    return text == sealed_page(before)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
