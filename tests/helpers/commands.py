"""The command line as data: its parsers and their options, and commands that were printed."""

from __future__ import annotations

import argparse
import html
import re
import shlex
from pathlib import Path

from hwgen import cli
from hwgen.commands import COMMANDS


def parser_of(command: str) -> argparse.ArgumentParser:
    """The parser of ``hwgen COMMAND``."""
    (subparsers,) = (
        action
        for action in cli._parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    return subparsers.choices[command]


def options_of(command: str) -> dict[str, argparse.Action]:
    """Its options by the name that they have in Python, without --help and --json."""
    actions = {a.dest: a for a in parser_of(command)._actions if a.option_strings}
    assert {"help", "json"} <= actions.keys()
    return {dest: action for dest, action in actions.items() if dest not in ("help", "json")}


def spellings(command: str | None = None) -> set[str]:
    """The options of a command as they are typed, of all commands where none is named."""
    commands = COMMANDS if command is None else (command,)
    return {
        text
        for name in commands
        for action in parser_of(name)._actions
        for text in action.option_strings
    }


def parsed(line: str) -> argparse.Namespace:
    """What the command line makes of ``hwgen ...``.

    Raises AssertionError for a wrong command, and for an abbreviated option.
    """
    program, *words = shlex.split(line)
    assert program == "hwgen", line
    options = {
        word.partition("=")[0] for word in words if re.match(r"--[a-z]+(-[a-z]+)*(=|$)", word)
    }
    assert options <= spellings(words[0]), line
    try:
        return cli._parser().parse_args(words)
    except SystemExit as stop:
        raise AssertionError(f"{line}: exit code {stop.code}") from None


def made_by(package: Path) -> list[str]:
    """The commands that a report page says made the package."""
    page = (package / "report.html").read_text(encoding="utf-8")
    found = re.search(r"<h2>Made by</h2><pre>(.*?)</pre>", page, re.DOTALL)
    assert found is not None
    # A name may hold a line break, so that lines are no commands.
    return re.findall(r"^hwgen .*?(?=\nhwgen |\Z)", html.unescape(found[1]), re.S | re.M)


PROGRAMS = ("make", "python3", "python", "pip", "cc", "gcc", "g++", "iverilog", "vvp", "verilator")
"""What a text of a package may tell a person to run."""


def printed_in(package: Path) -> set[str]:
    """Commands that the texts of a package tell a person to run in its directory: in backquotes,
    between tags, or alone at the beginning of a line of comment."""
    found: set[str] = set()
    program = "|".join(map(re.escape, PROGRAMS))
    places = (
        rf"[`>]((?:{program}) [^`<\n]+)[`<]",
        rf"(?m)^(?:#|//|\*)? {{2,}}((?:{program}) (?:[^\s]+ ?)+)",
    )
    for file in sorted(package.rglob("*")):
        if file.suffix in (".hex", ".npz", ".json") or file.is_dir() or "results" in file.parts:
            continue
        text = html.unescape(file.read_text(encoding="utf-8"))
        found |= {line.strip() for place in places for line in re.findall(place, text)}
    return found


def printed(package: Path, last: str) -> list[str]:
    """The words of the one printed command that ends in ``last``."""
    (command,) = (line for line in printed_in(package) if line.split()[-1] == last)
    return shlex.split(command)
