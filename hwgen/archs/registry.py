"""All architectures by name; ``hwgen.archs`` enters them. The first one is the default."""

from __future__ import annotations

from typing import Any

from ..values import one_of
from .protocol import Architecture

ARCHITECTURES: dict[str, Architecture[Any]] = {}


def architecture(name: str | None = None) -> Architecture[Any]:
    """The architecture of this name, the default one for None. Raises OptionError."""
    names = tuple(ARCHITECTURES)
    return ARCHITECTURES[names[0] if name is None else one_of("--arch", name, names)]
