"""Sums that are chains of their own: the same sums, for all operands of all widths and signs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hwgen.flow import tools
from hwgen.flow.fpga import synth

ADDERS = Path(synth.__file__).parent / "ecp5" / "adders.v"
SUMS = """\
module sums(
    input [6:0] a, input [3:0] b, input signed [5:0] c, input signed [2:0] d, input e, f,
    output [8:0] plain, output signed [9:0] both, output [7:0] mixed, output [2:0] short,
    output [1:0] bits, output [10:0] many
);
    assign plain = a + b;
    assign both = c + d;
    assign mixed = a + c;
    assign short = a + b;
    assign bits = e + f;
    assign many = (a + b) + (c + d) + e + f + 3;
endmodule
"""
PROOF = """\
read_verilog sums.v
proc
copy sums made
techmap -map adders.v made
select -assert-none made/t:$add
select -assert-min 9 sums/t:$add
miter -equiv -flatten -make_outputs sums made miter
sat -verify -prove trigger 0 -set-def-inputs miter
"""


def proof(folder: Path, adders: str) -> subprocess.CompletedProcess[str]:
    (folder / "sums.v").write_text(SUMS)
    (folder / "adders.v").write_text(adders)
    (folder / "proof.ys").write_text(PROOF)
    command = [tools.yosys().require(), "-q", "-s", "proof.ys"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not tools.yosys().found:
        pytest.skip("no yosys")
    return tmp_path


def test_they_are_the_same_sums(folder: Path) -> None:
    done = proof(folder, ADDERS.read_text())
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (".CI(1'b0)", ".CI(1'b1)"),
        (".A_SIGNED(A_SIGNED), .B_SIGNED(B_SIGNED)", ".A_SIGNED(0), .B_SIGNED(0)"),
    ],
)
def test_other_sums_are_seen(folder: Path, right: str, wrong: str) -> None:
    text = ADDERS.read_text()
    assert right in text
    done = proof(folder, text.replace(right, wrong))
    assert done.returncode and "proof did fail" in done.stdout + done.stderr, done.stderr
