"""What messages tell a user to do can be done: options exist, and what is advised is taken."""

from __future__ import annotations

import argparse
import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.commands import COMMANDS
from hwgen.flow import tools
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from tests.helpers.commands import options_of, parser_of, spellings
from tests.helpers.tflite_files import TfFile

ROOT = Path(hwgen.__file__).parent
MODELS = ROOT / "models"
FIXTURES = Path(__file__).parents[1] / "importers" / "fixtures"
OPTION = re.compile(r"(?<![\w-])--[a-z](?:[a-z-]*[a-z])?\b")


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Strings of a program with their lines; what f-strings insert is left out."""
    inner = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for part in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [p.value for p in node.values if isinstance(p, ast.Constant)]
            yield node.lineno, "\0".join(map(str, parts))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
        ):
            yield node.lineno, node.value


def sources() -> list[Path]:
    return [f for f in sorted(ROOT.rglob("*.py")) if not f.is_relative_to(ROOT / "emit/templates")]


def test_every_option_that_a_text_names_exists() -> None:
    known, wrong, seen = spellings(), [], set()
    for file in sources():
        for line, text in texts(ast.parse(file.read_text())):
            # A string that is nothing but options and their values is a tool's arguments, or the
            # parser's own; FuseSoC's options stand in its commands.
            tools = any(
                file.is_relative_to(ROOT / room) for room in ("flow", "archs", "emit", "cli.py")
            )
            if tools and re.fullmatch(r"(--[\w=.-]+( \w+)? ?)+", text):
                continue
            for option in OPTION.findall(re.sub("fusesoc [^\n]*", "", text)):
                seen.add((file, line, option))
                if option not in known:
                    wrong.append(f"{file.relative_to(ROOT)}:{line} {option}")
    assert not wrong, "\n".join(wrong)
    outside = {option for file, _, option in seen if not file.is_relative_to(ROOT / "commands")}
    assert len(seen) > 80 and len(outside) > 20, "the search finds too little"


def test_every_command_that_an_error_names_exists() -> None:
    found, wrong = 0, []
    for file in sources():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                named = [text for _, text in texts(node.value)]
            elif isinstance(node, ast.Assign) and "UserError" in file.read_text():
                named = [text for _, text in texts(node.value) if text.startswith("hwgen ")]
            else:
                continue
            for command in re.findall(r"\bhwgen ([a-z]+)", " ".join(named)):
                found += 1
                if command not in COMMANDS:
                    wrong.append(f"{file.relative_to(ROOT)}:{node.value.lineno} hwgen {command}")
    assert not wrong, "\n".join(wrong)
    assert found >= 4, "the search finds too little"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_options_of_its_own_command(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        hwgen.cli.main([command, "--help"])
    shown = capsys.readouterr().out
    assert stop.value.code == 0
    named = set(OPTION.findall(shown))
    assert named <= spellings(command), named - spellings(command)
    for action in options_of(command).values():
        assert set(action.option_strings) <= named
    wordless = [a for a in parser_of(command)._actions if a.help == argparse.SUPPRESS]
    assert not wordless


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_says_what_it_is_for(command: str) -> None:
    """By itself, without the argument's name: no fragment, no bare list of values."""
    for action in parser_of(command)._actions:
        for text in (action.help or "").split("; tiled: "):
            words = re.sub(r"\(default.*|^dataflow: ", "", text).split()
            print(command, action.dest, words)
            assert len(words) >= 3, text
            assert words[0] not in ("of", "to", "until", "also"), text


def test_exit_codes_are_the_same_everywhere() -> None:
    codes = ["0", "1", "2", "3", str(int(hwgen.cli.INTERRUPTED))]
    faq = (ROOT.parent / "docs" / "faq.md").read_text()
    readme = (ROOT.parent / "README.md").read_text()
    for text in (hwgen.cli.EPILOG, hwgen.cli.__doc__ or "", readme, faq):
        (said,) = re.findall(r"\b0 done[,;][^.]*", text)
        assert re.findall(r"\d+", said) == codes, said


