"""Every process of the Verilog runs at time 0, also where none of its inputs ever changes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.emit.verilog import to_verilog


class Halves(wiring.Component):
    """An output of which one part comes from a choice and the other from a register at rest."""

    def __init__(self) -> None:
        super().__init__({"choice": In(2), "o": Out(8)})

    def elaborate(self, platform):
        m = Module()
        rest = Signal(4, name="rest", init=5)
        m.d.sync += rest.eq(rest)
        m.d.comb += self.o[4:].eq(rest)
        with m.Switch(self.choice):
            with m.Case(0):
                m.d.comb += self.o[:4].eq(3)
            with m.Case(1):
                m.d.comb += self.o[:4].eq(12)
        return m


BENCH = """
module tb;
    reg clk = 0, rst = 0;
    reg [1:0] choice = 0;
    wire [7:0] o;
    halves dut (.clk(clk), .rst(rst), .choice(choice), .o(o));
    initial begin
        #1 $display("%h", o);
        choice = 1;
        #1 $display("%h", o);
        $finish;
    end
endmodule
"""


def test_no_process_waits_for_a_change(tmp_path: Path) -> None:
    (text,) = to_verilog(Halves(), "halves").sources.values()
    processes = re.findall(r"always @\*[^\n]*\n([^\n]*)\n", text)
    assert processes
    assert all(line.strip() == "if (at_start) begin end" for line in processes)
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    (tmp_path / "halves.v").write_text(text + BENCH)
    subprocess.run(["iverilog", "-g2012", "-o", "t", "halves.v"], cwd=tmp_path, check=True)
    out = subprocess.run(["vvp", "t"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert out.stdout.split()[:2] == ["53", "5c"]
