"""Pins: what stands between a design and its device while nothing else is around it.

An accelerator has more ports than small packages have pins, and pads far from it would decide its
clock. Every input comes from a shift register of one pin, every output ends in a register, and the
registers' parity leaves by one pin: all paths of the design are measured from register to register.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

NAME = "pins"
_TEMPLATE = """\
// One pin in, one pin out: see hwgen.flow.fpga.harness.
module {name} (input clk, input rst, input d, output reg q);
    reg reset;
    reg [{ins}:0] in;
    wire [{outs}:0] out;
    localparam GROUPS = {outs} / 16 + 1;
    reg [16*GROUPS-1:0] held;
    reg [GROUPS-1:0] parity;
    integer n;
    always @(posedge clk) begin
        reset <= rst;
        in <= {{in, d}};
        held <= out;
        for (n = 0; n < GROUPS; n = n + 1) parity[n] <= ^held[16*n +: 16];
        q <= ^parity;
    end
    {top} dut (
        .clk(clk), .rst(reset),
{ports}
    );
endmodule
"""


def harness(top: str, ports: Mapping[str, tuple[str, int]]) -> str:
    """Verilog around module ``top``; ports: name to (direction, width), clk and rst among them."""
    lines = []
    used = {"input": 0, "output": 0}
    for name, (direction, width) in ports.items():
        if name in ("clk", "rst"):
            continue
        start = used[direction]
        used[direction] += width
        vector = "in" if direction == "input" else "out"
        lines.append(f"        .{name}({vector}[{start + width - 1}:{start}])")
    return _TEMPLATE.format(
        name=NAME, top=top, ports=",\n".join(lines), ins=used["input"] - 1,
        outs=used["output"] - 1,
    )  # fmt: skip


def ports_of(netlist: str, top: str) -> dict[str, tuple[str, int]]:
    """Ports of a module from a netlist that Yosys wrote as JSON."""
    module: dict[str, Any] = json.loads(netlist)["modules"][top]
    return {name: (port["direction"], len(port["bits"])) for name, port in module["ports"].items()}
