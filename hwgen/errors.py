"""Errors that a user can cause, and errors of outside tools. Every room may raise them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from reprlib import Repr

_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxtuple = 3, 4, 4, 4
_SHORT.maxstring, _SHORT.maxlong, _SHORT.maxother = 60, 40, 60


def shown(value: object) -> str:
    """A value as it stands in a message, whatever it is: not all of it where it is long."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # an integer of thousands of digits
        return "of thousands of digits"


class UserError(Exception):
    """Bad input or something unsupported: one clear message, exit code 2.

    Parameters: ``reason`` what is wrong; ``file`` and ``layer`` where; ``hint`` what to do.
    """

    def __init__(
        self, reason: str, *, file: object = None, layer: str | None = None, hint: str | None = None
    ) -> None:
        self.reason, self.file, self.layer, self.hint = reason, file, layer, hint
        where = [str(file)] if file is not None else []
        if layer:
            where.append(f"layer {layer!r}")
        text = f"{', '.join(where)}: {reason}" if where else reason
        super().__init__(f"{text}; {hint}" if hint else text)

    def within(self, file: object) -> UserError:
        """The same error with the file named, unless one is named already."""
        if self.file is not None:
            return self
        return UserError(self.reason, file=file, layer=self.layer, hint=self.hint)


class OptionError(UserError):
    """An option that can not be, or needs what this computer has not: no file is to blame."""

    def within(self, file: object) -> UserError:
        """The same error: it is not about a file."""
        return self


@contextmanager
def naming(file: object) -> Iterator[None]:
    """What is done here is about a file (None: about no file), which its errors name."""
    try:
        yield
    except UserError as error:
        raise error.within(file) from None


class ToolError(Exception):
    """An outside tool failed: its last lines and where its log is. Exit code 3."""
