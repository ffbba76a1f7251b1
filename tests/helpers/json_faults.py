"""JSON values with one fault each: what a person, a program or a broken disk makes of them."""

from __future__ import annotations

import json
from random import Random
from typing import Any

NASTY = (
    -1, 0, 1, 1.9, 2.0, True, False, None, float("inf"), float("nan"), 1000, 1 << 31, 1 << 63,
    1 << 70, -(1 << 70), 10**400, 1e308, "", "1", "x" * 5000, "\x00", "../x", [], [[]], [1], {},
    {"a": 1},
)  # fmt: skip
Place = tuple[str | int, ...]


def some_place(value: Any, rng: Random) -> Place:
    """The path of an element: a leaf, or anything on the way to one."""
    at: Place = ()
    while isinstance(value, (dict, list)) and value and (not at or rng.random() < 0.9):
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        at, value = (*at, key), value[key]
    return at


def _at(value: Any, at: Place) -> Any:
    for key in at:
        value = value[key]
    return value


def mutated(good: Any, rng: Random) -> tuple[str, str]:
    """One fault: what it is, and the text of the file. An element is replaced, left out, or there
    twice."""
    value = json.loads(json.dumps(good))
    at = some_place(value, rng)
    holder, key = _at(value, at[:-1]), at[-1]
    what = rng.choice(["left out", "twice", *["replaced"] * 6])
    if what == "left out":
        del holder[key]
    elif what == "replaced":
        holder[key] = nasty = rng.choice(NASTY)
        what = f"{nasty!r:.40}"
    elif isinstance(holder, list):
        holder.insert(key, holder[key])  # pyright: ignore[reportCallIssue]
    else:
        # Two keys of one name: written by hand, since a dict has none.
        mark = "this key is there twice"
        holder[mark] = holder[key]
        return f"{at} twice", json.dumps(value).replace(json.dumps(mark), json.dumps(key))
    return f"{at} {what}", json.dumps(value)


NOT_JSON = {
    "nothing": b"",
    "half": b'{"schema": 1',
    "nested": b"[" * 100_000,
    "nested, whole": b'{"arch": ' + b"[" * 900 + b"]" * 900 + b"}",
    "digits": b'{"schema": ' + b"9" * 5000 + b"}",
    "not UTF-8": b'{"arch": "\xff"}',
    "UTF-16": '{"schema": 1}'.encode("utf-16"),
    "half a pair": b'{"arch": "\\ud800"}',
    "a list": b"[1]",
    "null": b"null",
    "NaN": b"NaN",
}
"""Files that are no JSON objects of any use, by what is wrong."""
