"""Every simulator takes a package wherever it is, and temporary files wherever they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.errors import UserError
from hwgen.flow import tools
from hwgen.flow.c_engine import CEngine
from hwgen.flow.workplace import is_plain, plain_directory
from hwgen.ir import execute
from tests.helpers.folder_names import NAMES, UGLY
from tests.helpers.packages import tiny_model, tiny_package


@pytest.fixture(scope="module")
def dataflow(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return tiny_package(tmp_path_factory.mktemp("dataflow"))


@pytest.fixture
def ugly_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Temporary files are in a directory of such a name, where none is left at the end."""
    folder = tmp_path / UGLY
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert not list(folder.iterdir())


def need(simulator: str) -> None:
    there = {"icarus": tools.icarus().found, "verilator": tools.can_compile(), "python": True}
    if not there[simulator]:
        pytest.skip(f"{simulator} or what it needs is not installed")


def moved(package: Package, folder: Path) -> Package:
    return Package.open(Path(shutil.copytree(package.path, folder)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("simulator", ["verilator", "icarus"])
def test_simulators_that_read_the_package(
    dataflow: Package, tmp_path: Path, simulator: str, name: str
) -> None:
    need(simulator)
    package = moved(dataflow, tmp_path / NAMES[name])
    result = hwgen.verify(package, simulator, random=1)
    assert result.equal, result.difference


@pytest.mark.parametrize("simulator", ["verilator", "icarus", "python"])
def test_waveforms_are_written_there(dataflow: Package, tmp_path: Path, simulator: str) -> None:
    need(simulator)
    package = moved(dataflow, tmp_path / UGLY)
    result = hwgen.verify(package, simulator, random=1, wave=True)
    assert result.equal, result.difference
    assert result.run.wave is not None
    assert result.run.wave.parent == package.path / "results"
    assert result.run.wave.stat().st_size > 0


def test_a_relative_path_that_looks_like_an_option(
    dataflow: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(dataflow, tmp_path / "-x")
    monkeypatch.chdir(tmp_path)
    for simulator in ("verilator", "icarus"):
        need(simulator)
        assert hwgen.verify(Package.open(Path("-x")), simulator, random=1).equal


@pytest.mark.usefixtures("ugly_temporary")
def test_temporary_files_of_simulators(dataflow: Package) -> None:
    for simulator in ("verilator", "icarus"):
        need(simulator)
        assert hwgen.verify(dataflow, simulator, random=1).equal


@pytest.mark.usefixtures("ugly_temporary")
def test_temporary_files_of_the_builder(dataflow: Package, tmp_path: Path) -> None:
    again = tiny_package(tmp_path)
    assert again.manifest == dataflow.manifest


@pytest.mark.usefixtures("ugly_temporary")
def test_the_c_engine_and_its_cache(
    dataflow: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not tools.c_compiler().found:
        pytest.skip("a C compiler is needed")
    monkeypatch.setenv("HWGEN_CACHE", str(tmp_path / "cache" / UGLY))
    x = {"image": np.random.default_rng(3).integers(0, 256, (2, 4, 4, 1))}
    graph = dataflow.graph
    assert np.array_equal(CEngine(graph).execute(x)["scores"], execute(graph, x)["scores"])


def test_the_cache_of_compiled_benches(
    dataflow: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("verilator")
    monkeypatch.setenv("HWGEN_CACHE", str(tmp_path / UGLY))
    assert hwgen.verify(dataflow, "verilator", random=1).equal
    assert [file.name for file in (tmp_path / UGLY / "verilator").glob("*/*")] == ["harness"]


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_paths_on_stdout(tmp_path: Path, encoding: str) -> None:
    """What a command prints of a path is the path, bytes that are no text included."""
    folder = tmp_path / NAMES["not-utf8"]
    folder.mkdir()
    package = hwgen.build(tiny_model(folder), folder / "tiny", multipliers=4)
    command = [sys.executable, "-m", "hwgen", "report", os.fspath(package.path)]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == os.fsencode(package.path / "report.html") + b"\n"


def test_what_the_encoding_does_not_hold(tmp_path: Path) -> None:
    """Characters become escapes: on stdout, where bytes stay, and on stderr."""
    model = tiny_model(tmp_path).rename(tmp_path / "größe\u2192.json")
    command = [sys.executable, "-m", "hwgen", "build", os.fspath(model), "--multipliers", "4"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1:strict"}
    out = os.fsencode(tmp_path) + b"/\xff"
    done = subprocess.run(
        [*command, "--out", out], capture_output=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert out + b": " in done.stdout
    model.write_text("{")
    done = subprocess.run(
        [*command, "--out", out], capture_output=True, check=False, env=environment
    )
    assert done.returncode == 2 and b"gr\xf6\xdfe\\u2192.json" in done.stderr


def test_plain_names() -> None:
    assert is_plain(Path("/tmp/hwgen-abc_1/x.y"))
    for name in (*NAMES.values(), "a b", "a$b", "a%b", "a:b", "a'b", "a=b", "a,b", "-a", "a~", "ä"):
        assert is_plain(Path("/tmp") / name) == (name == "-a"), name
    assert not is_plain(Path("relative"))


def test_no_plain_directory_is_told(ugly_temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwgen.flow.workplace._OTHERS", ("/no/such/place",))
    with pytest.raises(UserError, match="set TMPDIR") as raised, plain_directory():
        pass
    assert raised.value.file == str(ugly_temporary)
