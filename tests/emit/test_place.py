"""Packages and files are replaced whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwgen.emit.place import MANIFEST, replacing, write_files
from hwgen.errors import UserError


def tree(folder: Path) -> dict[str, bytes]:
    """All that is below a directory, hidden things too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def old_package(folder: Path) -> Path:
    target = folder / "package"
    target.mkdir()
    (target / MANIFEST).write_text('{"design": "old"}')
    (target / "stale").write_text("of the old one")
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
    with pytest.raises(UserError, match="not empty"), replacing(target) as made:
        (made / "file").write_text("x")
        target.mkdir()
        (target / "thesis.tex").write_text("years of work")
    assert tree(tmp_path) == {"package": b"", "package/thesis.tex": b"years of work"}


def test_the_current_directory_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = old_package(tmp_path)
    (target / "below").mkdir()
    for place in (target, target / "below"):
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
