"""Packages and files are replaced whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.archs.package import Package
from hwgen.commands.arrays import save_arrays
from hwgen.emit.contents import LATER, MANIFEST, SEALED
from hwgen.emit.parts import dump_json
from hwgen.emit.place import check_files, inside, replacing, write_files
from hwgen.emit.seals import sealed, sealed_page
from hwgen.errors import UserError
from hwgen.flow.fpga import DEVICES


def tree(folder: Path) -> dict[str, bytes]:
    """All that is below a directory, hidden things too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


STALE = b"of the old one"


def old_package(folder: Path) -> Path:
    """As a build left it: two files that the manifest knows, and a report."""
    target = folder / "package"
    (target / "rtl").mkdir(parents=True)
    for name in ("stale", "rtl/top.v"):
        (target / name).write_bytes(STALE)
    digest = hashlib.sha256(STALE).hexdigest()
    manifest = {"schema": 1, "design": "old", "files": {"stale": digest, "rtl/top.v": digest}}
    (target / MANIFEST).write_text(dump_json(manifest))
    (target / "report.html").write_text(sealed_page("whatever"))
    return target


def test_a_package_is_replaced_whole(tmp_path: Path) -> None:
    target = old_package(tmp_path)
    with replacing(target) as made:
        assert (target / "stale").exists(), "the old one stays until the block ends"
        (made / MANIFEST).write_text("new")
    assert tree(tmp_path) == {"package": b"", f"package/{MANIFEST}": b"new"}


@pytest.mark.parametrize("failure", [UserError("no"), ValueError("no"), KeyboardInterrupt()])
def test_where_the_block_fails_the_old_one_stays(tmp_path: Path, failure: BaseException) -> None:
    target = old_package(tmp_path)
    before = tree(tmp_path)
    with pytest.raises(type(failure)), replacing(target) as made:
        (made / "half").write_text("x")
        raise failure
    assert tree(tmp_path) == before


