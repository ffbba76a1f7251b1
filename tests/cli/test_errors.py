"""Errors as JSON, homes that can not be written to, and interruptions at any moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import hwgen
from hwgen.caches import cache_home
from hwgen.cli import main
from hwgen.errors import ToolError, UserError
from tests.helpers.packages import tiny_model


def error_of(capsys: pytest.CaptureFixture[str]) -> tuple[dict, str]:
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def test_bad_input_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = json.loads(tiny_model(tmp_path).read_text())
    value["layers"][0]["stride"] = [0, 1]
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(value))
    assert main(["inspect", str(file), "--json"]) == 2
    found, said = error_of(capsys)
    assert found["exit_code"] == 2 and found["error"].keys() == {"message", "file", "layer", "hint"}
    assert found["error"]["file"] == str(file) and "layers[0]" in found["error"]["message"]
    assert said.startswith("hwgen: ") and found["error"]["message"] in said
    assert main(["inspect", str(file)]) == 2
    assert capsys.readouterr().out == ""


def test_the_layer_and_what_to_do_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value = json.loads(tiny_model(tmp_path).read_text())
    value["layers"][1]["inputs"] = ["nowhere"]
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(value))
    assert main(["inspect", str(file), "--json"]) == 2
    found, _ = error_of(capsys)
    assert found["error"]["layer"] == value["layers"][1]["name"]
    assert main(["verify", str(tmp_path), "--json"]) == 2
    found, said = error_of(capsys)
    assert found["error"]["hint"] and said.endswith(f"; {found['error']['hint']}\n")


@pytest.mark.parametrize(
    "given", [["build", "--json"], ["verify", "--json", "x", "--random"], ["--json", "nothing"]]
)
def test_wrong_arguments_as_json(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(given)
    assert stop.value.code == 2
    found, said = error_of(capsys)
    assert found["exit_code"] == 2 and f"hwgen: {found['error']['message']}\n" == said
    with pytest.raises(SystemExit):
        main([text for text in given if text != "--json"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (ToolError("Yosys failed"), 3, "Yosys failed"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError("4 GiB"), 2, "not enough memory (4 GiB)"),
        (OSError(28, "No space left", "/full"), 2, "No space left"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_ends_as_json(
    raised: BaseException,
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*_: object) -> None:
        raise raised

    monkeypatch.setattr("hwgen.commands.inspect.run", fails)
    assert main(["inspect", str(tmp_path), "--json"]) == code
    found, said = error_of(capsys)
    assert found["exit_code"] == code and found["error"]["message"] == message
    assert found["error"]["file"] == ("/full" if isinstance(raised, OSError) else None)
    assert said.count("\n") == 1


INTERRUPTED = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == {moment!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests
import hwgen
sys.meta_path.insert(0, Interrupts())
sys.argv = ["hwgen", "inspect", {model!r}]
from hwgen.entry import main
code = main()
os.kill(os.getpid(), signal.SIGINT)  # while the interpreter ends
sys.exit(code)
"""


@pytest.mark.parametrize(
    "moment", ["hwgen.cli", "argparse", "importlib.metadata", "rich.console", "numba", "nothing"]
)
def test_an_interruption_ends_quietly(moment: str, tmp_path: Path) -> None:
    program = INTERRUPTED.format(moment=moment, model=str(tiny_model(tmp_path)))
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    if moment == "nothing":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert (done.returncode, done.stderr) == (130, "hwgen: interrupted\n")


def test_little_is_imported_before_an_interruption_is_met() -> None:
    """Both ways to begin go through the module that meets it."""
    program = (
        "import sys; before = {'__future__', 'types', *sys.modules}; import hwgen.entry\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["hwgen", "hwgen.entry"], done.stderr
    project = Path(__file__).parents[2]
    assert 'hwgen = "hwgen.entry:main"' in (project / "pyproject.toml").read_text()
    assert "from hwgen.entry import main" in (project / "hwgen" / "__main__.py").read_text()
    assert hwgen.__version__ == version("hwgen") and hwgen.UserError is UserError


def test_a_home_that_can_not_be_written_to(tmp_path: Path) -> None:
    """Nobody, root neither, can make a folder in a file."""
    nowhere, temporary = tmp_path / "file", tmp_path / "temporary"
    nowhere.write_text("")
    temporary.mkdir()
    environment = {
        k: v for k, v in os.environ.items() if k not in ("XDG_CACHE_HOME", "HWGEN_CACHE")
    }
    environment |= {"HOME": str(nowhere), "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "hwgen", "inspect", str(tiny_model(tmp_path)), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0 and json.loads(done.stdout)["macs"]
    assert done.stderr.count("can not be written") == 1 and str(nowhere) in done.stderr
    (kept,) = temporary.glob("hwgen-cache-*")
    assert kept.stat().st_mode & 0o777 == 0o700


def test_no_cache_is_taken_from_strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "file"
    nowhere.write_text("")
    for name in ("XDG_CACHE_HOME", "YOWASP_CACHE_DIR"):
        monkeypatch.setenv(name, str(nowhere))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    usual = tmp_path / f"hwgen-cache-{os.getuid()}"
    usual.mkdir()
    usual.chmod(0o777)
    found = cache_home()
    assert found != usual and found.parent == tmp_path
    assert cache_home() == found, "the second time it is the usual place"
    assert capsys.readouterr().err.count("can not be written") == 1
