"""report.html in a real browser: everything is drawn, nothing overflows, nothing is fetched."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen import api
from hwgen.ir import graph_to_json
from hwgen.report.html import THIN
from hwgen.report.timeline import LABEL

FIXTURES = Path(__file__).parents[1] / "importers" / "fixtures"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    f"--{flag}"
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"),
        *("disable-background-networking", "disable-component-update", "hide-scrollbars"),
    )
]

pytestmark = pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")

PROBE = """
<script>
const LABEL = LABEL_OF_THE_TIMELINE;
addEventListener("load", () => {
  const box = e => e.getBoundingClientRect();
  const found = {
    headings: [...document.querySelectorAll("h2")].map(e => e.textContent),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    boxes: [...document.querySelectorAll("svg.network rect")].map(e => box(e).width),
    outside: [...document.querySelectorAll("svg.network g[transform]")].flatMap(g =>
      [...g.querySelectorAll("text")].filter(
        e => box(e).right > box(g.querySelector(":scope > rect")).right)).length,
    beyond: [...document.querySelectorAll("svg.timeline .lane text")].filter(
      e => e.getBBox().x + e.getBBox().width > LABEL).map(e => e.textContent),
    scrolled: [...document.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth)
      .map(e => e.textContent.trim().slice(0, 200)),
    bars: [...document.querySelectorAll(".bar")].filter(e => box(e).width > 0).length,
    pictures: [...document.querySelectorAll("img")].map(e => e.naturalWidth),
    fetched: performance.getEntriesByType("resource").map(e => e.name)
      .filter(name => !name.startsWith("data:")),
    wrapped: [...document.querySelectorAll("th")].filter(e => box(e).height > 40)
      .map(e => e.textContent),
    lanes: document.querySelectorAll("svg.timeline .lane").length,
    spans: [...document.querySelectorAll("svg.timeline rect")].map(e => box(e).width),
    zeros: document.querySelectorAll(".score .zero").length,
    cards: [...document.querySelectorAll(".card")].filter(e => e.scrollWidth > e.clientWidth)
      .map(e => e.textContent),
    best: [...document.querySelectorAll("tr.best td:first-child")].map(e => e.textContent),
  };
  document.title = JSON.stringify(found);
});
</script>
""".replace("LABEL_OF_THE_TIMELINE", str(LABEL))


def browse(file: Path, profile: Path, *options: str) -> str:
    assert BROWSER is not None
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", *options, file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Branches, simulated on frames of the user's."""
    made = api.build(FIXTURES / "joined.h5", tmp_path_factory.mktemp("r") / "p", multipliers=20)
    x = np.random.default_rng(4).integers(0, 256, (3, 6, 6, 2))
    assert api.verify(made, "python", inputs=x).equal
    return made.path


def probe(package: Path, tmp_path: Path, width: int = 1000) -> dict:
    page = tmp_path / "page.html"
    source = (package / "report.html").read_text()
    page.write_text(source.replace("</body>", f"{PROBE}</body>"))
    dom = browse(page, tmp_path / "profile", "--dump-dom", f"--window-size={width},900")
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title is not None
    return json.loads(title[1].replace("&amp;", "&").replace("&gt;", ">").replace("&lt;", "<"))


@pytest.mark.parametrize("width", [420, 1000])
def test_all_is_drawn(width: int, package: Path, tmp_path: Path) -> None:
    found = probe(package, tmp_path, width)
    units = json.loads((package / "report.json").read_text())["layers"]
    for part in (
        "Network",
        "where the cycles go",
        "Timeline",
        "Buffers",
        "Frames",
        "Edges",
        "Made by",
    ):
        assert any(part in heading for heading in found["headings"]), found["headings"]
    assert found["overflow"] <= 0, "the page is wider than the window"
    assert len(found["boxes"]) == len(units) + 1 and min(found["boxes"]) > 100
    assert found["bars"] >= len(units)
    assert found["outside"] == 0 and found["beyond"] == found["fetched"] == []
    assert len(found["best"]) == 3
    assert found["wrapped"] == [] and found["cards"] == []
    drawn = [unit for unit in units if unit["unit"] != "fork"]
    assert found["lanes"] == 1 + len(drawn) and len(found["spans"]) >= 2 * len(drawn)
    outputs = json.loads((package / "results" / "verify.json").read_text())["examples"]["outputs"]
    assert found["zeros"] == sum(map(len, outputs))


@pytest.mark.parametrize("arch", ["dataflow", "tiled"])
def test_long_names_and_wide_tables_have_room(arch: str, tmp_path: Path) -> None:
    """Wide letters, and numbers of many digits in every column."""
    graph = api.load(FIXTURES / "few_bits.h5")
    named = (
        replace(node, layer=f"Модуль/свёртка Широкая {n // 2}")
        for n, node in enumerate(graph.nodes)
    )
    model = tmp_path / "m.json"
    model.write_text(json.dumps(graph_to_json(replace(graph, nodes=tuple(named)))))
    made = api.build(model, tmp_path / "p", multipliers=16, arch=arch)
    page = made.path / "report.html"
    longer = re.sub(r"<td>(\d{1,3})</td>", f"<td>12{THIN}345{THIN}\\1</td>", page.read_text())
    page.write_text(longer)
    found = probe(made.path, tmp_path, 1200)
    assert found["scrolled"] == found["beyond"] == [] and found["outside"] == 0
    assert found["overflow"] <= 0
    assert len(found["boxes"]) > 3


def test_a_picture_of_it(package: Path, tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    browse(
        package / "report.html", tmp_path / "profile", f"--screenshot={picture}",
        "--window-size=1000,1500",
    )  # fmt: skip
    data = picture.read_bytes()
    assert struct.unpack(">II", data[16:24]) == (1000, 1500)
    assert len(data) > 20_000, "the page is nearly empty"
