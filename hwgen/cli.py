"""The command line: hands arguments to a command, and errors to the user.

Exit codes: 0 done; 1 verification failed; 2 bad input or unsupported; 3 a tool failed; 130
interrupted. Commands are imported inside: that takes seconds, in which an interruption is no fault.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any, NoReturn

from .errors import ToolError, UserError

DESCRIPTION = "A quantized neural network in, a verified hardware accelerator out."
EPILOG = (
    "Begin with 'hwgen inspect MODEL', then 'hwgen build MODEL --out DIR' and 'hwgen verify DIR'. "
    "Exit codes: 0 done; 1 verification failed; 2 bad input or unsupported; 3 a tool failed; "
    "130 interrupted."
)
INTERRUPTED = 128 + signal.SIGINT


class _WrongArguments(SystemExit):
    """Arguments that no command takes: bad input as every other, one line and exit code 2."""

    def __init__(self, message: str) -> None:
        super().__init__(2)
        self.message = message


class _Parser(argparse.ArgumentParser):
    """Reports wrong arguments by an exception."""

    def error(self, message: str) -> NoReturn:
        raise _WrongArguments(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code.

    argv : its arguments; None: those of the program, which then ends with the command.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in given
    try:
        return _run(given)
    except _WrongArguments as error:
        _failed(2, error.message, as_json)
        raise
    except UserError as error:
        where = {"file": error.file, "layer": error.layer, "hint": error.hint}
        return _failed(2, str(error), as_json, message=error.reason, **where)
    except ToolError as error:
        return _failed(3, str(error), as_json)
    except KeyboardInterrupt:
        _last(argv)
        return interrupted(given)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, no temporary directory
        place, reason = error.filename or "system", error.strerror or str(error)
        return _failed(2, f"{place}: {reason}", as_json, message=reason, file=error.filename)
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        return _failed(2, f"not enough memory{reason}", as_json)
    finally:
        _last(argv)


def interrupted(given: Sequence[str] | None = None) -> int:
    """Say that a command was interrupted. given : its arguments; None: those of the program."""
    return _failed(INTERRUPTED, "interrupted", "--json" in (sys.argv if given is None else given))


def _last(argv: Sequence[str] | None) -> None:
    """What is done is done: the end of the program, where this is it, is not interrupted."""
    if argv is None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(given: list[str]) -> int:
    from .caches import cache_home

    cache_home()  # before what keeps compiled code there is imported
    from .console import Output, any_text_is_shown, tidy_end

    any_text_is_shown()
    parser = _parser()
    for text in given:
        # Of "--option=--" some versions of argparse make an empty list.
        if text.startswith("--") and text.endswith("=--"):
            parser.error(f"argument {text.removesuffix('=--')}: '--' is no value")
    arguments = parser.parse_args(given)
    output = Output(arguments.json)
    with tidy_end():
        return arguments.command(arguments, output)


def _failed(code: int, text: str, as_json: bool, **known: Any) -> int:
    """Say what went wrong, for a person and where asked for as a JSON value; gives ``code``.

    known : ``message``, ``file``, ``layer``, ``hint``, as far as they are known apart.
    """
    print(f"hwgen: {text}", file=sys.stderr)
    if as_json:
        keys = ("file", "layer", "hint")
        error = {"message": known.get("message", text)}
        error |= {key: None if known.get(key) is None else str(known[key]) for key in keys}
        print(json.dumps({"error": error, "exit_code": int(code)}, indent=1))
    return int(code)


def _parser() -> argparse.ArgumentParser:
    from . import __version__
    from .commands import COMMANDS

    parser = _Parser(prog="hwgen", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"hwgen {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.TEXT, description=command.TEXT)
        sub.add_argument("--json", action="store_true", help="print the result as one JSON value")
        sub.set_defaults(command=command.run)
        command.add_arguments(sub)
    return parser
