"""Every command that a report or a build prints does what it says when it is run."""

from __future__ import annotations

import gc
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth._unused import MustUse

import hwgen
from hwgen.archs.package import Package
from hwgen.archs.reporting import write_report
from hwgen.cli import main
from hwgen.emit.verilog import VerilogDesign, to_verilog
from hwgen.numeric import parse_type
from hwgen.report.command_lines import command_line, commands_of
from tests.helpers.commands import made_by, options_of, parsed
from tests.helpers.packages import tiny_model, tiny_package

FIXTURES = Path(__file__).parents[1] / "importers" / "fixtures"
SOFTMAX = FIXTURES / "tflite_residual.tflite"
UNTYPED = FIXTURES / "few_bits.h5"

BUILDS: dict[str, tuple[Path | None, dict[str, Any]]] = {
    "nothing": (None, {}),
    "a budget and C": (None, {"multipliers": 16, "c": True}),
    "an interval": (None, {"interval": 64, "arch": "dataflow"}),
    "a type of the input": (UNTYPED, {"input_type": "s8.-1", "multipliers": 12}),
    "a runtime and a tail": (SOFTMAX, {"runtime": "xnnpack", "tail": "host"}),
    "a plan file": (None, {"plan": "dataflow"}),
    "a tiled engine": (
        None,
        {
            "arch": "tiled", "array": "8x4", "tiles": 2, "resident": 1, "buffer_kib": 32,
            "mem_width": 32, "order": "weight", "requantizers": 2, "c": True, "bits": "9,8",
        },
    ),
    "a tiled budget": (
        None, {"arch": "tiled", "multipliers": 32, "resident": 3, "without": "float,wide"}
    ),
    "a tiled plan file": (None, {"plan": "tiled"}),
}  # fmt: skip
"""A model (None: the documented example) and options, by the parser's names."""

NAMES = ("plain.json", "a model's (1).json", "-dash $HOME & <b>.json", "two\nlines.json")


@pytest.fixture(scope="module")
def plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Plan files of both architectures for the documented example."""
    folder = tmp_path_factory.mktemp("plans of mine")
    files = {}
    for arch, options in (("dataflow", {"multipliers": 9}), ("tiled", {"array": "4x4"})):
        plan = hwgen.plan(hwgen.load(tiny_model(folder)), arch=arch, **options)
        files[arch] = folder / f"-plan of {arch}.json"
        files[arch].write_text(json.dumps(plan.to_json()))
    return files


def test_every_option_of_build_is_built_with() -> None:
    used = {name for _, options in BUILDS.values() for name in options}
    assert used == options_of("build").keys() - {"out"}


@pytest.fixture
def without_verilog(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Leaves out the Verilog of packages, which takes seconds and follows from the plan alone."""

    def leave_out() -> None:
        # Components that nobody elaborates warn when they are collected.
        monkeypatch.setattr(MustUse, "_MustUse__silence", True)
        for module in list(sys.modules.values()):
            if getattr(module, "to_verilog", None) is to_verilog:
                monkeypatch.setattr(module, "to_verilog", lambda *_: VerilogDesign("top", {}, {}))

    yield leave_out
    gc.collect()


@pytest.mark.parametrize("case", BUILDS)
def test_the_command_of_a_build_builds_it_again(
    case: str,
    plans: dict[str, Path],
    tmp_path: Path,
    without_verilog: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, options = BUILDS[case]
    if "tiled" in options.values() or source is SOFTMAX:
        without_verilog()
    model = source or tiny_model(tmp_path)
    name = NAMES[list(BUILDS).index(case) % len(NAMES)] if source is None else source.name
    again = tmp_path / "another place"
    again.mkdir()
    shutil.copy(model, again / name)
    first = tmp_path / "the first"
    first.mkdir()
    shutil.copy(model, first / name)
    if "plan" in options:
        file = plans[options["plan"]]
        options = options | {"plan": file}
        shutil.copy(file, again / file.name)
    typed = ["build", str(first / name), "--out", str(first / "it's out")]
    for option, value in options.items():
        word = "--" + option.replace("_", "-")
        typed += [word] if value is True else [f"{word}={value}"]
    assert main(typed) == 0
    (line,) = made_by(first / "it's out")
    monkeypatch.chdir(again)
    assert main(shlex.split(line)[1:]) == 0, line
    made, remade = Package.open(first / "it's out"), Package.open(again / "PACKAGE")
    assert remade.manifest == made.manifest, line
    assert set(made.manifest["options"]) == {"arch", *options}, "an option was forgotten"
    assert made_by(remade.path) == [line]
    steps = [text for text in capsys.readouterr().out.splitlines() if text.startswith("next: ")]
    assert [parsed(text.removeprefix("next: ")).package for text in steps] == [
        first / "it's out",
        Path("PACKAGE"),
    ]


def test_a_type_of_the_api_is_recorded_as_it_is_typed(tmp_path: Path) -> None:
    package = hwgen.build(UNTYPED, tmp_path / "p", input_type=parse_type("s8.-1"), multipliers=12)
    assert package.manifest["options"]["input_type"] == "s8.-1"


def without_time(package: Path) -> dict[str, Any]:
    value = json.loads((package / "results" / "verify.json").read_text())
    del value["seconds"], value["digest"]  # the digest is of all the others
    return value


@pytest.mark.parametrize("frames", ["vectors", "random", "given"])
def test_the_command_of_a_verification_verifies_again(
    frames: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tiny_package(tmp_path)
    x = package.graph.inputs[0]
    np.save(tmp_path / "FRAMES.npy", np.arange(5 * x.size).reshape(5, *x.shape) % (x.type.max + 1))
    asked = {"random": {"random": 3}, "given": {"inputs": np.load(tmp_path / "FRAMES.npy")}}
    hwgen.verify(package, "python", **asked.get(frames, {}))
    before = without_time(package.path)
    assert before["source"] == frames
    _, line = made_by(package.path)
    assert parsed(line).sim == "python"
    package.path.rename(tmp_path / "PACKAGE")
    shutil.rmtree(tmp_path / "PACKAGE" / "results")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)[1:]) == 0, line
    assert without_time(tmp_path / "PACKAGE") == before