def test_directories_above_are_made_and_removed_again(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "c"
    with pytest.raises(ValueError), replacing(target):
        raise ValueError
    assert tree(tmp_path) == {}
    with replacing(target) as made:
        (made / "file").write_text("x")
    assert (target / "file").read_text() == "x"


def test_the_longest_names(tmp_path: Path) -> None:
    for name in ("d" * 255, "ü" * 127, "网" * 85):
        with replacing(tmp_path / name) as made:
            (made / "file").write_text("x")
        assert tree(tmp_path / name) == {"file": b"x"}


def test_errors_name_the_place_that_the_user_knows(tmp_path: Path) -> None:
    target = tmp_path / "package"
    with pytest.raises(UserError) as raised, replacing(target) as made:
        raise UserError("too large", file=made / "rtl" / "top.v")
    assert raised.value.file == target / "rtl" / "top.v"


def test_a_directory_that_fills_meanwhile_is_not_lost(tmp_path: Path) -> None:
    target = tmp_path / "package"
    with pytest.raises(UserError, match="not empty and not a package"), replacing(target) as made:
        (made / "file").write_text("x")
        target.mkdir()
        (target / "thesis.tex").write_text("years of work")
    assert tree(tmp_path) == {"package": b"", "package/thesis.tex": b"years of work"}


def test_the_current_directory_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = old_package(tmp_path)
    for place in (target, target / "rtl"):
        monkeypatch.chdir(place)
        with pytest.raises(UserError, match="current directory"), replacing(target):
            pass


def test_a_link_to_a_package_stays_a_link(tmp_path: Path) -> None:
    target = old_package(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(target)
    with replacing(link) as made:
        (made / "file").write_text("x")
    assert link.is_symlink()
    assert (target / "file").read_text() == "x"


def test_files_are_written_all_or_none(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"old")
    two.mkdir()
    with pytest.raises(UserError, match="two"):
        write_files({one: b"new", two: b"new"})
    assert tree(tmp_path) == {"one": b"old", "two": b""}
    two.rmdir()
    write_files({one: b"new", two: b"new"})
    assert tree(tmp_path) == {"one": b"new", "two": b"new"}


def test_a_place_without_permission(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        place = Path("/proc/hwgen/package")
    else:
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        place = closed / "package"
    with pytest.raises(UserError, match="can not be written"), replacing(place):
        pass


def refused(target: Path) -> str:
    """How a package is refused, which stays as it was, and nothing is left beside it."""
    before = tree(target.parent)
    with pytest.raises(UserError) as raised, replacing(target):
        raise AssertionError("taken")
    assert tree(target.parent) == before
    assert raised.value.file == target
    return str(raised.value)


CHANGES: dict[str, Callable[[Path], object]] = {
    "notes.txt": lambda p: (p / "notes.txt").write_text("mine"),
    "rtl/own.v": lambda p: (p / "rtl" / "own.v").write_text("mine"),
    "rtl/top.v (changed)": lambda p: (p / "rtl" / "top.v").write_text("mine"),
    "stale (changed)": lambda p: (p / "stale").write_bytes(STALE + b"\n"),
    "manifest.json (changed)": lambda p: (p / MANIFEST).open("a").write("\n"),
    ".git": lambda p: (p / ".git" / "objects").mkdir(parents=True),
    "rtl/.hidden": lambda p: (p / "rtl" / ".hidden").write_text("mine"),
    "results/plot.png": lambda p: [(p / "results").mkdir(), (p / "results/plot.png").touch()],
    "build/mine.v": lambda p: [(p / "build").mkdir(), (p / "build" / "mine.v").touch()],
    "build": lambda p: (p / "build").write_text("a file"),
    "report.html (changed)": lambda p: [(p / "report.html").unlink(), (p / "report.html").mkdir()],
    "empty": lambda p: (p / "empty").mkdir(),
    "rtl": lambda p: (p / "rtl").rename(p.parent / "kept") and (p / "rtl").symlink_to("../kept"),
    "link": lambda p: (p / "link").symlink_to(p / "stale"),
    "wave.vcd": lambda p: (p / "wave.vcd").symlink_to("nowhere"),
    "pipe": lambda p: os.mkfifo(p / "pipe"),
    "'two\\nlines'": lambda p: (p / "two\nlines").touch(),
}
"""What a person does to a package, by how it is named."""


@pytest.mark.parametrize("named", CHANGES)
def test_a_package_with_something_of_a_person_stays(tmp_path: Path, named: str) -> None:
    target = old_package(tmp_path)
    CHANGES[named](target)
    said = refused(target)
    assert f": {named}; " in said, said


def test_the_first_files_of_a_person_are_named_and_all_counted(tmp_path: Path) -> None:
    target = old_package(tmp_path)
    (target / "zoo").mkdir()
    for name in ("e", "d", "c", "zoo/a", "zoo/b"):
        (target / name).touch()
    assert ": c, d, e and 1 more; " in refused(target)


@pytest.mark.parametrize("pattern", [*LATER, *SEALED])
def test_what_comes_after_the_build_is_hwgens(tmp_path: Path, pattern: str) -> None:
    """Also the half of it that an interrupted command left."""
    target = old_package(tmp_path)
    file = target / pattern.replace("*", "x")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(sealed_page("") if file.suffix == ".html" else sealed({}))
    file.with_name(".hwgen-0123456789abcdef.new").touch()
    with replacing(target) as made:
        (made / "file").touch()
    assert tree(target) == {"file": b""}


@pytest.mark.parametrize("name", ["verify", "accuracy", *(f"synth-{name}" for name in DEVICES)])
def test_results_of_all_commands_are_hwgens(tmp_path: Path, name: str) -> None:
    target = old_package(tmp_path)
    Package(target, {"design": "old"}).write_result(name, {})
    with replacing(target):
        pass
    assert tree(target) == {}


def test_a_package_that_misses_files_is_replaced(tmp_path: Path) -> None:
    target = old_package(tmp_path)
    (target / "stale").unlink()
    with replacing(target):
        pass
    assert tree(target) == {}


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", '{"design": "old"}', '{"schema": 2, "design": "x", "files": {}}',
     '{"schema": 1, "design": "x", "files": []}', "[" * 100_000],
    ids=range(6),
)  # fmt: skip
def test_a_folder_without_a_manifest_of_this_version_is_no_package(
    tmp_path: Path, manifest: str
) -> None:
    target = old_package(tmp_path)
    (target / MANIFEST).write_text(manifest)
    assert "is not empty and not a package of this version of hwgen; choose" in refused(target)


def test_a_person_is_quicker_than_the_build(tmp_path: Path) -> None:
    target = old_package(tmp_path)
    with pytest.raises(UserError, match=": notes; "), replacing(target) as made:
        (made / "file").touch()
        (target / "notes").write_text("mine")
    assert (target / "notes").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["package"]


def test_other_places(tmp_path: Path) -> None:
    """A file is refused; an empty folder is taken, a link to one stays a link."""
    file, empty, link = tmp_path / "file", tmp_path / "empty", tmp_path / "link"
    file.touch()
    assert "is a file" in refused(file)
    empty.mkdir()
    link.symlink_to(empty)
    for place in (empty, link):
        with replacing(place) as made:
            (made / MANIFEST).write_text(dump_json({"schema": 1, "design": "x", "files": {}}))
        assert json.loads((empty / MANIFEST).read_text())["design"] == "x"
    assert link.is_symlink()
    other = tmp_path / ("n" * 250)  # as long as a name may be, nearly
    with replacing(other):
        pass
    assert other.is_dir()


def test_a_device_is_no_place_for_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="is a device or a pipe"):
        write_files({pipe: b"text"})
    assert pipe.is_fifo() and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["/abs/x", "../x", "a/../../x", "..", ".", "", "a/.."])
