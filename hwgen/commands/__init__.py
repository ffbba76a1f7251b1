"""The commands of the command line, one file each, and what they share: arguments, arrays.

A command has ``TEXT``, what it is for in a few words; ``add_arguments``; and ``run``, which gives
the exit code. To add one: a file, and its name in ``COMMANDS``.
"""

from __future__ import annotations

from . import build, doctor, eval, inspect, report, run, synth, verify

COMMANDS = {
    "inspect": inspect,
    "run": run,
    "eval": eval,
    "build": build,
    "verify": verify,
    "synth": synth,
    "report": report,
    "doctor": doctor,
}
"""All commands by name, in the order of ``hwgen --help``."""
