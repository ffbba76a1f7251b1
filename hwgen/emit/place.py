"""Writing so that there is never half of anything: beside its place, then renamed."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import UserError

MANIFEST = "manifest.json"
"""The file that makes a directory a package."""

_CHOOSE = "choose another --out"


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write all files; where one can not be written the places stay as they were.

    Raises UserError naming the file.
    """
    beside = {path: path.with_name(f".{path.name}.new") for path in contents if path.name}
    path = Path()
    try:
        for path, data in contents.items():
            if path not in beside or path.is_dir():
                raise UserError("is a directory, a file is needed", file=path)
            beside[path].write_bytes(data)
        for path, new in beside.items():
            new.replace(path)
    except OSError as error:
        raise _not_written(path, error) from None
    finally:
        for new in beside.values():
            with suppress(OSError):
                new.unlink()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """An empty directory beside ``target``, which takes its place when the block ends well.

    A package that is there is replaced whole and kept where anything fails or is interrupted.
    Raises UserError, before the block runs where possible, when the place can not be written or
    is something else.
    """
    work: Path | None = None
    above: list[Path] = []
    try:
        try:
            place = target.resolve()
            _check(target, place)
            above = _missing(place.parent)
            for folder in reversed(above):
                folder.mkdir()
            # Of a name that is as long as names may be only the beginning.
            work = Path(tempfile.mkdtemp(prefix=f".{place.name[:40]}-", dir=place.parent))
            made = work / place.name
            made.mkdir()
        except (OSError, RuntimeError, ValueError) as error:  # the last two: link loops, null bytes
            raise _not_written(target, error) from None
        try:
            yield made
            _check(target, place)
            _swap(made, place, work / "old")
        except UserError as error:
            raise _about(error, made, target) from None
        except OSError as error:
            raise _not_written(target, error) from None
        above = []
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        for folder in above:
            with suppress(OSError):
                folder.rmdir()


def _not_written(path: Path, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or error
    return UserError(f"can not be written ({reason})", file=path)


def _about(error: UserError, made: Path, target: Path) -> UserError:
    """The error with the place that the user knows instead of the temporary one."""
    if not isinstance(error.file, Path) or not error.file.is_relative_to(made):
        return error
    file = target / error.file.relative_to(made)
    return UserError(error.reason, file=file, layer=error.layer, hint=error.hint)


def _missing(folder: Path) -> list[Path]:
    """The directories to be made for this one to be there, deepest first."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    return missing


def _check(target: Path, place: Path) -> None:
    """Raise UserError unless a package may be written at ``place``, which ``target`` leads to."""
    if target.is_symlink() and not target.exists():
        raise UserError("is a dangling link", file=target, hint=_CHOOSE)
    if place.exists() and not place.is_dir():
        raise UserError("is a file", file=target, hint=_CHOOSE)
    if Path.cwd().is_relative_to(place):
        raise UserError(
            "is the current directory or one above it, which can not be replaced",
            file=target,
            hint=f"{_CHOOSE} or change to another directory",
        )
    if place.is_dir() and any(place.iterdir()) and not _is_package(place):
        raise UserError(
            "is not empty and not a package of hwgen",
            file=target,
            hint=f"{_CHOOSE} or empty it",
        )


def _is_package(folder: Path) -> bool:
    try:
        return "design" in json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _swap(new: Path, place: Path, old: Path) -> None:
    """Put ``new`` at ``place`` and what was there at ``old``; undone where it can not be done."""
    try:
        if place.exists():
            place.rename(old)
        new.rename(place)
    except BaseException:
        if old.exists() and not place.exists():
            old.rename(place)
        raise