def test_how_external_memory_answered_is_part_of_the_command(tmp_path: Path) -> None:
    """tests/archs/tiled/test_report.py simulates with such a command."""
    package = tiny_package(tmp_path)
    result = {"simulator": "verilator", "source": "random", "frames": 2}
    package.write_result("verify", result | {"memory": {"latency": 33, "rate": 0.1234567}})
    _, line = commands_of(package)
    asked = parsed(line)
    assert (asked.sim, asked.random) == ("verilator", 2)
    assert (asked.mem_latency, asked.mem_rate) == (33, 0.1234567)
    assert asked.inputs is None and asked.wave is False and asked.mem_gaps is None
    memory = {"latency": 33, "rate": 0.5, "gaps": 7}
    for bench, sim in (("c++", None), ("cocotb", "verilator")):
        package.write_result("verify", result | {"bench": bench, "memory": memory})
        asked = parsed(commands_of(package)[1])
        assert (asked.sim, asked.mem_gaps) == (sim, 7)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, ""),
        ({"tries": 3}, " --tries 3"),
        ({"freq": 62.5, "seed": 7, "tries": 2}, " --freq 62.5 --seed 7 --tries 2"),
    ],
)
def test_the_command_of_a_synthesis_asks_for_the_same(
    asked: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tools' results are stood in for: only what was asked for comes from the command."""
    from hwgen.flow.fpga import synth

    package = tiny_package(tmp_path)

    def synthesize(*given: Any) -> dict[str, Any]:
        opened, device, freq, seed, tries, _ = given
        result = {
            "device": device, "target_mhz": freq, "seed": seed + tries - 1,
            "fmax_mhz_of_seeds": {str(seed + n): 99.0 + n for n in range(tries)},
        }  # fmt: skip
        opened.write_result(f"synth-{device}", result)
        return result

    monkeypatch.setattr("hwgen.commands.synth.api.synthesize", synthesize)
    given = vars(parsed(command_line("synth", package.path, device="ecp5-45k-6", **asked)))
    names = ("device", "freq", "seed", "tries")
    synthesize(package, *(given[name] for name in names), None)
    _, line = commands_of(package)
    assert line == f"hwgen synth PACKAGE --device ecp5-45k-6{words}"
    again = vars(parsed(line))
    assert {name: again[name] for name in names} == {name: given[name] for name in names}
    assert options_of("synth").keys() == set(names)
    assert set(result_keys(synth)) >= {"target_mhz", "seed", "fmax_mhz_of_seeds"}


def result_keys(module: Any) -> list[str]:
    """Strings that are keys in the real synthesis's result."""
    import ast

    tree = ast.parse(Path(module.__file__).read_text())
    return [
        key.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    ]


def test_nothing_on_the_page_is_lost_in_the_report(tmp_path: Path) -> None:
    package = tiny_package(tmp_path)
    assert made_by(package.path) == commands_of(package)
    write_report(package)
    assert made_by(package.path) == commands_of(package)


def test_words_reach_the_command_as_they_are() -> None:
    words = ["a b", "it's", '"', "$HOME", "-x", "--out", "a\nb", "ü", "*", "\\", "100%"]
    for word in words:
        asked = parsed(command_line("build", word, out=word, plan=word, runtime="tflm"))
        assert asked.model == Path(word) and asked.out == asked.plan == Path(word)
        assert asked.runtime == "tflm"
    assert command_line("build", "m", c=True, tail=None, plan=False) == "hwgen build m --c"
