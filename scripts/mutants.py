#!/usr/bin/env python3
"""Puts faults into gateware and golden code, one at a time, and shows that the tests catch each.

The faults stand beside the tests of what they are put into, in files called mutants.py. Each mutant
is a copy of the sources with one replacement, on which the tests that ought to notice run until one
fails. ``--write`` puts what was found into the table of docs/verification.md; with ``--only`` the
rows of other mutants stay. Exits with 1 if a mutant survives: then a test is missing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.helpers.mutation import Mutation  # noqa: E402

DOCUMENT = ROOT / "docs" / "verification.md"
BEGIN, END = "<!-- mutants: made by scripts/mutants.py -->", "<!-- end of mutants -->"
COPIED = ("hwgen", "sim", "tests", "boards", "pyproject.toml")


def all_mutations() -> list[Mutation]:
    """Those of all files called mutants.py. Raises ValueError where two have one name."""
    files = sorted((ROOT / "tests").rglob("mutants.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    found = [mutation for name in names for mutation in import_module(name).MUTATIONS]
    if len({mutation.name for mutation in found}) < len(found):
        raise ValueError("two mutants have one name")
    return found


class Copy:
    """A copy of the sources, into which one fault at a time is put.

    It stays where it is from fault to fault, so that what is compiled and cached of the files
    without a fault is compiled once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns("__pycache__")
        for entry in COPIED:
            source = ROOT / entry
            if source.is_dir():
                shutil.copytree(source, folder / entry, ignore=ignored)
            else:
                shutil.copy2(source, folder / entry)
        # sim/ installs under another name; a link stands for that.
        (folder / "path").mkdir()
        (folder / "path" / "hwgen_sim").symlink_to(folder / "sim")

    def run(self, mutation: Mutation, timeout: int) -> tuple[str, float]:
        """The test that caught a mutant and after how many seconds.

        No test: it survived, or what it does takes too long; a deadlock that no test ends is
        missed. Raises RuntimeError where the tests did not run.
        """
        began = time.monotonic()
        file, whole = self.folder / mutation.file, ROOT / mutation.file
        file.write_text(mutation.applied(whole.read_text()))
        try:
            caught = self._first_failure(mutation, timeout)
        finally:
            shutil.copy2(whole, file)
            for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
                compiled.unlink()
        return caught, time.monotonic() - began

    def _first_failure(self, mutation: Mutation, timeout: int) -> str:
        path = os.pathsep.join([str(self.folder), str(self.folder / "path")])
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        try:
            done = subprocess.run(
                [*command, *mutation.tests],
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired:
            return ""
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{mutation.name}: the tests did not run\n{done.stdout[-2000:]}")
        return next((c for c in map(_test, done.stdout.splitlines()) if c), "")


def _test(line: str) -> str:
    """The test named by a line of pytest's summary; a file that can not be read is none."""
    name = line.split(" ")[1] if line.startswith(("FAILED ", "ERROR ")) else ""
    return name.split("[")[0] if "::" in name else ""


def table(results: dict[str, str], before: str) -> str:
    """The list for the document.

    results : the tests that caught mutants, by the mutants' names. before : the table that is
    there, whose rows stay for the others.
    """
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in before.splitlines()}
    lines = ["| mutant | file | caught by |", "|---|---|---|"]
    for mutation in all_mutations():
        if mutation.name in results:
            caught = results[mutation.name]
            found = f"`{caught}`" if caught else "**survived**"
            lines.append(f"| {mutation.name} | `{mutation.file}` | {found} |")
        elif mutation.name in rows:
            lines.append(rows[mutation.name])
    return "\n".join(lines)


def main() -> int:
    """Runs all mutants, or those whose name holds a word."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="a part of the names to run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout", type=int, default=900, help="seconds a mutant, default 900")
    parser.add_argument("--write", action="store_true", help="update docs/verification.md")
    arguments = parser.parse_args()
    chosen = [m for m in all_mutations() if arguments.only in m.name]
    results = []
    with (
        tempfile.TemporaryDirectory(prefix="mutants_") as name,
        ThreadPoolExecutor(arguments.jobs) as pool,
    ):
        copies: SimpleQueue[Copy] = SimpleQueue()
        for number in range(arguments.jobs):
            copies.put(Copy(Path(name) / str(number)))

        def caught_by(mutation: Mutation) -> tuple[str, float]:
            copy = copies.get()
            try:
                return copy.run(mutation, arguments.timeout)
            finally:
                copies.put(copy)

        for mutation, (caught, seconds) in zip(chosen, pool.map(caught_by, chosen), strict=True):
            results.append((mutation, caught, seconds))
            print(f"{mutation.name}: {caught or 'SURVIVED'} ({seconds:.0f} s)", flush=True)
    if arguments.write:
        text = DOCUMENT.read_text()
        before, rest = text.split(BEGIN)
        old, after = rest.split(END)
        new = table({mutation.name: caught for mutation, caught, _ in results}, old)
        DOCUMENT.write_text(f"{before}{BEGIN}\n{new}\n{END}{after}")
    survivors = [m.name for m, caught, _ in results if not caught]
    print(f"{len(results) - len(survivors)} of {len(results)} mutants are caught")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
