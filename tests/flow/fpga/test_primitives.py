"""A device's own hwgen_mul equals the generic one, operand by operand."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import hwgen.flow.fpga
from hwgen.flow import tools
from hwgen.gateware.common.multiplier import MUL_VERILOG

DEVICES = Path(hwgen.flow.fpga.__file__).parent

# What the data sheet says of the block as it is used: registers at the operands and the product.
BLOCK = """
module MULT18X18D #(parameter REG_INPUTA_CLK = "NONE", REG_INPUTB_CLK = "NONE",
    REG_OUTPUT_CLK = "NONE", GSR = "ENABLED") (
    input {a}, input {b}, input {c}, input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0,
    output {p}
);
    reg signed [18:0] x, y;
    reg [35:0] z;
    wire [17:0] a = {{{a_bits}}}, b = {{{b_bits}}};
    always @(posedge CLK0) begin
        x <= {{SIGNEDA & a[17], a}};
        y <= {{SIGNEDB & b[17], b}};
        z <= x * y;
    end
    assign {{{p_bits}}} = z;
endmodule
"""


def _block() -> str:
    def names(letter: str, count: int) -> list[str]:
        return [f"{letter}{bit}" for bit in range(count)]

    parts = {"a": names("A", 18), "b": names("B", 18), "c": names("C", 18), "p": names("P", 36)}
    joined = {letter: ", ".join(pins) for letter, pins in parts.items()}
    bits = {f"{letter}_bits": ", ".join(reversed(pins)) for letter, pins in parts.items()}
    return BLOCK.format(**joined, **bits)


WIDTHS = [(1, 1), (1, 2), (2, 3), (3, 3), (4, 3), (3, 9), (17, 2), (4, 4), (8, 6), (18, 18),
          (17, 18), (19, 3), (2, 20), (19, 19), (18, 19)]  # fmt: skip


@pytest.mark.parametrize("family", ["ecp5"])
def test_product(family: str, tmp_path: Path) -> None:
    if not tools.icarus().found:
        pytest.skip("Icarus Verilog is not installed")
    native = (DEVICES / family / "hwgen_mul.v").read_text()
    lines, checks = [], []
    tables = [(*widths, True) for widths in WIDTHS if min(widths) > 3]
    for index, (a, b, of_tables) in enumerate([(*w, False) for w in WIDTHS] + tables):
        for signs in range(4):
            name, case = f"{index}_{signs}", f"{a} x {b}, signs {signs}, tables {of_tables}"
            parameters = (
                f".A_WIDTH({a}), .B_WIDTH({b}), .A_SIGNED({signs & 1}), .B_SIGNED({signs >> 1})"
            )
            lines.append(f"wire [{a + b - 1}:0] n{name}, g{name};")
            own = f"{parameters}, .TABLES({int(of_tables)})"
            for kind, letter, given in (("hwgen_mul", "n", own), ("generic_mul", "g", parameters)):
                lines.append(
                    f"{kind} #({given}) {letter}_{name} "
                    f"(.clk(clk), .a(a[{a - 1}:0]), .b(b[{b - 1}:0]), .p({letter}{name}));"
                )
            checks.append(
                f'if (n{name} !== g{name}) begin $display("FAIL {case}"); faults = faults + 1; end'
            )
    bench = f"""
module bench;
    reg clk = 0;
    reg [31:0] a, b;
    integer n, faults, seed;
    {chr(10).join(lines)}
    initial begin
        faults = 0; seed = 7;
        for (n = 0; n < 3000; n = n + 1) begin
            a = n < 64 ? n : $random(seed); b = n < 64 ? n * 7 : $random(seed);
            if (n % 5 == 0) a = 1 << (n % 32);
            if (n % 7 == 0) b = ~(1 << (n % 32));
            #1 clk = 1; #1 clk = 0;
            if (n > 3) begin {chr(10).join(checks)} end
        end
        if (faults == 0) $display("PASS");
        $finish;
    end
endmodule
"""
    generic = MUL_VERILOG.replace("hwgen_mul", "generic_mul")
    (tmp_path / "bench.v").write_text("\n".join([native, generic, _block(), bench]))
    subprocess.run(
        ["iverilog", "-g2005", "-s", "bench", "-o", "bench.vvp", "bench.v"],
        cwd=tmp_path,
        check=True,
    )
    done = subprocess.run(
        ["vvp", "-n", "bench.vvp"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["PASS"], done.stdout[-500:]
