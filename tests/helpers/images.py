"""Memory images that are damaged, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hwgen.errors import UserError

DAMAGES: dict[str, tuple[Callable[[list[str]], str], str]] = {
    "empty": (lambda words: "", "has 0 words, the design takes"),
    "truncated": (lambda words: "\n".join(words[:-1]), "words, the design takes"),
    "longer": (lambda words: "\n".join([*words, words[0]]), "words, the design takes"),
    "no digits": (lambda words: "\n".join([words[0], "q", *words[2:]]), "word 2 is not hexa"),
    "unknown bits": (lambda words: "\n".join([words[0], "x", *words[2:]]), "word 2 is not hexa"),
    "wide": (lambda words: "\n".join(["1" + "0" * 16, *words[1:]]), "word 1 has more than"),
    "not ASCII": (lambda words: "\n".join(["ü", *words[1:]]), "no memory image, but binary"),
}
"""What is done to the words of an image, and what is said of it."""


def damage(image: Path, kind: str) -> None:
    words = image.read_text().split()
    image.write_text(DAMAGES[kind][0](words), encoding="utf-8")


def refused(action: Callable[[], object], image: Path, said: str) -> None:
    """An action ends in a sentence about the image."""
    with pytest.raises(UserError, match=said) as raised:
        action()
    assert raised.value.file == image
    assert raised.value.hint == "hwgen build again"
