"""Names in drawings: which part of a layer something is, and as much of a text as there is room."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

_NARROW, _WIDE = frozenset(" .,:;'`|!()[]{}/\\-ijlftrI"), frozenset("mwMW@%&жшщюмфыЖШЩЮМФЫ\u2026")
_MOST = 400
"""Characters of a text that are looked at: far more than any drawing has room for."""


class Part(NamedTuple):
    """Something that is drawn: its own ``name``, the layer whose part it is (``title``), what it
    ``does``, and whether it is the ``main`` part, which multiplies."""

    name: str
    title: str
    does: str
    main: bool


def labels(parts: Iterable[Part]) -> dict[str, str]:
    """What each part is called, by its own name; no two of different names are called the same.

    A layer's only part, and its only main one, bear the layer's title; others say what they do too,
    and what the design calls them where several do that.
    """
    parts = list(parts)
    all_of, mains = Counter(p.title for p in parts), Counter(p.title for p in parts if p.main)
    told = {
        p.name: p.title
        if all_of[p.title] == 1 or (p.main and mains[p.title] == 1)
        else f"{p.title}: {p.does}"
        for p in parts
    }
    times = Counter(told.values())
    return {
        p.name: told[p.name] if times[told[p.name]] == 1 else f"{p.title}: {p.name}" for p in parts
    }


def fitted(text: str, pixels: float, size: float, ends: bool = True) -> str:
    """A text that takes no more than so many pixels, some of it left out where it is longer.

    size : of the font, in pixels. ends : keep both ends, as of names; else the beginning alone.
    """
    kept = text if len(text) <= _MOST else text[: _MOST // 2] + text[-_MOST // 2 :]
    short = text
    for count in range(len(kept) - 1, 0, -1):
        if _width(short) * size <= pixels:
            break
        last = count // 2 if ends else 0
        short = f"{kept[: count - last]}\u2026{kept[len(kept) - last :]}"
    return short


def _width(text: str) -> float:
    """Times a font's size that a text takes at most: that of DejaVu Sans Bold, a wide one."""
    return sum(map(_width_of, text))


def _width_of(character: str) -> float:
    if unicodedata.combining(character):
        return 0
    if unicodedata.east_asian_width(character) in "WF" or character in _WIDE:
        return 1.1
    if character in _NARROW:
        return 0.5
    if character.isascii():
        return 0.86 if character.isupper() else 0.72
    return 0.8 if character.islower() else 0.95