@pytest.mark.parametrize("words", [[], ["dance"], *([name, "--tail=all"] for name in COMMANDS)])
def test_the_help_that_a_wrong_command_names_can_be_asked_for(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        hwgen.cli.main(words)
    found = re.search(r"; see hwgen (.*)\n$", capsys.readouterr().err)
    assert stop.value.code == 2 and found
    with pytest.raises(SystemExit) as stop:
        hwgen.cli.main(found[1].split())
    assert stop.value.code == 0


def test_what_is_to_be_installed_is_offered() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
    wanted = [project["dependencies"], *project["optional-dependencies"].values()]
    packages = {re.split(r"[ <>=;\[]", line)[0] for lines in wanted for line in lines} | {"hwgen"}
    offers = [tool().install for tool in tools.TOOLS]
    assert len(offers) >= 14
    for offer in offers:
        for text in offer.split(", or "):
            how = re.fullmatch(r"(pip|apt-get) install ([\w+-]+)(?:\[(\w+)\])?", text)
            assert how, offer
            if how[1] == "pip":
                assert how[2] in packages, offer
                assert how[3] is None or how[3] in project["optional-dependencies"], offer


def two_softmaxes() -> Graph:
    """A narrow one first, which a second unit is slower than."""
    kind = {"rounding": Rounding.HALF_EVEN, "overflow": Overflow.SATURATE}
    byte, weight = QType(True, 8, 4, **kind), QType(True, 6, 5, **kind)
    parts = QType(False, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-8, 0)
    rng = np.random.default_rng(1)
    nodes = [
        Node("first", ops.Dense(rng.integers(-32, 32, (4, 2)), weight), ("x",)),
        Node("first_q", ops.Requantize.scaled(byte, shift=6), ("first",)),
        Node("few", ops.Softmax(1_500_000_000, 22, parts), ("first_q",)),
        Node("whole", ops.Requantize.scaled(byte, shift=4), ("few",)),
        Node("second", ops.Dense(rng.integers(-32, 32, (2, 9)), weight), ("whole",)),
        Node("second_q", ops.Requantize.scaled(byte, shift=6), ("second",)),
        Node("many", ops.Softmax(1_500_000_000, 22, parts), ("second_q",)),
    ]
    return Graph("softmaxes", (Tensor("x", (4,), byte),), tuple(nodes), ("many",))


def softmax_of_a_curve(path: Path) -> Path:
    """A file whose softmax is in float32 by default; all else of it suits both architectures."""
    file = TfFile()
    x = file.input((1, 6), scale=0.05)
    parts = {"scale": 2.0**-8, "zero": -128}
    x = file.operator("LOGISTIC", [x], file.tensor((1, 6), **parts))
    file.operator("SOFTMAX", [x], file.tensor((1, 6), **parts), "SoftmaxOptions", Beta=9.0)
    return file.write(path)


MODEL = MODELS / "mnist_cnn.h5"
FLOATS = Path("floats.tflite")
"""That of ``softmax_of_a_curve``."""
IN_FLOATS = {"runtime": "xnnpack", "arch": "tiled"}
SOFTMAX = FIXTURES / "tflite_residual.tflite"
ADVICE: list[tuple[Path | None, dict[str, Any], str]] = [
    (MODEL, {"interval": 1}, r"--interval (?P<interval>\d+) or more"),
    (None, {"interval": 1}, r"--interval (?P<interval>\d+) or more"),
    (None, {"interval": 9}, r"--interval (?P<interval>\d+) or more"),
    (MODEL, {"multipliers": 3}, r"--multipliers (?P<multipliers>\d+) or more"),
    (SOFTMAX, {"multipliers": 1}, r"--multipliers (?P<multipliers>\d+) or more"),
    (FLOATS, IN_FLOATS, r"--runtime (?P<runtime>tflm) or"),
    (FLOATS, IN_FLOATS, r"or --runtime (?P<runtime>reference);"),
    (FLOATS, IN_FLOATS, r"--tail (?P<tail>host)$"),
    (FLOATS, IN_FLOATS, r"use --arch (?P<arch>dataflow), which"),
    (MODEL, {"arch": "tiled", "tiles": 3}, r"give 1, (?P<tiles>2), 4, 8"),
    (MODEL, {"arch": "tiled", "resident": 9}, r"give 1 to (?P<resident>8)"),
    (MODEL, {"arch": "tiled", "mem_width": 65}, r"give 32, 64, (?P<mem_width>128) or 256"),
    (MODEL, {"arch": "tiled", "array": "4x4", "mem_width": 256}, r"most (?P<mem_width>\d+) bits"),
    (MODEL, {"arch": "tiled", "bits": "8"}, r"1 to 16, as in (?P<bits>\d+,\d+)"),
    (MODEL, {"arch": "tiled", "bits": "4,3"}, r"give --bits (?P<bits>\d+,\d+)$"),
    (MODEL, {"arch": "tiled", "array": "5x4"}, r"as in (?P<array>\w+)"),
    (MODEL, {"arch": "tiled", "order": "row"}, r"one of auto, (?P<order>output)"),
    (MODEL, {"arch": "tiled", "multipliers": 3}, r"the smallest array has (?P<multipliers>16)"),
    (MODEL, {"arch": "tiled", "multipliers": 30, "tiles": 2}, r"tile units has (?P<each>16)"),
    (MODEL, {"arch": "tiled", "buffer_kib": 1}, r"give (?P<buffer_kib>\d+) to \d+ for"),
    (MODEL, {"arch": "tiled", "buffer_kib": 9**9}, r"give \d+ to (?P<buffer_kib>\d+) for"),
]  # fmt: skip


def planned(model: Path | None, options: dict[str, Any]) -> None:
    runtime = options.pop("runtime", None)
    hwgen.plan(two_softmaxes() if model is None else hwgen.load(model, runtime=runtime), **options)


@pytest.mark.parametrize("number", range(len(ADVICE)))
def test_what_a_refusal_advises_is_taken(number: int, tmp_path: Path) -> None:
    model, options, advice = ADVICE[number]
    if model == FLOATS:
        model = softmax_of_a_curve(tmp_path / FLOATS)
    with pytest.raises(hwgen.UserError) as refusal:
        planned(model, dict(options))
    found = re.search(advice, str(refusal.value))
    assert found, refusal.value
    given = {k: int(v) if v.isdigit() else v for k, v in found.groupdict().items()}
    if "each" in given:
        given = {"multipliers": options["tiles"] * given["each"]}
    planned(model, options | given)
