"""Verilator has nothing to say about the Verilog of tiled engines, whatever their shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwgen.archs.tiled.files import PACKAGE
from hwgen.archs.tiled.top import TiledTop
from hwgen.emit.bench import WAIVERS, template
from hwgen.emit.documents import WHEEL_MAKE
from hwgen.emit.verilog import to_verilog
from hwgen.plan.tiled.options import TiledOptions
from tests.emit.test_package import native_verilator, run

LINT = ("make", "-s", "-f", "tb/Makefile", "lint")
SHAPES: dict[str, dict[str, Any]] = {
    "the smallest buffers": {"array": "4x4", "mem_width": 32, "buffer_kib": 2},
    "more outputs than inputs, several units": {"array": "8x4", "buffer_kib": 32, "tiles": 2},
    "more inputs than outputs, a wide bus": {"array": "4x16", "mem_width": 256},
}


def engine(folder: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the lint of a package needs; returns the file of the engine."""
    monkeypatch.setenv("PATH", str(native_verilator(folder)), prepend=":")
    monkeypatch.setenv("MAKEFLAGS", WHEEL_MAKE)
    shape, _ = TiledOptions(**options).engine()
    files = {f"rtl/{n}": t for n, t in to_verilog(TiledTop(shape, 1), "top").sources.items()}
    files |= {"tb/Makefile": template(PACKAGE, "Makefile"), "tb/waivers.vlt": WAIVERS}
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder / "rtl" / "top.v"


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
def test_there_are_no_warnings(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(tmp_path, options, monkeypatch)
    assert "%Warning" not in run(tmp_path, *LINT)


def test_what_was_waived_once_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons that have one answer, and a signal that has the name of its instance."""
    file = engine(tmp_path, SHAPES["the smallest buffers"], monkeypatch)
    top, control, rest = file.read_text().split("endmodule", 2)
    assert " top_control control (" in top and "module top_control(" in control
    constant = "wire some = s_axi_wstrb <= 4'hf;\nwire none = s_axi_wstrb < 4'h0;\nendmodule"
    file.write_text(f"{top}{constant}{control}wire control;\nendmodule{rest}")
    with pytest.raises(AssertionError) as found:
        run(tmp_path, *LINT)
    for rule in ("CMPCONST", "UNSIGNED", "VARHIDDEN"):
        assert f"%Warning-{rule}" in str(found.value)
