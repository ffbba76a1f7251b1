"""Pieces of C text: integer types, numbers, tables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from textwrap import wrap
from typing import Any

import numpy as np

_WIDTHS = (8, 16, 32, 64)
_LINE = 96


def integer_type(low: int, high: int) -> str:
    """The narrowest type of stdint.h that holds all of ``low..high``."""
    for width in _WIDTHS:
        if low >= 0 and high < 1 << width:
            return f"uint{width}_t"
        if -(1 << (width - 1)) <= low and high < 1 << (width - 1):
            return f"int{width}_t"
    raise OverflowError(f"{low}..{high} is more than 64 bits")


def number(value: int) -> str:
    """An integer as a constant expression of its own sign and a type wide enough."""
    value = int(value)
    if value == -(1 << 63):
        return "INT64_MIN"
    return f"INT64_C({value})" if abs(value) >= 1 << 31 else str(value)


def table(name: str, values: Any, kind: str | None = None) -> str:
    """A constant array of a type, or of the narrowest one."""
    flat = [int(v) for v in np.asarray(values).reshape(-1)]
    kind = kind or integer_type(min(flat), max(flat))
    body = "\n".join(wrap(", ".join(number(v) for v in flat), _LINE))
    return f"static const {kind} {name}[{len(flat)}] = {{\n{body}\n}};\n"


def comment(text: str) -> str:
    """A name as a comment may hold it, of one line and without an end or a beginning of one."""
    plain = re.sub(r"[^ -~]", "?", text)
    return plain.replace("*/", "* /").replace("/*", "/ *")


def guarded(name: str, body: str) -> str:
    """The body of a header behind a guard of its own.

    name : the identifier of the network. The guard is made from the body too: of two headers that
    differ, the names of their networks be as they may, none hides the other.
    """
    digest = hashlib.sha256(body.encode()).hexdigest()[:16]
    guard = f"{name}_{digest}_H".upper()
    return f"#ifndef {guard}\n#define {guard}\n\n{body}\n#endif /* {guard} */\n"


def indented(lines: Iterable[str], depth: int = 1) -> str:
    """Lines moved to the right."""
    return "".join(f"{'    ' * depth}{line}\n" if line else "\n" for line in lines)


def loop(variable: str, count: int) -> str:
    """The head of a counting loop."""
    return f"for (int32_t {variable} = 0; {variable} < {count}; {variable}++)"
