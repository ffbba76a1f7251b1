"""How figures, types and names are written, and what the tiles at the top of a page say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hwgen.numeric import Overflow, QType, Rounding, parse_type
from hwgen.plan.timeline import Span
from hwgen.report.html import number, percent, render, size, type_text
from hwgen.report.labels import Part, fitted, labels
from hwgen.report.network import Box, network_svg
from hwgen.report.page import _scores
from hwgen.report.tiles import Tile, interval, measured_later, multipliers, speed
from hwgen.report.timeline import LABEL, PLOT, Lane, timeline_svg

INT8 = (Rounding.HALF_AWAY, Overflow.SATURATE)


@pytest.mark.parametrize(
    ("qtype", "text"),
    [
        (parse_type("u8.7"), "u8.7"),
        (QType(True, 8, 0, *INT8, 0.03940001, -128), "s8, scale 0.0394, zero -128"),
        (QType(False, 4, 0, *INT8, 2.0, 0), "u4, scale 2"),
        (QType(True, 19, 0, *INT8, (1.0, 2.0), 0), "s19, a scale a channel"),
    ],
)
def test_types(qtype: QType, text: str) -> None:
    assert type_text(qtype) == text


def test_figures() -> None:
    assert number(1234567) == "1\u202f234\u202f567" and number(None) == "not measured"
    assert percent(0.5) == "50\u202f%" and percent(0.0123) == "1.2\u202f%" and percent(None) == ""
    assert size(1) == "1\u202fB" and size(8192) == "1.0\u202fKiB"
    assert size(8192 * 1500) == "1.5\u202fMiB"


def test_what_a_model_says_is_text() -> None:
    odd = '<b onclick="x">&'
    drawn = network_svg([Box(["a"], [], [odd]), Box(["b"], ["a"], ["two"], True)], odd)
    lane = Lane(odd, [[Span("t", odd, "tile", 0, 9, 0)]], odd)
    for html in (drawn, timeline_svg([lane], odd, 0, 10)):
        assert "<b " not in html and "&lt;b onclick=" in html
    assert "<b " not in render("bar.html", parts=[[odd, 0.5]])


def test_scores_begin_at_zero() -> None:
    first, second, third = _scores([-10, 30, 0], zero=-10)
    assert (first.width, second.left, second.width) == (0, 0, 100)
    assert second.best and not first.best and third.width == 25
    negative, positive = _scores([-5, 15], zero=0)
    assert negative.zero == positive.zero == 25
    assert (negative.left, negative.width, positive.left, positive.width) == (0, 25, 25, 75)
    assert _scores([3, 3], zero=3)[0].width == 0


def test_the_clock_is_said() -> None:
    cycles = {"interval_measured": None, "interval_estimate": 2000, "interval_bound": 1500}
    report = {"cycles": cycles, "multipliers": 4, "macs": 4000, "utilization": None}
    assert speed(report) == Tile("50\u202f000", "frames a second", "if clocked at 100\u202fMHz")
    assert interval(report, "cycles").note == "not measured yet; at least 1\u202f500"
    assert multipliers(report).note == "50\u202f% of their cycles at work"
    assert measured_later(report) == []
    report["cycles"] = cycles | {"interval_measured": 1_000_000}
    report["synthesis"] = {"fmax_mhz": 50.0, "device": "d", "lut": 9, "dsp": 1, "bram": 2}
    assert speed(report) == Tile("50", "frames a second", "at 50\u202fMHz, routed on d")
    assert measured_later(report)[0].value == "9"
    report["multipliers"] = 0
    assert multipliers(report) == Tile("0", "multipliers")


def test_an_arrow_goes_from_what_was_waited_for() -> None:
    load, tile = Span("loads", "a", "load", 0, 50, 0), Span("unit", "a", "tile", 50, 100, 0, 0)
    lanes = [Lane("loads", [[load]]), Lane("unit", [[tile]])]
    html = timeline_svg(lanes, "t", 0, 100, [(load, tile)])
    middle = f"{LABEL + PLOT / 2:.1f}"
    assert html.count('class="wait"') == 1 and f'd="M{middle} ' in html and f"L{middle} " in html
    assert timeline_svg(lanes[:1], "t", 0, 100, [(load, tile)]).count('class="wait"') == 0


def test_bars_that_no_eye_parts_are_one() -> None:
    many = [Span("unit", "a", "tile", n, n + 1, n) for n in range(100_000)]
    html = timeline_svg([Lane("unit", [many])], "t", 0, 100_000)
    assert html.count("<rect") == 1 and "tile 0 to 99999" in html
    html = timeline_svg([Lane("unit", [many])], "t", 10, 20)
    assert html.count("<rect") == 10


def test_templates_are_installed() -> None:
    root = Path(__file__).parents[2]
    data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"][
        "package-data"
    ]
    for package, patterns in data.items():
        folder = root / package.replace(".", "/")
        assert all(any(folder.glob(pattern)) for pattern in patterns), package
    beside = {file.parent.parent for file in (root / "hwgen").glob("**/templates/*.*")}
    assert {str(folder.relative_to(root)).replace("/", ".") for folder in beside} <= {
        package.removesuffix(".templates") for package in data
    }


def test_parts_of_a_layer_are_told_apart() -> None:
    parts = [
        Part("s", "image", "input", True),
        Part("fork", "image", "copies", False),
        Part("c_mac", "conv", "conv", True),
        Part("Q_1", "conv", "rescaling", False),
        Part("r1", "pool", "change of lanes", False),
        Part("r2", "pool", "change of lanes", False),
        Part("only", "sum", "add", False),
        Part("a", "twice", "dense", True),
        Part("b", "twice", "conv", True),
    ]
    assert labels(parts) == {
        "s": "image", "fork": "image: copies", "c_mac": "conv", "Q_1": "conv: rescaling",
        "r1": "pool: r1", "r2": "pool: r2", "only": "sum", "a": "twice: dense", "b": "twice: conv",
    }  # fmt: skip


def test_texts_are_cut_to_the_room_there_is() -> None:
    assert fitted("conv2d_12", 200, 13) == "conv2d_12"
    assert fitted("llllllllllllllllllllllllll", 200, 13) == "l" * 26  # narrow ones
    short = fitted("model/features/conv_with_a_long_name/Conv", 200, 13)
    assert short.startswith("model/f") and short.endswith("me/Conv") and "\u2026" in short
    wide = fitted("Ш" * 27, 200, 13)
    assert 4 < len(wide) < 15 and wide.count("\u2026") == 1
    assert fitted("waits 32 for " + "n" * 50, 120, 11, ends=False).startswith("waits 32 for")
    assert len(fitted("й" * 10**6, 200, 13)) < 25
    assert fitted("", 200, 13) == ""
