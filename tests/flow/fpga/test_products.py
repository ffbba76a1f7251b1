"""Where DSP blocks end: which products become tables, and that Yosys makes them so."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hwgen.flow import tools
from hwgen.flow.fpga import synth
from hwgen.flow.fpga.devices import DEVICES
from hwgen.flow.fpga.harness import NAME
from hwgen.flow.fpga.products import without_block

DEVICE = DEVICES["ecp5-25k-6"]


def product(a: int, b: int) -> dict[str, Any]:
    return {"type": "hwgen_mul", "parameters": {"A_WIDTH": f"{a:032b}", "B_WIDTH": f"{b:032b}"}}


MODULES = {
    "top": {
        "cells": {
            "wide": product(18, 17),
            "too_wide": product(19, 9),
            "too_narrow": product(9, 3),
            "one": {"type": "leaf"},
            "two": {"type": "leaf"},
            "ram": {"type": "$mem_v2"},
        }
    },
    "leaf": {"cells": {"a": product(9, 8), "b": product(8, 8)}},
}
"""Five products that take a block, of a module that is there twice among them."""


@pytest.mark.parametrize(
    ("blocks", "tables"),
    [
        (6, []),
        (5, []),
        (4, ["two.b"]),
        (3, ["two.b", "one.b"]),
        (2, ["two.b", "one.b", "two.a"]),
        (0, ["two.b", "one.b", "two.a", "one.a", "wide"]),
    ],
)
def test_the_smallest_products_become_tables(blocks: int, tables: list[str]) -> None:
    assert without_block(MODULES, "top", replace(DEVICE, blocks=blocks)) == tables


DESIGN = """
module leaf (input clk, input [8:0] a, input [7:0] b, output [16:0] p);
    hwgen_mul #(.A_WIDTH(9), .B_WIDTH(8)) mul (.clk(clk), .a(a), .b(b), .p(p));
endmodule
module top (
    input clk, input rst, input [8:0] a, input [7:0] b, input [16:0] c,
    output [16:0] p, output [16:0] q, output [33:0] r
);
    leaf one (.clk(clk), .a(a), .b(b), .p(p));
    leaf two (.clk(clk), .a(~a), .b(b), .p(q));
    hwgen_mul #(.A_WIDTH(17), .B_WIDTH(17)) big (.clk(clk), .a(c), .b(c), .p(r));
endmodule
"""


def test_yosys_makes_them_so(tmp_path: Path) -> None:
    """Of one module that is there twice, one instance has a block and the other one tables."""
    if not tools.yosys().found:
        pytest.skip("Yosys is not installed")
    for folder in ("rtl", "mem", "work"):
        (tmp_path / folder).mkdir()
    (tmp_path / "rtl" / "top.v").write_text(DESIGN)
    (tmp_path / "rtl" / "hwgen_mul.v").write_text("// the device's takes its place\n")
    package: Any = SimpleNamespace(path=tmp_path)
    said: list[str] = []
    netlist, tables = synth._netlist(
        package, replace(DEVICE, blocks=2), tools.yosys(), tmp_path / "work", said.append
    )
    cells = netlist["modules"][NAME]["cells"]
    blocks = [name for name, cell in cells.items() if cell["type"] == "MULT18X18D"]
    assert tables == 1 and len(blocks) == 2
    assert Counter("two" in name for name in blocks) == {False: 2}
    assert "products made of tables: 1; ecp5-25k-6 has 2 DSP blocks" in said
