"""Where things are kept that may be thrown away: the user's cache, or else a temporary folder."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

from .errors import UserError

_PLACE = "XDG_CACHE_HOME"
"""The variable that hwgen and its tools (Yosys, nextpnr, Numba, ccache) take the folder from."""


def cache_home() -> Path:
    """The folder of the user's caches. Where it can not be written, one below the folder of
    temporary files is named to this process and to all tools that it runs, and said once.

    Raises UserError where neither can be written.
    """
    place = _usual()
    if _writable(place):
        return place
    found = _temporary()
    print(
        f"hwgen: {place} can not be written: caches are in {found} (set {_PLACE} for another "
        "place)",
        file=sys.stderr,
    )
    os.environ[_PLACE] = str(found)
    # WebAssembly tools look here first, whatever it is.
    os.environ.setdefault("YOWASP_CACHE_DIR", str(found / "YoWASP"))
    return found


def _usual() -> Path:
    given = os.environ.get(_PLACE)
    if given:
        return Path(given)
    return Path(os.path.expanduser("~")) / ".cache"


def _writable(place: Path) -> bool:
    """Whether files can be made in a folder, which is made if need be."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


def _temporary() -> Path:
    """A folder of this user's alone, the same in every run."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    place = Path(tempfile.gettempdir()) / f"hwgen-cache-{user}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        seen = place.lstat()
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != user or seen.st_mode & 0o022:
            # Whoever made it could put programs there that are run.
            return Path(tempfile.mkdtemp(prefix="hwgen-cache-"))
    except OSError as error:
        raise UserError(
            f"can not be written ({error.strerror})", file=place, hint=f"set {_PLACE}"
        ) from None
    return place
