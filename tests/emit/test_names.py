"""Whatever a network and its layers are called: the package is whole, and its tools take it."""

from __future__ import annotations

import gc
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

import hwgen
from hwgen.archs.dataflow import files as dataflow_files
from hwgen.archs.package import Package, files_of
from hwgen.archs.reporting import write_report
from hwgen.archs.tiled import files as tiled_files
from hwgen.cli import main
from hwgen.emit.package import Source, manifest, write_package
from hwgen.emit.parts import dump_json
from hwgen.emit.verilog import VerilogDesign
from hwgen.errors import UserError
from hwgen.flow import tools
from hwgen.identifiers import identifier
from hwgen.ir import Graph, Node, Tensor, graph_to_json, ops
from hwgen.numeric import Overflow, QType, Rounding
from tests.helpers.names import HOSTILE
from tests.helpers.processes import run

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")

BYTE = QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE)
NIBBLE = QType(True, 4, 0, Rounding.FLOOR, Overflow.SATURATE)
PARTS = ("rtl/", "mem/")
OPTIONS: dict[str, dict[str, Any]] = {
    "dataflow": {"multipliers": 40},
    "tiled": {"arch": "tiled", "array": "4x4"},
}
ORDINARY = "ordinary"
EMPTY = VerilogDesign("top", {"top.v": "module top; endmodule\n"}, {})


def network(name: str, x: str, layers: Sequence[str]) -> Graph:
    """Dense layers, each of two names: of its sums and of their requantization."""
    rng = np.random.default_rng(7)
    nodes, edge = [], x
    for sums, scaled in zip(layers[::2], layers[1::2], strict=True):
        weights = rng.integers(-8, 8, (2, 2))
        nodes.append(Node(sums, ops.Dense(weights, NIBBLE), (edge,)))
        nodes.append(Node(scaled, ops.Requantize.scaled(BYTE, 1, 0, 3), (sums,)))
        edge = scaled
    return Graph(name, (Tensor(x, (2,), BYTE),), tuple(nodes), (edge,)).verify()


@dataclass(frozen=True)
class Family:
    """Packages of one network of one architecture under every name, by the name."""

    arch: str
    root: Path
    packages: dict[str, Path]


@pytest.fixture(scope="module", autouse=True)
def swept() -> Iterator[None]:
    """Gateware that was made for its ports alone ends here, where nobody is warned of that."""
    yield
    gc.collect()


@pytest.fixture(scope="module", params=list(OPTIONS))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """Built as hwgen.build does, but without the Verilog, which has no name of a network in it."""
    root = tmp_path_factory.mktemp(request.param)
    packages = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiled_files, "_designs", {})
        for module, top in ((dataflow_files, "DataflowTop"), (tiled_files, "TiledTop")):
            patch.setattr(module, top, once(getattr(module, top)))
            patch.setattr(module, "to_verilog", lambda *arguments: EMPTY)
        for number, name in enumerate([ORDINARY, *HOSTILE]):
            graph = network(name, "x", ("sums", "scores"))
            files = files_of(graph, hwgen.plan(graph, **OPTIONS[request.param]), with_c=True)
            packages[name] = root / f"{number}"
            packages[name].mkdir()
            written = manifest(files, Source("model.json", "", {}), name)
            write_package(packages[name], files, written)
    return Family(request.param, root, packages)


