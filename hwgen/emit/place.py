"""Writing so that there is never half of anything: beside its place, then renamed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from ..errors import UserError
from .contents import MANIFEST, manifest_of, strangers

__all__ = ["MANIFEST", "check_files", "followed", "inside", "replacing", "write_files"]

_CHOOSE = "choose another --out"
_SHOWN = 3
"""Files named in a refusal; of the others their number is said."""


def inside(folder: Path, name: str) -> Path:
    """The place of a package's file by its path in the package.

    Raises UserError where that leads out of the folder: whatever names come from, nothing is
    written elsewhere.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise UserError(f"the file {name!r} would lie outside of the package", file=folder)
    return folder / path


def check_files(written: Sequence[Path], read: Iterable[Path]) -> None:
    """Ask before long work whether its results can be written; the places stay as they are.

    Raises UserError where a file can not be written, is written twice, or is one of those ``read``.
    """
    places = [followed(path) for path in written]
    resolved = [place.resolve() for place in places]
    for number, path in enumerate(written):
        if resolved[number] in resolved[:number]:
            raise UserError("two results would be written into this file", file=path,
                            hint="name two files")  # fmt: skip
        if path.exists() and any(file.exists() and path.samefile(file) for file in read):
            raise UserError(
                "is read, and would be overwritten", file=path, hint="name another file"
            )
    _place(dict.fromkeys(places, b""), keep=False)


def followed(path: Path) -> Path:
    """Where a link leads; other paths as they are. Raises UserError for a loop of links, on the way
    to the file too."""
    try:
        resolved = path.resolve()
        return resolved if path.is_symlink() else path
    except (OSError, RuntimeError) as error:
        raise _not_written(path, error) from None


def write_files(contents: Mapping[Path, bytes]) -> None:
    """Write all files; where one can not be written the places stay as they were.

    Raises UserError naming the file.
    """
    _place(contents, keep=True)


def _place(contents: Mapping[Path, bytes], keep: bool) -> None:
    """Write files beside their places; ``keep``: move them there."""
    beside: dict[Path, Path] = {}
    path = Path()
    try:
        for path, data in contents.items():
            if not path.name or path.is_dir():
                raise UserError("is a directory, a file is needed", file=path)
            if path.exists() and not path.is_file():
                raise UserError("is a device or a pipe, a file is needed", file=path)
            new = path.with_name(f".hwgen-{token_hex(8)}.new")
            with new.open("xb") as file:  # not one that is there, nor through a link
                beside[path] = new
                file.write(data)
        for path, new in beside.items() if keep else ():
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

    A package that is there is replaced whole where it holds only what hwgen wrote, and kept where
    anything fails or is interrupted.
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
            work = Path(tempfile.mkdtemp(prefix=f".{place.name[:32]}-", dir=place.parent))
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
    if place.is_dir() and any(place.iterdir()):
        _check_contents(target, place)


def _check_contents(target: Path, place: Path) -> None:
    """Raise UserError unless a directory holds a package and nothing of anybody else."""
    manifest = manifest_of(place)
    if manifest is None:
        raise UserError(
            "is not empty and not a package of this version of hwgen",
            file=target,
            hint=f"{_CHOOSE} or empty it",
        )
    found = strangers(place, manifest)
    if found:
        named = ", ".join(name if name.isprintable() else repr(name) for name in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UserError(
            f"is a package with files that hwgen did not write, or that were changed since: "
            f"{named}{more}",
            file=target,
            hint=f"{_CHOOSE}, or move or delete what is named",
        )


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
