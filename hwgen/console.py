"""What a person sees while a command works: progress on stderr, results on stdout."""

from __future__ import annotations

import codecs
import io
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

WIDTH = 160
"""Columns of tables where there is no terminal."""


def _as_it_came(error: UnicodeError) -> tuple[str | bytes, int]:
    """What the encoding does not hold: bytes of a path unchanged, characters as escapes."""
    assert isinstance(error, UnicodeEncodeError)
    if 0xDC80 <= ord(error.object[error.start]) <= 0xDCFF:
        return bytes([ord(error.object[error.start]) - 0xDC00]), error.start + 1
    single = UnicodeEncodeError(error.encoding, error.object, error.start, error.start + 1, "")
    return codecs.backslashreplace_errors(single)


def any_text_is_shown() -> None:
    """Let stdout and stderr take every text, names of files too, whatever their encoding is.

    On stdout a path stays the path that it is, bytes that are no text included, so that other
    programs can open it; messages on stderr are for people, and show such bytes as escapes.
    """
    codecs.register_error("hwgen.as_it_came", _as_it_came)
    for stream, errors in ((sys.stdout, "hwgen.as_it_came"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


class Output:
    """Where a command writes. ``json_only``: one JSON value on stdout and nothing else."""

    def __init__(self, json_only: bool) -> None:
        self.json_only = json_only
        # Into a file or a pipe tables keep their width.
        width = None if sys.stdout.isatty() else WIDTH
        self.out = Console(highlight=False, emoji=False, soft_wrap=width is not None, width=width)
        self.err = Console(stderr=True, highlight=False, emoji=False)

    def say(self, text: str) -> None:
        """A line of result for a person."""
        if not self.json_only:
            self.out.print(text, markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """A table for a person; numbers are right-aligned."""
        if self.json_only:
            return
        table = Table(title=title, title_justify="left", header_style="bold")
        for index, column in enumerate(columns):
            numeric = rows and all(isinstance(row[index], (int, float)) for row in rows)
            table.add_column(column, justify="right" if numeric else "left")
        for row in rows:
            table.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
        self.out.print(table)

    def json(self, value: Any) -> None:
        """The JSON value, when it was asked for."""
        if self.json_only:
            sys.stdout.write(json.dumps(value, indent=1) + "\n")

    @contextmanager
    def steps(self) -> Iterator[Callable[[str], None]]:
        """A spinner with the current step and the time; plain lines where there is no terminal."""
        if not self.err.is_terminal:
            yield lambda text: None if self.json_only else self.err.print(f"  {text}", markup=False)
            return
        columns = (TextColumn("  {task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self.err, transient=True) as progress:
            task = progress.add_task("starting", total=None)
            yield lambda text: progress.update(task, description=escape(text))

    @contextmanager
    def bar(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """A bar over a known number of items."""
        if not self.err.is_terminal:
            yield lambda done, total: None
            return
        columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), console=self.err, transient=True) as progress:
            task = progress.add_task(what, total=None)
            yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def tidy_end() -> Iterator[None]:
    """Let a request to end the program tidy up, as an interruption does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
