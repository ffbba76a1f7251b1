"""Every command of a document is carried out on a stand-in, or read by the parser it is for."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

import hwgen
from hwgen.archs.choices import all_options
from hwgen.cli import main
from hwgen.flow.memory import Memory
from tests.helpers.commands import parsed, parser_of, spellings

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"
FIXTURES = ROOT / "tests" / "importers" / "fixtures"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "hwgen/models/README.md")),
    ROOT / "rtl_out" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(p for p in SCRIPTS.iterdir() if p.is_file() and p.suffix in ("", ".py")),
]
STARTS = r"(?:python3? )?(?:hwgen|scripts/[\w.]+)(?: |$)"
VALUES = {
    "N": "3", "CYCLES": "900", "NAME": "weight", "PExSIMD": "8x8", "PROBLEM": "mnist",
    "SIMULATOR": "icarus", "ARGS": "", "...": "",
}  # fmt: skip
"""What documents write for a value, and a value."""


def commands_of(document: Path) -> Iterator[str]:
    """Commands in blocks of code, in indented lines and in backquotes."""
    text = document.read_text(encoding="utf-8").replace("\\\\\n", "\\\n")
    text = re.sub(r"\\\n *", "", text)
    yield from re.findall(rf"(?m)^(?:#| )* {{2,}}({STARTS}.*)$", text)
    for block in re.findall(r"(?m)^```sh\n(.*?)^```", text, re.S):
        yield from filter(None, block.splitlines())
    if document.suffix == ".py":
        yield from re.findall(rf"(?m)^({STARTS}.*[\]\w])$", text.partition('"""')[2])
    prose = re.sub(r"(?ms)^```.*?^```", "", text)
    for span in re.findall(r"``?([^`]+)``?", prose):
        if re.match(STARTS, span):
            yield " ".join(span.split())


def words_of(command: str) -> list[str]:
    """Without comments, with all parts that are in brackets, and with values for their names."""
    command = re.sub(r" {2,}[a-z(].*$", "", command.split(" #")[0])
    words = [VALUES.get(word, word) for word in re.sub(r"[][]", "", command).split()]
    return [word for word in words if word not in ("", "python", "python3")]


ALL = [(path, command) for path in DOCUMENTS for command in commands_of(path)]


class Stand:
    """Imports a mock where a script wants a package of another environment than hwgen's."""

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        foreign = name.split(".")[0] in ("hgq", "keras", "onnxruntime", "qkeras", "tensorflow")
        return ModuleSpec(name, self, is_package=True) if foreign else None  # pyright: ignore

    def create_module(self, spec: ModuleSpec) -> Any:
        return MagicMock(__path__=[], __spec__=spec)

    def exec_module(self, module: Any) -> None:
        pass


def script_parser(script: Path) -> argparse.ArgumentParser:
    """The parser that a script reads its arguments with; nothing else of it is carried out."""

    class Found(Exception):
        pass

    def found(self: argparse.ArgumentParser, *_: Any) -> None:
        raise Found(self)

    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", found)
        patch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
        patch.setattr(sys, "meta_path", [*sys.meta_path, Stand()])
        patch.setattr(sys, "argv", [str(script)])
        try:
            runpy.run_path(str(script), run_name="__main__")
        except Found as parser:
            return parser.args[0]
        finally:
            for name in set(sys.modules) - before:
                module: Any = sys.modules[name]
                file = "" if isinstance(module, MagicMock) else getattr(module, "__file__", None)
                if file is not None and (not file or Path(file).parent == SCRIPTS):
                    del sys.modules[name]
    raise AssertionError(f"{script.name} reads no arguments")


def job_of(words: list[str]) -> tuple[Path, list[str]]:
    """The Python program that a script of the shell hands its arguments to, and those."""
    script, arguments = ROOT / words[0], words[1:]
    if script.suffix == ".py":
        return script, arguments
    text = script.read_text()
    for name in arguments[:1]:
        found = re.search(rf"(?m)^  {re.escape(name)}\)\n    shift\n    job=(\S+)", text)
        if found:
            return SCRIPTS / found[1], arguments[1:]
    if arguments == ["--env-only"]:
        assert "== --env-only " in text
        arguments = []
    found = re.search(r"(?m)^job=(\S+)|^exec .*scripts/(\w+\.py)", text)
    assert found, words
    return SCRIPTS / (found[1] or found[2]), arguments


def completed(command: str, words: list[str]) -> list[str]:
    """A command of which a sentence names a part only, with what it can not be without."""
    given, missing = list(words), []
    for action in parser_of(command)._actions:
        if action.option_strings and action.required and not {*action.option_strings} & {*given}:
            missing += [action.option_strings[-1], "x"]
        if not action.option_strings and (not given or given[0].startswith("--")):
            missing.insert(0, "x")
    return [*missing, *given]


def is_read(words: list[str]) -> None:
    """AssertionError where the command's own parser does not take the words."""
    if words[0] == "hwgen":
        parsed(shlex.join([*words[:2], *completed(words[1], words[2:])]))
        return
    script = ROOT / words[0]
    assert script.is_file(), words
    if not words[1:] or words[0] == "scripts/test":  # a name; the rest of test's is for pytest
        return
    program, arguments = job_of(words)
    try:
        script_parser(program).parse_args(arguments)
    except SystemExit as stop:
        raise AssertionError(f"exit code {stop.code}") from None