def once(make: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which gives at every call what it made at the first one."""
    made: list[Any] = []

    def call(*arguments: Any) -> Any:
        made.extend([] if made else [make(*arguments)])
        return made[0]

    return call


def paths(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_packages_have_the_same_files_and_nothing_lies_beside_them(family: Family) -> None:
    folders = family.packages.values()
    assert {path.name for path in family.root.iterdir()} == {path.name for path in folders}
    wanted = paths(family.packages[ORDINARY])
    assert {f"{ORDINARY}.h", f"{ORDINARY}.core", f"c/{ORDINARY}.h", f"c/{ORDINARY}.c"} <= wanted
    for name, folder in family.packages.items():
        stem = identifier(name)
        assert paths(folder) == {re.sub(rf"\b{ORDINARY}\b", stem, path) for path in wanted}, name


def uses(name: str, folder: Path, number: int) -> list[str]:
    """C text that includes both headers of a package, twice each, and takes something of both."""
    stem, last = identifier(name), "c/"
    headers = [f'#include "{folder}/{way}{stem}.h"' for way in ("", last)]
    macros = ", ".join(f"{stem.upper()}_{key}" for key in ("HASH_LO_VALUE", "INPUT_0_SIZE"))
    return [
        *headers,
        *headers,
        f"extern const unsigned numbers{number}[];",
        f"const unsigned numbers{number}[] = {{{macros}}};",
        f"extern void (*const run{number})(const int8_t *, int8_t *, void *);",
        f"void (*const run{number})(const int8_t *, int8_t *, void *) = {stem}_run;",
    ]


@pytest.mark.skipif(not shutil.which("g++"), reason="no C and C++ compiler")
def test_both_headers_compile_in_one_unit(family: Family, tmp_path: Path) -> None:
    """As C and as C++, and the network's source."""
    strict = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]
    (tmp_path / "c").mkdir()
    files = []
    for number, (name, folder) in enumerate(family.packages.items()):
        files.append(tmp_path / f"{number}.c")
        files[-1].write_text("\n".join([*uses(name, folder, number), ""]))
    run(tmp_path, "gcc", "-std=c11", *strict, *map(str, files))
    run(tmp_path, "g++", "-std=c++20", "-x", "c++", *strict, *map(str, files))
    sources = [f / "c" / f"{identifier(n)}.c" for n, f in family.packages.items()]
    run(tmp_path, "gcc", "-std=c99", *strict, *map(str, sources))


@pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler")
def test_all_headers_compile_in_one_unit(family: Family, tmp_path: Path) -> None:
    """Packages of different networks, as far as their identifiers differ."""
    different = {identifier(name).upper(): name for name in family.packages}
    assert len(different) > 20
    lines = []
    for number, name in enumerate(different.values()):
        lines += uses(name, family.packages[name], number)
    (tmp_path / "all.c").write_text("\n".join([*lines, ""]))
    run(tmp_path, "gcc", "-std=c11", "-Wall", "-Werror", "-fsyntax-only", "all.c")


@pytest.mark.skipif(not shutil.which("gcc"), reason="no C compiler")
def test_networks_of_one_identifier_do_not_hide_each_other(family: Family, tmp_path: Path) -> None:
    """The compiler says that their registers are two."""
    assert identifier("") == identifier("ä")
    lines = uses("", family.packages[""], 0)[:1] + uses("ä", family.packages["ä"], 1)[:1]
    (tmp_path / "two.c").write_text("\n".join([*lines, ""]))
    command = ["gcc", "-std=c11", "-fsyntax-only", "two.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if family.arch == "tiled":  # one program on one engine: all is the same
        assert not done.stderr
    else:
        assert '"M___HASH_LO_VALUE" redefined' in done.stderr


def listed_in(core: dict[str, Any]) -> set[str]:
    listed = [entry for part in core["filesets"].values() for entry in part["files"]]
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in listed}


def assert_lists_all(core: dict[str, Any], folder: Path) -> None:
    """All parts of the design and the benches, and nothing that is not there."""
    there, listed = set(paths(folder)), listed_in(core)
    assert listed <= there
    assert {path for path in there if path.startswith(PARTS)} <= listed
    used = [name for target in core["targets"].values() for name in target["filesets"]]
    assert set(used) == core["filesets"].keys()


def test_core_files_are_yaml_and_name_what_is_there(family: Family) -> None:
    for name, folder in family.packages.items():
        stem = identifier(name)
        core = yaml.safe_load((folder / f"{stem}.core").read_text().removeprefix("CAPI=2:\n"))
        assert core["name"] == f"::{stem}:0"
        assert stem in core["description"]
        assert_lists_all(core, folder)


MARKS = {"html_block", "html_inline", "link_open", "strong_open", "em_open", "s_open", "image"}


def markdown(file: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(file.read_text())


def shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)


def text(token: Token) -> str:
    """What is read of a line or a cell."""
    return "".join(child.content for child in token.children or () if "text" in child.type)


def test_guides_show_the_name_and_nothing_else(family: Family) -> None:
    for name, folder in family.packages.items():
        tokens = markdown(folder / "INTEGRATE.md")
        kinds = [child.type for token in tokens for child in token.children or ()]
        assert not MARKS & {token.type for token in tokens} | MARKS & set(kinds), name
        ending = " on a tiled engine" if family.arch == "tiled" else ""
        assert text(tokens[1]).split() == f"Integrating {shown(name)}{ending}".split()


