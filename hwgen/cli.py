"""The command line: hands arguments to a command, and errors to the user.

Exit codes: 0 done; 1 verification failed; 2 bad input or unsupported; 3 a tool failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import __version__
from .commands import COMMANDS
from .console import Output, any_text_is_shown, tidy_end
from .errors import ToolError, UserError

DESCRIPTION = "A quantized neural network in, a verified hardware accelerator out."
EPILOG = (
    "Begin with 'hwgen inspect MODEL', then 'hwgen build MODEL --out DIR' and 'hwgen verify DIR'. "
    "Exit codes: 0 done; 1 verification failed; 2 bad input or unsupported; 3 a tool failed."
)


class _Parser(argparse.ArgumentParser):
    """Reports wrong arguments as every other bad input: one line, exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"hwgen: {message}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code."""
    any_text_is_shown()
    parser, given = _parser(), sys.argv[1:] if argv is None else argv
    for text in given:
        # Of "--option=--" some versions of argparse make an empty list.
        if text.startswith("--") and text.endswith("=--"):
            parser.error(f"argument {text.removesuffix('=--')}: '--' is no value")
    arguments = parser.parse_args(given)
    output = Output(arguments.json)
    try:
        with tidy_end():
            return arguments.command(arguments, output)
    except UserError as error:
        print(f"hwgen: {error}", file=sys.stderr)
        return 2
    except ToolError as error:
        print(f"hwgen: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("hwgen: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a full disk, no temporary directory
        print(f"hwgen: {error.filename or 'system'}: {error.strerror or error}", file=sys.stderr)
        return 2
    except MemoryError as error:
        reason = f" ({error})" if str(error) else ""
        print(f"hwgen: not enough memory{reason}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="hwgen", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"hwgen {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.TEXT, description=command.TEXT)
        sub.add_argument("--json", action="store_true", help="one JSON value on stdout")
        sub.set_defaults(command=command.run)
        command.add_arguments(sub)
    return parser
