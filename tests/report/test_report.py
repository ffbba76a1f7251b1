"""report.json says what was estimated and measured; report.html is one page by itself."""

from __future__ import annotations

import json
import re
import struct
import zlib
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.report.drawing import frame_png
from tests.helpers.packages import tiny_package

VOID = {"meta", "br", "img", "hr", "link", "input", "path", "rect", "line", "circle"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return tiny_package(tmp_path_factory.mktemp("report"))


def report_of(package: Package) -> dict:
    return json.loads((package.path / "report.json").read_text())


def test_before_and_after_a_simulation(package: Package) -> None:
    before = report_of(package)
    assert before["cycles"]["interval_measured"] is None
    assert before["cycles"]["latency_measured"] is None
    assert before["utilization"] is None
    assert before["high_water_measured"] is None
    assert "verification" not in before
    result = hwgen.verify(package, "python")
    after = report_of(package)
    assert after["cycles"]["interval_measured"] == result.interval
    assert after["cycles"]["latency_measured"] == result.latency
    assert after["verification"]["equal"] is True
    assert after["verification"]["frames"] == 4
    unmeasured = (
        "cycles", "layers", "utilization", "high_water_measured", "verification", "digest",
    )  # fmt: skip
    for key in before.keys() - set(unmeasured):
        assert after[key] == before[key], key


def test_sums_and_ratios(package: Package) -> None:
    hwgen.verify(package, "python")
    report, plan = report_of(package), package.plan
    layers, cycles = report["layers"], report["cycles"]
    # conv: 4 x 4 pixels, 2 x 2 x 1 taps, 2 channels; scores: 8 inputs, 2 outputs
    assert report["macs"] == 16 * 4 * 2 + 8 * 2
    assert report["macs"] == sum(layer["macs"] for layer in layers)
    assert report["multipliers"] == sum(layer["multipliers"] for layer in layers) <= 4
    assert report["memory_bits"] >= sum(layer["memory_bits"] for layer in layers)
    assert cycles["interval_bound"] == max(layer["interval_bound"] for layer in layers)
    assert cycles["interval_estimate"] == plan.timing().interval
    used = report["macs"] / (cycles["interval_measured"] * report["multipliers"])
    assert report["utilization"] == round(used, 4)
    assert report["design"] == package.manifest["design"]
    assert report["high_water_measured"] == plan.timing(3).high_water
    # Weights of 3 bits; biases of 32 and -24, which take 7 bits.
    assert report["parameters_bits"] == 8 * 3 + 16 * 3 + 2 * 7


class Page(HTMLParser):
    """Collects text and checks that tags close in order and nothing is fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert name not in ("src", "href") or (value or "").startswith(("#", "data:"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_says_the_figures(package: Package) -> None:
    hwgen.verify(package, "python")
    source = (package.path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://(?!www\.w3\.org/)|@import|url\((?!#)", source)
    parsed = Page()
    parsed.feed(source)
    assert parsed.open == []
    report = report_of(package)
    for unit in package.plan.units:
        assert unit.name in parsed.text
    assert str(report["cycles"]["interval_measured"]) in parsed.text
    assert "equals the golden model" in parsed.text


def test_names_of_a_model_are_text(package: Package, tmp_path: Path) -> None:
    value = json.loads((package.path.parent / "tiny.json").read_text())
    value["notes"] = ['<script>alert("1")</script> & more']
    path = tmp_path / "model.json"
    path.write_text(json.dumps(value))
    odd = hwgen.build(path, tmp_path / "odd", multipliers=4)
    source = (odd.path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in source
    assert "&lt;script&gt;alert" in source


def test_pictures_of_frames() -> None:
    codes = np.arange(2 * 4 * 5).reshape(2, 4, 5)[0][..., None]
    url = frame_png(codes, 0, 19)
    assert url is not None
    data = b64decode(url.partition(",")[2])
    assert struct.unpack(">II", data[16:24]) == (5, 4)
    start = data.index(b"IDAT")
    (length,) = struct.unpack(">I", data[start - 4 : start])
    rows = zlib.decompress(data[start + 4 : start + 4 + length])
    assert rows[1:6] == bytes(n * 255 // 19 for n in range(5))
    assert frame_png(np.zeros((8, 8, 2)), 0, 1) is None
    assert frame_png(np.zeros((40,)), 0, 1) is None
