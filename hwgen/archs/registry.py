"""All architectures by name; ``hwgen.archs`` enters them. The first one is the default."""

from __future__ import annotations

from typing import Any

from ..errors import OptionError
from .protocol import Architecture

ARCHITECTURES: dict[str, Architecture[Any]] = {}


def architecture(name: str | None = None) -> Architecture[Any]:
    """The architecture of this name, the default one for None. Raises OptionError."""
    found = next(iter(ARCHITECTURES)) if name is None else name
    if found not in ARCHITECTURES:
        raise OptionError(f"architecture {found!r} is not one of {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[found]
