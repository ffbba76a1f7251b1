"""Memories with declared kinds: ``Rom``, and ``SimpleDualPort`` with one read and one write port.

A ROM holds a large constant. When Verilog is made, its words go to an image file that the module
``hwgen_rom`` reads with $readmemh; Amaranth's own simulator gets an ordinary memory.

All of them read synchronously, so that they suit block RAM and compiled macros. (A queue of few
words is the exception, see fifo.)
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Array, ClockSignal, Instance, Module, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ...numeric.division import ceil_div
from .counter import delay_line, index_shape, reg
from .streams import positive

BANK = 2048
"""Words of a ROM that are one column of block RAM in ECP5, Nexus, Gowin and iCE40 (2048 x 9, 9, 8
and 2 bits): no multiplexer stands between memory and output register."""
ARITY = 4
"""Banks that one registered level of a ROM's output multiplexer joins."""


def rom_latency(words: int) -> int:
    """Cycles from address to data: memory read, output register, levels of the multiplexer."""
    latency, banks = 2, ceil_div(words, BANK)
    while banks > 1:
        latency, banks = latency + 1, ceil_div(banks, ARITY)
    return latency


class Rom(wiring.Component):
    """Read-only memory with a registered output.

    Parameters
    ----------
    name : of the image file, unique in a design; each bank of several adds its number.
    width : bits of a word; words : their values, unsigned.

    Members
    -------
    addr (in), data (out).

    Latency ``latency`` cycles, that of rom_latency; initiation interval 1. No enable.
    """

    def __init__(self, name: str, width: int, words: Sequence[int]) -> None:
        if not words:
            raise ValueError(f"ROM {name!r} is empty")
        if any(not 0 <= word < 1 << width for word in words):
            raise ValueError(f"ROM {name!r} has a word that does not fit {width} bits")
        self.image, self.width, self.words = name, width, list(words)
        self.latency = rom_latency(len(words))
        super().__init__({"addr": In(index_shape(len(words))), "data": Out(width)})

    def elaborate(self, platform):
        m = Module()
        if len(self.words) == 1:
            m.d.comb += self.data.eq(self.words[0])
        elif len(self.words) > BANK:
            self._banks(m)
        else:
            self._bank(m, platform)
        return m

    def _banks(self, m: Module) -> None:
        """Banks side by side, and a registered multiplexer with their part of the address."""
        level = []
        for number, start in enumerate(range(0, len(self.words), BANK)):
            words = self.words[start : start + BANK]
            bank = Rom(f"{self.image}_{number}", self.width, words)
            m.submodules[f"bank{number}"] = bank
            m.d.comb += bank.addr.eq(self.addr)
            level.append(
                delay_line(m, bank.data, 2, f"constant{number}", data=True)
                if len(words) == 1
                else bank.data
            )
        select = delay_line(m, self.addr[(BANK - 1).bit_length() :], 2, "select", data=True)
        depth = 0
        while len(level) > 1:
            joined = []
            for start in range(0, len(level), ARITY):
                word = reg(self.width, f"joined{depth}_{len(joined)}")
                m.d.sync += word.eq(Array(level[start : start + ARITY])[select[:2]])
                joined.append(word)
            depth += 1
            select = (
                delay_line(m, select[2:], 1, f"select{depth}", data=True)
                if len(joined) > 1
                else select
            )
            level = joined
        m.d.comb += self.data.eq(level[0])

    def _bank(self, m: Module, platform) -> None:
        if hasattr(platform, "add_image"):
            m.submodules.rom = Instance(
                "hwgen_rom",
                p_WIDTH=self.width,
                p_DEPTH=len(self.words),
                p_ABITS=max(1, len(self.addr)),
                p_IMAGE=platform.add_image(self.image, self.width, self.words),
                i_clk=ClockSignal(),
                i_addr=self.addr,
                o_data=self.data,
            )
            return
        m.submodules.mem = mem = memory.Memory(
            shape=unsigned(self.width), depth=len(self.words), init=self.words
        )
        port = mem.read_port()
        m.d.comb += port.addr.eq(self.addr)
        m.d.sync += self.data.eq(port.data)


ROM_VERILOG = """\
// Read-only memory with a registered output: data follows addr by two cycles.
// IMAGE is looked up in the directory HWGEN_MEM_DIR (a macro; with its trailing slash).
`ifndef HWGEN_MEM_DIR
`define HWGEN_MEM_DIR "mem/"
`endif
module hwgen_rom #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter ABITS = 1,
    parameter IMAGE = ""
) (
    input clk,
    input [ABITS-1:0] addr,
    output reg [WIDTH-1:0] data
);
    reg [WIDTH-1:0] mem [0:DEPTH-1];
    reg [WIDTH-1:0] word;
    // Tools that read this file before they know the parameters find no image to read. With its
    // range a simulator has to complain of an image that is too short.
    generate if (IMAGE != "") begin : load
        initial $readmemh({`HWGEN_MEM_DIR, IMAGE}, mem, 0, DEPTH - 1);
    end endgenerate
    always @(posedge clk) begin
        word <= mem[addr];
        data <= word;
    end
endmodule
"""


class SimpleDualPort(wiring.Component):
    """1r1w memory: one write port, one read port of latency 1 that holds while not enabled.

    Parameters
    ----------
    width : bits of a word; depth : words.
    forwards : reading an address in the cycle it is written gives the new word. Otherwise that
    is undefined, and users never do it.
    part : bits that each bit of ``w_en`` lets be written, the first those at the least
    significant end; all of them where it is not given.
    block : it is a block RAM though it has few words: of wide ones the fabric would pay for all
    bits.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        forwards: bool = False,
        part: int | None = None,
        block: bool = False,
    ) -> None:
        positive(width=width, depth=depth)
        self.part = width if part is None else part
        if self.part < 1 or width % self.part:
            raise ValueError(f"{width} bits are not parts of {part}")
        if forwards and self.part != width:
            raise ValueError("only whole words are forwarded")
        self.width, self.depth, self.forwards, self.block = width, depth, forwards, block
        super().__init__(
            {
                "w_en": In(width // self.part),
                "w_addr": In(index_shape(depth)),
                "w_data": In(width),
                "r_en": In(1),
                "r_addr": In(index_shape(depth)),
                "r_data": Out(width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.mem = mem = memory.Memory(
            # An address of no bits can not be written in Verilog: at least two words.
            shape=unsigned(self.width), depth=max(2, self.depth), init=[],
            attrs={"no_rw_check": 1} | ({"ram_style": "block"} if self.block else {}),
        )  # fmt: skip
        write, read = mem.write_port(granularity=self.part), mem.read_port()
        m.d.comb += [
            write.en.eq(self.w_en),
            write.addr.eq(self.w_addr),
            write.data.eq(self.w_data),
            read.en.eq(self.r_en),
            read.addr.eq(self.r_addr),
            self.r_data.eq(read.data),
        ]
        if self.forwards:
            self._forward(m)
        return m

    def _forward(self, m: Module) -> None:
        """A register beside the memory, since no memory is asked for what it is given."""
        meets, met = Signal(name="meets"), Signal(name="met")
        passed = reg(self.width, "passed")
        m.d.comb += meets.eq(self.w_en & self.r_en & (self.w_addr == self.r_addr))
        with m.If(self.r_en):
            m.d.sync += met.eq(meets)
        with m.If(meets):
            m.d.sync += passed.eq(self.w_data)
        with m.If(met):
            m.d.comb += self.r_data.eq(passed)
