"""Packages are read back only as build made them, and faults are told by file."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from random import Random

import pytest

from hwgen.archs.package import Package
from hwgen.cli import main
from hwgen.errors import UserError
from hwgen.report.command_lines import commands_of
from tests.helpers.json_faults import NOT_JSON, mutated
from tests.helpers.packages import tiny_package


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return tiny_package(tmp_path_factory.mktemp("package"))


@pytest.fixture
def package(made: Package, tmp_path: Path) -> Package:
    return Package.open(Path(shutil.copytree(made.path, tmp_path / "copy")))


def test_graph_and_plan_come_back(package: Package, made: Package) -> None:
    assert package.plan.to_json() == made.plan.to_json()
    assert package.graph.macs == made.graph.macs > 0
    estimate = package.plan_json["estimate"]
    timing = package.plan.timing()
    assert (estimate["interval"], estimate["latency"]) == (timing.interval, timing.latency)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": 1}', '{"schema": 1, "design": 5, "name": "x"}', "[" * 100_000],
)
def test_damaged_manifests(package: Package, text: str) -> None:
    (package.path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="damaged"):
        Package.open(package.path)


@pytest.mark.parametrize(
    "change",
    [
        {"options": None}, {"options": [1]}, {"options": {"tiles": [1]}}, {"tools": None},
        {"tools": "x"}, {"tools": {"numpy": 1}}, {"options": {"input_type": 5}},
        {"files": {"../x": "0" * 64}},
    ],
    ids=str,
)  # fmt: skip
def test_manifests_with_other_values(
    package: Package, change: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    """None: the key is not there."""
    manifest = {k: v for k, v in (package.manifest | change).items() if v is not None}
    (package.path / "manifest.json").write_text(json.dumps(manifest))
    assert main(["report", str(package.path)]) == 2
    said = capsys.readouterr().err
    assert "is damaged" in said and next(iter(change)) in said and "^" not in said, said


def test_options_of_any_name_are_shown(package: Package) -> None:
    """A manifest may be of a person's hand: no name of an option ends in an exception."""
    manifest = package.manifest | {"options": {"out": "x", "command": "y"}}
    (line,) = commands_of(Package(package.path, manifest))
    assert line == "hwgen build tiny.json --out PACKAGE --command y"


def test_another_schema(package: Package) -> None:
    manifest = package.manifest | {"schema": 99}
    (package.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="schema 99"):
        Package.open(package.path)


@pytest.mark.parametrize("name", ["graph.json", "plan.json", "vectors/vectors.npz"])
def test_what_golden_is_made_from_must_be_as_built(package: Package, name: str) -> None:
    path = package.path / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(UserError, match="changed or damaged") as raised:
        package.file(name)
    assert raised.value.file == path
    path.unlink()
    with pytest.raises(UserError, match="missing"):
        package.file(name)


def test_a_graph_that_is_not_legal(package: Package) -> None:
    """As another version may have made it: here a layer leads nowhere."""
    path = package.path / "graph.json"
    graph = json.loads(path.read_text())
    first = graph["inputs"][0]["name"]
    graph["layers"].append({"name": "dead", "op": "flatten", "inputs": [first]})
    path.write_text(json.dumps(graph))
    digests = {"graph.json": hashlib.sha256(path.read_bytes()).hexdigest()}
    other = Package(package.path, package.manifest | {"files": package.manifest["files"] | digests})
    with pytest.raises(UserError) as raised:
        _ = other.plan
    assert (raised.value.file, raised.value.layer) == (path, "dead")
    assert "flatten: Another layer reads it, or it is an output" in raised.value.reason
    assert raised.value.hint == "hwgen build again"


def test_results_are_in_a_directory(package: Package, capsys: pytest.CaptureFixture[str]) -> None:
    (package.path / "results").write_text("")
    for command in ("report", "verify"):
        assert main([command, str(package.path)]) == 2
        assert f"{package.path / 'results'}: is a file" in capsys.readouterr().err


def test_changed_rtl_is_told(package: Package) -> None:
    assert package.changed() == []
    path = package.path / "rtl" / "top.v"
    path.write_text(path.read_text() + "// mine\n")
    assert package.changed() == ["rtl/top.v"]
    path.unlink()
    with pytest.raises(UserError, match="missing"):
        package.changed()


def test_results_are_those_of_the_design(package: Package) -> None:
    assert package.result("verify") is None
    package.write_result("verify", {"equal": True})
    assert package.result("verify") == {"schema": 1, "design": package.design, "equal": True}
    other = Package(package.path, package.manifest | {"design": "another"})
    assert other.result("verify") is None
    (package.path / "results" / "verify.json").write_text("{")
    assert package.result("verify") is None
    package.write_result("verify", {"equal": True})
    file = package.path / "results" / "verify.json"
    file.write_text(file.read_text().replace("true", "null"))
    assert package.result("verify") is None


COMMANDS = (("report",), ("verify", "--sim", "python"), ("synth", "--device", "ecp5-85k-6"))


@pytest.mark.parametrize("name", ["manifest.json", "graph.json", "plan.json", "certificate.json"])
@pytest.mark.parametrize("damage", ["half", "a list", "not UTF-8"])
def test_commands_refuse_a_damaged_package(
    package: Package, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = package.path / name
    file.write_bytes(NOT_JSON[damage])
    before = {path: path.read_bytes() for path in package.path.rglob("*") if path.is_file()}
    for command, *options in COMMANDS:
        assert main([command, str(package.path), *options]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"hwgen: {file}: ") and said.count("\n") == 1, said
    assert before == {p: p.read_bytes() for p in package.path.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("name", "cases"),
    [("manifest.json", 40), ("plan.json", 40), ("graph.json", 40), ("certificate.json", 10)],
)
def test_files_whose_hash_is_right(
    package: Package, name: str, cases: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever they state, a command ends with a report or with one message."""
    good = json.loads((package.path / name).read_text())
    if name == "certificate.json":
        good = {"requantizations": good["requantizations"]}
    refused = 0
    for seed in range(cases):
        fault, text = mutated(good, Random(seed))
        print(f"seed {seed}: {fault}")
        (package.path / name).write_text(text)
        if name != "manifest.json":
            hashes = package.manifest["files"] | {name: hashlib.sha256(text.encode()).hexdigest()}
            manifest = package.manifest | {"files": hashes}
            (package.path / "manifest.json").write_text(json.dumps(manifest))
        code = main(["report", str(package.path)])
        said = capsys.readouterr().err
        assert code in (0, 2)
        if code == 2:
            assert said.startswith("hwgen: ") and said.count("\n") == 1, said
            refused += 1
    assert refused > cases // 4