def test_every_command_is_read_by_its_parser() -> None:
    wrong = []
    for path, command in ALL:
        words = words_of(command)
        try:
            is_read(words)
        except (AssertionError, KeyError) as error:
            wrong.append(f"{path.relative_to(ROOT)}: {command}: {error!r}")
    assert not wrong, "\n".join(wrong)


def test_the_search_finds_them() -> None:
    counts = {path.name: 0 for path in DOCUMENTS}
    for path, command in ALL:
        print(f"{path.name}: {words_of(command)}")
        counts[path.name] += 1
    blocks = sum(
        len(re.findall(r"(?m)^(?:hwgen|scripts/)", block))
        for path in DOCUMENTS
        for block in re.findall(r"(?m)^```sh\n(.*?)^```", path.read_text(), re.S)
    )
    assert blocks >= 12 and len(ALL) >= 60
    for name, least in (("README.md", 12), ("tiled.md", 8), ("train", 6), ("verify_tiled.py", 3)):
        assert counts[name] >= least, counts


def test_scripts_can_be_called_as_documents_call_them() -> None:
    programs = [
        path
        for path in sorted(f for f in SCRIPTS.iterdir() if f.is_file())
        if (path.suffix == "" and path.is_file()) or '__name__ == "__main__"' in path.read_text()
    ]
    assert len(programs) >= 18
    for path in programs:
        assert path.read_bytes().startswith(b"#!") and os.access(path, os.X_OK), path.name


OPTION = re.compile(r"--[a-z](?:[a-z-]*[a-z])?")


def test_every_option_that_a_document_names_is_one() -> None:
    """In backquotes by itself, as ``--tries N``: of hwgen or of a script that the page names."""
    wrong, found, known = [], 0, spellings()
    for path in DOCUMENTS:
        if path.suffix != ".md":
            continue
        prose = re.sub(r"(?ms)^```.*?^```", "", path.read_text())
        named = [ROOT / name for name in re.findall(r"`(scripts/\w+(?:\.py)?)[ `]", prose)]
        for span in re.findall(r"`(--[^`]+)`", prose):
            for option in OPTION.findall(span):
                found += 1
                if option in known:
                    continue
                jobs = [job_of([str(script.relative_to(ROOT))])[0] for script in named]
                parsers = [script_parser(job) for job in jobs if "argparse" in job.read_text()]
                if not any(option in p._option_string_actions for p in parsers):
                    wrong.append(f"{path.name}: {option}")
    assert not wrong, "\n".join(wrong)
    assert found >= 60


STANDINS = {
    "model.h5": FIXTURES / "few_bits.h5",
    "mlperf_tiny_ic_resnet8_int8.tflite": FIXTURES / "tflite_residual.tflite",
}
"""Small models in the place of those that documents name."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the commands of documents read. Simulations are small enough for
    the simulator that compiles nothing."""
    for name, model in STANDINS.items():
        shutil.copy(model, tmp_path / name)
    graph = hwgen.load(tmp_path / "model.h5")
    x = graph.inputs[0]
    frames = np.random.default_rng(3).integers(x.type.min, x.type.max + 1, (20, *x.shape))
    scores = hwgen.run(graph, {x.name: frames})[graph.outputs[0]]
    np.save(tmp_path / "x.npy", frames)
    np.savez(tmp_path / "digits.npz", x=frames, y=scores.reshape(20, -1).argmax(axis=1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hwgen.flow.tools.can_compile", lambda: False)
    return tmp_path


def blocks_of(document: Path) -> list[list[str]]:
    """The commands of hwgen in the blocks of a document, those of a block in their order."""
    blocks = re.findall(r"(?m)^```sh\n(.*?)^```", document.read_text(), re.S)
    words = [[words_of(line) for line in block.splitlines() if line] for block in blocks]
    return [[w for w in block if w[0] == "hwgen"] for block in words]


def test_the_commands_of_the_readme_can_be_run(place: Path) -> None:
    (commands,) = filter(None, blocks_of(ROOT / "README.md"))
    assert len(commands) >= 7
    for _, *words in commands:
        if "tiled" in words:  # its Verilog takes seconds; the plan is what may be refused
            planned(words)
        else:
            assert main(quicker(words)) == 0, words
    assert np.load("y.npy").shape[0] == 20
    assert (place / "DIR" / "c").is_dir()


def test_the_commands_of_the_tiled_architecture_can_be_run(place: Path) -> None:
    blocks = [block for block in blocks_of(ROOT / "docs" / "tiled.md") if block]
    assert len(blocks) >= 2
    for block in blocks:
        for _, *words in block:
            if words[0] == "inspect":
                assert main(words) == 0, words
            elif words[0] == "build":
                planned(words)
            else:
                assert words[:2] == ["verify", "DIR"]
                asked = parsed(shlex.join(["hwgen", *words]))
                given = {
                    "latency": asked.mem_latency,
                    "rate": asked.mem_rate,
                    "gaps": asked.mem_gaps,
                }
                Memory(**{name: value for name, value in given.items() if value is not None})


def planned(words: list[str]) -> None:
    """The plan that ``hwgen build`` with these words would be of. Raises UserError."""
    asked = parsed(shlex.join(["hwgen", *words]))
    options = {name: getattr(asked, name) for name in (*all_options(), "arch", "tail")}
    assert hwgen.plan(hwgen.load(asked.model), **options).to_json()["arch"] == "tiled"


def quicker(words: list[str]) -> list[str]:
    """The same with a few frames to simulate."""
    frames = {n + 1 for n, word in enumerate(words) if word in ("--random", "--rtl")}
    return ["2" if n in frames else word for n, word in enumerate(words)]
