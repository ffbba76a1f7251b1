"""Damaged files: copies with single bits changed, read one after the other in one process.

Run as a script: it reads cases as JSON from standard input and writes what became of them.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hwgen.errors import UserError

WEIGHTS = "model.weights.h5"


def flipped(content: bytes, bits: list[int]) -> bytes:
    """The content with these bits changed; bit 8 * n is the lowest of byte n."""
    changed = bytearray(content)
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def write(source: Path, inside: str | None, bits: list[int], target: Path) -> None:
    """A damaged copy; ``inside`` : of a member of an archive, whose checksum is right again."""
    if inside is None:
        target.write_bytes(flipped(source.read_bytes(), bits))
        return
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, flipped(content, bits) if name == inside else content)


def readers() -> dict[str, Callable[[Path], Any]]:
    """By a file's ending, what reads it."""
    from hwgen.commands.arrays import load_array, load_labelled
    from hwgen.importers import load
    from hwgen.ir import Graph, Node, Tensor, ops
    from hwgen.numeric import parse_type

    pixel = Tensor("x", (28, 28, 1), parse_type("u8.8"))
    graph = Graph("flat", (pixel,), (Node("y", ops.Flatten(), ("x",)),), ("y",))
    own = {".npy": load_array, ".npz": lambda path: load_labelled(path, graph)}
    return {**dict.fromkeys((".h5", ".keras", ".tflite", ".onnx", ".json"), load), **own}


def taken() -> tuple[float, float]:
    """Seconds computed, and the largest memory in MiB, of this process and of its copies."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(u.ru_utime + u.ru_stime for u in used)
    # What a process says of itself counts the program before exec too, that which started it.
    own = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert own
    return seconds, max(int(own[1]), used[1].ru_maxrss) / 1024


def main() -> None:
    """Read each case: a source, a member of it or null, bits, and where the copy is written."""
    reads = readers()
    results = []
    for source, inside, bits, target in json.load(sys.stdin):
        path = Path(target)
        write(Path(source), inside, bits, path)
        begin, _ = taken()
        try:
            reads[path.suffix](path)
            outcome = "read"
        except UserError as error:
            outcome = "refused" if str(path) in str(error) else f"does not name its file: {error}"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        seconds, memory = taken()
        results.append((outcome, seconds - begin, memory))
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
