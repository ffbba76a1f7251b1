"""What lies in the folder of a package, and which of it hwgen did not write."""

from __future__ import annotations

import hashlib
import json
import os
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from .parts import dump_json
from .seals import is_sealed

MANIFEST = "manifest.json"
"""The file that makes a directory a package."""
SCHEMA = 1
"""The version of the manifest's form."""

SEALED = (
    "report.json",
    "report.html",
    "results/verify.json",
    "results/accuracy.json",
    "results/synth-*.json",
)
"""Files that come into a package after its build, as patterns: the manifest has no hashes of them,
they have seals."""
LATER = (
    "results/wave.vcd",
    "results/wave.fst",
    # What the package's own benches leave (see tb/Makefile and tb/tb.v).
    "tb.vcd",
    "build/tb.vvp",
    "build/tb.log",
    "build/stats.json",
    "build/tb/tb",
    "build/tb/Vtb*",
    "build/tb/Vprobe*",
    "build/tb/harness.*",
    "build/tb/verilated*",
)
"""Files that simulators and compilers leave in a package, as patterns; they can be made again."""

_HALF = re.compile(r"\.hwgen-[0-9a-f]{16}\.new")
"""Names that files have until they are whole, see ``place.write_files``."""
_FOLDERS = {"results", "build", "build/tb"}


def manifest_of(folder: Path) -> dict[str, Any] | None:
    """The manifest of a package as this version writes it, None where there is none."""
    try:
        value = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        known = value["schema"] == SCHEMA and isinstance(value["files"], dict) and "design" in value
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return value if known else None


def owned(folder: Path, manifest: dict[str, Any]) -> list[Path]:
    """Files of a package that are there by now and have names that hwgen gives."""
    patterns = (MANIFEST, *SEALED, *LATER)
    return [folder / name for name in manifest["files"]] + [
        path for pattern in patterns for path in folder.glob(pattern)
    ]


def strangers(folder: Path, manifest: dict[str, Any]) -> list[str]:
    """Paths in a package that hwgen did not write, or that are not as it wrote them.

    Nothing is followed: a link is no file of hwgen. Files that are missing do not count, nor do
    halves that an interrupted command left of files that come later. Raises OSError for a folder
    that can not be read.
    """
    hashes: dict[str, str] = manifest["files"]
    folders = _FOLDERS | {parent.as_posix() for name in hashes for parent in Path(name).parents}
    found = []
    for root, below, files in os.walk(folder, onerror=_raised):
        place = Path(root).relative_to(folder)
        for name in [*below, *files]:
            path = (place / name).as_posix()
            if (folder / path).is_symlink():
                known = False
            elif name in below:
                known = path in folders
            else:
                known = _is_ours(folder, path, hashes)
            if not known:
                named = path in (*hashes, MANIFEST) or _matches(path, SEALED)
                found.append(f"{path} (changed)" if named else path)
        # What is below a stranger is not named one by one.
        below[:] = [name for name in below if (place / name).as_posix() in folders]
    return sorted(found)


def _raised(error: OSError) -> None:
    """What can not be looked into may be anybody's."""
    raise error


def _is_ours(folder: Path, path: str, hashes: dict[str, str]) -> bool:
    """Whether a file is as hwgen writes it."""
    file = folder / path
    if not file.is_file():
        return False
    try:
        if path == MANIFEST:
            text = file.read_text(encoding="utf-8")
            return text == dump_json(json.loads(text))
        if path in hashes:
            return hashlib.sha256(file.read_bytes()).hexdigest() == hashes[path]
        if _matches(path, SEALED):
            return is_sealed(file)
    except (OSError, ValueError, RecursionError):
        return False
    if _HALF.fullmatch(file.name):
        return True
    return _matches(path, LATER)


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)
