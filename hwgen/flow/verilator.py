"""Verilator: compiles a package's RTL with its C++ harness, once for each design."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..aliases import Progress
from ..emit.documents import WHEEL_MAKE
from ..errors import ToolError
from . import tools
from .engine import DesignFault
from .images import require_read
from .package_files import PackageFiles
from .workplace import plain_directory

DESIGN_FAULT = 3
"""Exit code of the harness where the design is at fault."""

_SPLIT = ("--output-split", "50000", "--output-split-cfuncs", "5000")
"""Statements of a file, and of a function. Reading Verilator's headers takes a compiler as long as
some 10,000 statements, so a small design is one file, which needs no precompiled headers either; a
large one is enough files for several cores."""


def build(package: PackageFiles, wave: bool, say: Progress) -> Path:
    """The compiled harness of a design, from the cache when it was built before."""
    command = [
        tools.verilator().require(), "--cc", "--exe", "--build", "-j", "0", "-O3",
        "--top-module", "probe", "-Wno-fatal", "-Wno-lint", "-Wno-style",
        "--Mdir", "obj", "-o", "harness",
        "-CFLAGS", "-O1 -std=c++17 -I..", *_SPLIT,
        "-MAKEFLAGS", f"{WHEEL_MAKE}{_object_cache()}",
    ]  # fmt: skip
    if wave:
        command.append("--trace-vcd")
    sources = sorted((package.path / "rtl").glob("*.v"))
    bench = [package.file(f"tb/{name}") for name in ("probe.v", "harness.cpp")]
    for tool in (tools.compiler, tools.make, tools.perl):
        tool().require()
    key = hashlib.sha256()
    headers = sorted({package.file("tb/design.h"), *package.path.glob("tb/*.h")})
    for file in [*sources, *bench, *headers]:
        key.update(file.read_bytes())
    key.update(" ".join([tools.verilator().version, *command[1:]]).encode())
    place = tools.cache_directory("verilator") / key.hexdigest()[:24]
    binary = place / "harness"
    if binary.exists():
        return binary
    say("compiling with Verilator")
    with plain_directory() as work:
        for file in [*bench, *headers, *sources]:
            shutil.copy2(file, work / file.name)
        files = [file.name for file in [*bench, *sources]]
        call([*command, *files], work, work / "build.log", "Verilator")
        _keep(work / "obj" / "harness", binary)
    return binary


def _keep(made: Path, binary: Path) -> None:
    """Put what was compiled in the cache, whole or not at all."""
    finished = Path(tempfile.mkdtemp(prefix=".build-", dir=binary.parent.parent))
    try:
        shutil.copy2(made, finished / binary.name)
        finished.rename(binary.parent)
    except OSError:  # another process was quicker
        if not binary.exists():
            raise
    finally:
        shutil.rmtree(finished, ignore_errors=True)


def _object_cache() -> str:
    return " OBJCACHE=ccache" if tools.ccache().found else ""


def call(command: list[str], folder: Path, log: Path, what: str, fault: int | None = None) -> None:
    """Run a tool with its output in a log, which is in a directory of plain name.

    fault : the exit code of a simulation that found the design at fault. Raises ToolError with the
    last lines, or where a simulation could not read a memory image; DesignFault where the exit code
    is ``fault``.
    """
    environment = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "VERILATOR_ROOT")}
    environment["TMPDIR"] = str(log.parent)
    with log.open("w") as output:
        done = subprocess.run(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment,
            check=False,
        )  # fmt: skip
    if fault is not None:
        require_read(log.read_text(errors="replace"), "Verilator")
    if done.returncode and done.returncode == fault:
        raise DesignFault(log.read_text(errors="replace").strip().removeprefix("harness: "))
    if done.returncode:
        kept = tools.cache_directory("logs") / log.name
        shutil.copy2(log, kept)
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise ToolError(f"{what} failed (exit code {done.returncode}; log: {kept}):\n{tail}")
