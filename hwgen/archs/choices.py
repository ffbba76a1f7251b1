"""Options of all architectures together: who takes which, and functions that take all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from ..aliases import Progress
from ..errors import OptionError, UserError
from ..ir import Graph
from ..passes import legalize
from ..plan.options import Options, flag
from .plan_files import read_plan
from .protocol import Architecture
from .registry import ARCHITECTURES, architecture

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


@dataclass(frozen=True)
class Asked:
    """What a plan is asked for, checked as far as that does not depend on a network.

    ``options`` are the architecture's; where there is a plan ``file`` instead, ``choices`` are what
    it states.
    """

    architecture: Architecture[Any]
    options: Options
    file: Path | None = None
    choices: dict[str, Any] | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by their names."""
        return self.options.given

    def legal(self, graph: Graph) -> Graph:
        """What the passes make of a network for this architecture. Raises UserError as they do."""
        return legalize(graph, self.architecture.keep)

    def plan(self, legal: Graph, progress: Progress | None = None) -> Any:
        """Plan a legal graph. Raises UserError where it can not be done."""
        if self.choices is not None:
            return self.architecture.from_json(legal, self.choices, progress, self.file)
        return self.architecture.plan(legal, self.options, progress)


def asked_for(arch: str | None, file: Path | None, asked: dict[str, Any]) -> Asked:
    """What is asked for by an architecture's name, or a plan file, and values by their options.

    Raises UserError where options are wrong, or the file is no plan of this architecture.
    """
    if file is None:
        chosen = architecture(arch)
        options = options_of(chosen, asked)
        chosen.check(options)
        return Asked(chosen, options)
    given = [name for name, value in asked.items() if value is not None]
    if given:
        raise OptionError(
            f"{flag(given[0])} is what the file of --plan states", hint="leave it out"
        )
    choices = read_plan(file)
    stated = architecture(choices["arch"])
    if arch not in (None, stated.name):
        reason = f"is a plan of the {stated.name} architecture"
        raise UserError(reason, file=file, hint=f"leave out --arch {arch}")
    return Asked(stated, stated.Options(), file, choices)


def with_options(function: F) -> F:
    """A function whose ``**options`` are those of all architectures, as its signature says."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    taken = {p.name for p in named}
    # Annotations are texts, as in the functions themselves; those of the first owner.
    kinds = {f.name: f.type for a in reversed(ARCHITECTURES.values()) for f in fields(a.Options)}
    more = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kinds[name]
        )
        for name in all_options()
        if name not in taken
    ]
    function.__signature__ = signature.replace(parameters=[*named, *more])  # type: ignore[attr-defined]
    return function
