"""Options of an architecture: what a user may ask for, as data that a command line is made from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from ..errors import OptionError, shown
from ..values import integer, one_of


def option(
    text: str,
    *,
    metavar: str | None = None,
    convert: Callable[[str], Any] = str,
    choices: Sequence[str] | None = None,
) -> Any:
    """A field of ``Options``.

    Parameters: ``text`` what it is, for a person; ``metavar`` the name of its value; ``convert``
    makes the value of the command line's text; ``choices`` all values that there are.
    """
    how = {"help": text, "metavar": metavar, "type": convert, "choices": choices}
    return field(default=None, metadata={k: v for k, v in how.items() if v is not None})


@dataclass(frozen=True)
class Options:
    """Base of every architecture's options. Each field is None where nothing was asked for.

    A field ``mem_width`` is ``--mem-width`` on the command line.
    """

    exclusive: ClassVar[tuple[str, ...]] = ()
    """Fields of which at most one may be given."""

    def __post_init__(self) -> None:
        """Raise OptionError where a value is not of its option's type."""
        for name, value in self.given.items():
            how = type(self).arguments()[name]
            if how.get("type") is int:
                object.__setattr__(self, name, integer(flag(name), value))
            elif "choices" in how:
                object.__setattr__(self, name, one_of(flag(name), value, how["choices"]))
            elif not isinstance(value, str):
                raise OptionError(f"{flag(name)} {shown(value)}: give a text")

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of all fields."""
        return tuple(f.name for f in fields(cls))

    @classmethod
    def arguments(cls) -> dict[str, dict[str, Any]]:
        """How each field is declared to argparse."""
        return {f.name: dict(f.metadata) for f in fields(cls)}


def flag(name: str) -> str:
    """A field's name on the command line."""
    return f"--{name.replace('_', '-')}"
