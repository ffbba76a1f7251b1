"""What plan files of all architectures have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..validation import Definition, Schema, constant, fields, integer

COUNT = integer(0, 1 << 62)
"""A number of cycles, bytes and the like."""
_COUNTS = {"type": "object", "additionalProperties": COUNT}
_ESTIMATE = {
    "type": "object",
    "properties": {
        "interval": COUNT,
        "latency": COUNT,
        "high_water": _COUNTS,
        "starved": _COUNTS,
        "blocked": _COUNTS,
    },
}
_FOLLOWS = {
    "estimate": _ESTIMATE,
    "multipliers": COUNT,
    "interval_bound": COUNT,
    "interval_estimate": COUNT,
    "latency_estimate": COUNT,
    "starved": _COUNTS,
    "blocked": _COUNTS,
}
"""What ``hwgen build`` and ``hwgen inspect --json`` write beside a plan, for the reader."""


def plan_schema(
    arch: str,
    version: int,
    choices: Mapping[str, Definition],
    follows: Mapping[str, Definition] | None = None,
) -> Schema:
    """The schema of the plan files of an architecture.

    choices : what they must state. follows : what they may leave out.
    """
    needed = {
        "schema": constant(version, f"schema {version}, which this version reads"),
        "arch": constant(arch),
        **choices,
    }
    return Schema(fields(needed | dict(follows or {}) | _FOLLOWS, required=list(needed)))


def package_plan_schema() -> Schema:
    """The schema of what every plan.json of a package states, of whichever architecture."""
    estimate: dict[str, Any] = _ESTIMATE | {"required": ["interval", "latency"]}
    stated = {"arch": {"type": "string"}, "estimate": estimate}
    return Schema({"type": "object", "required": list(stated), "properties": stated})