def test_paths_that_lead_out_of_a_package(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="outside of the package"):
        inside(tmp_path, name)
    assert inside(tmp_path, "rtl/top.v") == tmp_path / "rtl" / "top.v"


@pytest.mark.parametrize("ask", [check_files, lambda files, _: write_files({files[0]: b"y"})])
def test_nothing_beside_a_place_is_touched(tmp_path: Path, ask: Any) -> None:
    """Neither files nor links, whatever a half-written file might be called."""
    mine = {name: tmp_path / name for name in (".y.new", ".y.npy.new", "y.npy.new", "mine")}
    for file in mine.values():
        file.write_text("mine")
    (tmp_path / ".x.new").symlink_to(mine["mine"])
    before = set(tmp_path.iterdir())
    places = {tmp_path / "y.npy", tmp_path / ("x" * 255)}
    for place in places:
        ask([place], [])
    assert {file.read_text() for file in mine.values()} == {"mine"}
    assert before <= set(tmp_path.iterdir()) <= before | places


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for place in (tmp_path / "a", tmp_path / "a" / "file"):
        with pytest.raises(UserError, match="can not be written"):
            check_files([place], [])
        with pytest.raises(UserError, match="can not be written"):
            save_arrays({place: np.zeros(1)})


@pytest.mark.parametrize("pattern", SEALED)
@pytest.mark.parametrize("change", ["", " ", "null", "{}", "\x00"])
def test_what_was_changed_since_it_was_written_is_a_persons(
    tmp_path: Path, pattern: str, change: str
) -> None:
    """Something is behind it, or it is another file of its name."""
    target = old_package(tmp_path)
    file = target / pattern.replace("*", "x")
    file.parent.mkdir(exist_ok=True)
    whole = sealed_page("page") if file.suffix == ".html" else sealed({"key": 1})
    for text in (whole + change, change) if change else (whole.replace("e", "f", 1), change):
        file.write_text(text)
        assert f"{pattern.replace('*', 'x')} (changed)" in refused(target)
