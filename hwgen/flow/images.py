"""Memory images: whether a design can take them, and what simulators say where they did not.

A memory whose image was not read makes a right design look wrong. So whatever goes wrong with an
image is an error of its own: what was changed since the build is read here before any tool reads
it (Yosys takes everything without a word), and a simulator's complaint ends its run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import ToolError, UserError
from .package_files import AGAIN, PackageFiles

_ROM = re.compile(r"\bhwgen_rom #\(([^;]*?)\)\s+\S+\s+\(", re.S)
"""A ROM as Yosys writes it; see gateware.memory."""
_NUMBER = r"\.{}\(32'd(\d+)\)"
_IMAGE = re.compile(r'\.IMAGE\("([^"]*)"\)')
_COMPLAINT = re.compile(r"^.*\$readmem.*$", re.M)


@dataclass(frozen=True)
class ImageShape:
    """Words of a memory, and bits of each."""

    words: int
    width: int


def check_changed(package: PackageFiles, changed: Sequence[str]) -> None:
    """Raise UserError for the first changed image that the design can not take whole."""
    images = [name for name in changed if name.startswith("mem/")]
    shapes = _shapes(package) if images else {}
    for name in images:
        path = package.path / name
        read_words(path, shapes.get(path.name))


def read_words(path: Path, shape: ImageShape | None) -> list[int]:
    """The words of an image, one a line.

    shape : what they must be; None where nobody knows. Raises UserError naming the file.
    """
    try:
        lines = path.read_text(encoding="ascii").split()
    except OSError as error:
        raise UserError(f"can not be read ({error.strerror})", file=path) from None
    except UnicodeDecodeError:
        raise UserError("is no memory image, but binary", file=path, hint=AGAIN) from None
    words = []
    for number, text in enumerate(lines, 1):
        if not re.fullmatch("[0-9a-fA-F]+", text):
            reason = f"word {number} is not hexadecimal: {text[:20]!r}"
            raise UserError(reason, file=path, hint=AGAIN)
        words.append(int(text, 16))
        if shape is not None and words[-1] >> shape.width:
            reason = f"word {number} has more than {shape.width} bits"
            raise UserError(reason, file=path, hint=AGAIN)
    if shape is not None and len(words) != shape.words:
        reason = f"has {len(words)} words, the design takes {shape.words}"
        raise UserError(reason, file=path, hint=AGAIN)
    return words


def require_read(log: str, simulator: str) -> None:
    """Raise ToolError where a simulator's log says that it could not read an image whole."""
    said = _COMPLAINT.findall(log)
    if said:
        lines = "\n".join(said[:4])
        raise ToolError(f"{simulator} did not read a memory image as it is:\n{lines}")


def _shapes(package: PackageFiles) -> dict[str, ImageShape]:
    """What the images of a package's ROMs must be, by file name, as its Verilog says."""
    shapes = {}
    for file in sorted((package.path / "rtl").glob("*.v")):
        for match in _ROM.finditer(file.read_text(encoding="utf-8", errors="replace")):
            name, words, width = (
                found[1] if (found := re.search(pattern, match[1])) else None
                for pattern in (_IMAGE, _NUMBER.format("DEPTH"), _NUMBER.format("WIDTH"))
            )
            if name and words and width:
                shapes[name] = ImageShape(int(words), int(width))
    return shapes
