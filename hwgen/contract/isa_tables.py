"""The instruction set's tables in Markdown, for docs/engine_isa.md."""

from __future__ import annotations

import re
from enum import IntEnum
from itertools import groupby

from .isa import (
    COMPUTE,
    RECORD,
    TRANSFER,
    ErrorCode,
    Loop,
    Opcode,
    Operand,
    Reduction,
    Round,
    Target,
)

CODES: dict[str, type[IntEnum]] = {
    "`op`": Opcode,
    "`target`": Target,
    "`operand`": Operand,
    "`reduction`": Reduction,
    "`loopN_kind`": Loop,
    "`rounding`": Round,
    "error code of the status register": ErrorCode,
}
"""Fields, and a register, whose values are codes."""

_LATER_LOOP = re.compile(r"(loop|out)[1-9]_(?!skip)")
"""Fields that are those of the first loop of their kind again."""


def codes() -> str:
    """The values of all fields that are codes, as a table in Markdown."""
    rows = ["| field | values |", "|---|---|"]
    for name, kind in CODES.items():
        values = ", ".join(f"{code.value} {code.name}" for code in kind)
        rows.append(f"| {name} | {values} |")
    return "\n".join(rows) + "\n"


def records() -> str:
    """The fields of all records, as tables in Markdown: of loops those of the first one alone."""
    parts = []
    for record in (TRANSFER, COMPUTE, RECORD):
        rows, place = ["| bits | field | meaning |", "|---|---|---|"], 0
        for later, group in groupby(record.fields, lambda f: bool(_LATER_LOOP.match(f.name))):
            fields = list(group)
            if later:
                first, last = (fields[n].name.partition("_")[0] for n in (0, -1))
                width = sum(field.width for field in fields)
                names = f"`{first}_...`" if first == last else f"`{first}_...` to `{last}_...`"
                rows.append(f"| {place + width - 1}..{place} | {names} | the same |")
                place += width
                continue
            for field in fields:
                last = place + field.width - 1
                bits = f"{last}..{place}" if field.width > 1 else f"{place}"
                sign = " (signed)" if field.signed else ""
                rows.append(f"| {bits} | `{field.name}` | {field.doc}{sign} |")
                place += field.width
        parts.append(f"### {record.name}: {record.size // 8} bytes\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)
