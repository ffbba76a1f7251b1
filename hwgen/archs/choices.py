"""Options of all architectures together: who takes which, and functions that take all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, TypeVar

from ..errors import OptionError
from ..plan.options import Options, flag
from .protocol import Architecture
from .registry import ARCHITECTURES

F = TypeVar("F", bound=Callable[..., Any])


def owners(name: str) -> list[str]:
    """The architectures that have this option."""
    return [a.name for a in ARCHITECTURES.values() if name in a.Options.names()]


def all_options() -> list[str]:
    """Names of the options of all architectures, each once."""
    names = [name for a in ARCHITECTURES.values() for name in a.Options.names()]
    return list(dict.fromkeys(names))


def options_of(chosen: Architecture[Any], asked: dict[str, Any]) -> Options:
    """The architecture's options, from values by name, None where nothing was asked for.

    Raises OptionError for options of others, for those that nobody has, and where two exclude each
    other.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    for name in given:
        if not (having := owners(name)):
            close = get_close_matches(name, all_options(), 1)
            meant = f"did you mean {close[0]}?" if close else f"take {', '.join(all_options())}"
            raise OptionError(f"there is no option {name!r}", hint=meant)
        if chosen.name not in having:
            reason = f"{flag(name)} is for --arch {' and '.join(having)}"
            raise OptionError(reason, hint="leave it out")
    clash = [flag(name) for name in chosen.Options.exclusive if name in given]
    if len(clash) > 1:
        raise OptionError(f"give one of {' and '.join(clash)}")
    return chosen.Options(**given)


def with_options(function: F) -> F:
    """A function whose ``**options`` are those of all architectures, as its signature says."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    taken = {p.name for p in named}
    more = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Any)
        for name in all_options()
        if name not in taken
    ]
    function.__signature__ = signature.replace(parameters=[*named, *more])  # type: ignore[attr-defined]
    return function