def test_instances_of_the_guides_compile(family: Family, tmp_path: Path) -> None:
    if not shutil.which("iverilog"):
        pytest.skip("iverilog is not installed")
    modules = []
    for number, folder in enumerate(family.packages.values()):
        found = re.search(r"```verilog\n(.*?)```", (folder / "INTEGRATE.md").read_text(), re.S)
        assert found
        wires = sorted(set(re.findall(r"\.\w+\(([a-z]\w*)\)", found[1])))
        declared = "".join(f"wire {wire};\n" for wire in wires)
        modules.append(f"module system{number};\n{declared}{found[1]}endmodule\n")
    # Widths are another test's.
    ports = re.findall(r"\.(\w+)\(", modules[0])
    modules.append(f"module top ({', '.join(ports)});\ninput {', '.join(ports)};\nendmodule\n")
    (tmp_path / "systems.v").write_text("".join(modules))
    tops = [part for n in range(len(family.packages)) for part in ("-s", f"system{n}")]
    run(tmp_path, "iverilog", "-g2012", "-Wno-timescale", "-t", "null", *tops, "systems.v")


class Texts(HTMLParser):
    """Texts and tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_pages_show_the_name_and_nothing_else(family: Family) -> None:
    tags = set()
    for name, folder in family.packages.items():
        if not name:  # a model file has none
            continue
        write_report(Package.open(folder))
        page = Texts((folder / "report.html").read_text())
        tags = tags or page.tags
        assert page.tags == tags and "script" not in tags
        assert name in page.texts


LAYERS = (
    "out", "in", "output", "_mac", "x*/ int y; /*", "../../x", "a\nb", "| a | b |", "n" * 300, "ä",
    "<script>alert(1)</script>", "`define top x", "2nd", "module", "\0", '"',
)  # fmt: skip
"""Names of layers: some of them also those of files and signals that a bench has."""


@pytest.mark.parametrize("arch", list(OPTIONS))
def test_layers_of_every_name(arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built from a model file, whose network has a bad name too; shown, linted, compiled."""
    if arch == "tiled":
        monkeypatch.setattr(tiled_files, "_designs", {})
        monkeypatch.setattr(tiled_files, "to_verilog", lambda *arguments: EMPTY)
        monkeypatch.setattr(tiled_files, "TiledTop", once(tiled_files.TiledTop))
    graph = network("../../x", "\\", LAYERS)
    model, folder = tmp_path / "below" / "model.json", tmp_path / "below" / "package"
    model.parent.mkdir()
    model.write_text(dump_json(graph_to_json(graph)))
    options = {"dataflow": ["--multipliers", "16"], "tiled": ["--arch", "tiled", "--array", "4x4"]}
    assert main(["build", str(model), "--out", str(folder), "--c", *options[arch]]) == 0
    assert paths(tmp_path) - {f"below/package/{path}" for path in paths(folder)} == {
        "below", "below/model.json", "below/package",
    }  # fmt: skip
    page = Texts((folder / "report.html").read_text())
    assert "script" not in page.tags and set(LAYERS[1::2]) <= set(page.texts)
    stem = identifier(graph.name)
    core = yaml.safe_load((folder / f"{stem}.core").read_text().removeprefix("CAPI=2:\n"))
    assert_lists_all(core, folder)
    tokens = markdown(folder / "INTEGRATE.md")
    assert not MARKS & {c.type for token in tokens for c in (token, *(token.children or ()))}
    if shutil.which("gcc"):
        strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]
        run(folder, "gcc", *strict, f"c/{stem}.c")
    if arch == "tiled":
        pairs = zip(map(shown, LAYERS[::2]), map(shown, LAYERS[1::2]), strict=True)
        assert {", ".join(pair) for pair in pairs} <= {text(token) for token in tokens}
        return
    if tools.verilator().found:
        sources = sorted(path for path in paths(folder) if path.startswith("rtl/"))
        command = [tools.verilator().require(), "--lint-only", "-Wno-fatal", "--top-module"]
        run(folder, *command, "probe", "tb/waivers.vlt", "tb/probe.v", *sources)
    if shutil.which("iverilog"):
        assert main(["verify", str(folder), "--sim", "icarus"]) == 0


@pytest.mark.parametrize("path", ["/abs/x", "../x", "rtl/../../x", "..", "", "."])
def test_no_file_is_written_outside_of_a_package(family: Family, path: str, tmp_path: Path) -> None:
    package = Package.open(family.packages[ORDINARY])
    before = paths(family.root.parent)
    with pytest.raises(UserError, match="outside of the package"):
        package.write({path: "text"})
    with pytest.raises(UserError, match="outside of the package"):
        write_package(tmp_path, {"rtl/top.v": b"", path: b"text"}, {})
    assert not paths(tmp_path) and paths(family.root.parent) == before
