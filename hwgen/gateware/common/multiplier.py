"""Multipliers: one that a DSP block takes whole, wide ones made of those, and shifts."""

from __future__ import annotations

from amaranth.hdl import (
    Cat,
    ClockSignal,
    Instance,
    Module,
    Mux,
    Shape,
    Signal,
    Value,
    signed,
    unsigned,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...numeric.powers import PowerCode
from .counter import reg
from .streams import positive

LIMB = 17
"""Bits of an unsigned part of a wide operand: DSP blocks of small FPGAs take 18 bits with sign."""


class Multiplier(wiring.Component):
    """One product, operands and result registered.

    Parameters: shapes of the operands. Members: a, b (in), p (out).

    Latency 2 cycles, initiation interval 1. No enable. In Verilog it is the generic module
    ``hwgen_mul``, in whose place a flow may put its device's DSP block.
    """

    LATENCY = 2

    def __init__(self, a: Shape, b: Shape) -> None:
        self.a_shape, self.b_shape = Shape.cast(a), Shape.cast(b)
        is_signed = self.a_shape.signed or self.b_shape.signed
        self.shape = Shape(self.a_shape.width + self.b_shape.width, is_signed)
        super().__init__({"a": In(self.a_shape), "b": In(self.b_shape), "p": Out(self.shape)})

    def elaborate(self, platform):
        m = Module()
        if hasattr(platform, "add_image"):
            m.submodules.mul = Instance(
                "hwgen_mul",
                p_A_WIDTH=self.a_shape.width,
                p_B_WIDTH=self.b_shape.width,
                p_A_SIGNED=int(self.a_shape.signed),
                p_B_SIGNED=int(self.b_shape.signed),
                i_clk=ClockSignal(),
                i_a=self.a,
                i_b=self.b,
                o_p=self.p,
            )
            return m
        a, b = Signal(self.a_shape, name="a_held"), Signal(self.b_shape, name="b_held")
        m.d.sync += [a.eq(self.a), b.eq(self.b), self.p.eq(a * b)]
        return m


MUL_VERILOG = """\
// Multiplier with registered operands and result: p follows a and b by two cycles.
module hwgen_mul #(
    parameter A_WIDTH = 8,
    parameter B_WIDTH = 8,
    parameter A_SIGNED = 1,
    parameter B_SIGNED = 1
) (
    input clk,
    input [A_WIDTH-1:0] a,
    input [B_WIDTH-1:0] b,
    output [A_WIDTH+B_WIDTH-1:0] p
);
    generate
        // One form for each pair of signs: a sign bit more would cost DSP blocks.
        if (A_SIGNED != 0 && B_SIGNED != 0) begin : ss
            reg signed [A_WIDTH-1:0] x;
            reg signed [B_WIDTH-1:0] y;
            reg signed [A_WIDTH+B_WIDTH-1:0] product;
            always @(posedge clk) begin x <= a; y <= b; product <= x * y; end
            assign p = product;
        end else if (A_SIGNED != 0) begin : su
            reg signed [A_WIDTH-1:0] x;
            reg [B_WIDTH-1:0] y;
            reg signed [A_WIDTH+B_WIDTH-1:0] product;
            always @(posedge clk) begin x <= a; y <= b; product <= x * $signed({1'b0, y}); end
            assign p = product;
        end else if (B_SIGNED != 0) begin : us
            reg [A_WIDTH-1:0] x;
            reg signed [B_WIDTH-1:0] y;
            reg signed [A_WIDTH+B_WIDTH-1:0] product;
            always @(posedge clk) begin x <= a; y <= b; product <= $signed({1'b0, x}) * y; end
            assign p = product;
        end else begin : uu
            reg [A_WIDTH-1:0] x;
            reg [B_WIDTH-1:0] y;
            reg [A_WIDTH+B_WIDTH-1:0] product;
            always @(posedge clk) begin x <= a; y <= b; product <= x * y; end
            assign p = product;
        end
    endgenerate
endmodule
"""


class PowerMultiplier(wiring.Component):
    """A value times a signed power of two, given by its code word: a shift and a sign.

    Parameters: shape of the value; the code. Members: a, b (in), p (out). Latency and initiation
    interval are those of Multiplier.
    """

    LATENCY = Multiplier.LATENCY

    def __init__(self, a: Shape, code: PowerCode) -> None:
        self.a_shape, self.code = Shape.cast(a), code
        # The smallest value needs one bit more when its sign is turned.
        self.shape = signed(self.a_shape.width + 1 + code.high)
        super().__init__(
            {"a": In(self.a_shape), "b": In(unsigned(code.width)), "p": Out(self.shape)}
        )

    def elaborate(self, platform):
        m = Module()
        code = self.code
        a, b = reg(self.a_shape, "a_held"), reg(unsigned(code.width), "b_held")
        size = Signal(self.shape, name="size")
        with m.Switch(b[:-1]):
            for exponent in range(code.low, code.high + 1):
                with m.Case(exponent - code.low):
                    m.d.comb += size.eq(a << exponent)
        m.d.sync += [a.eq(self.a), b.eq(self.b), self.p.eq(Mux(b[-1], -size, size))]
        return m


class LowProduct(wiring.Component):
    """The lowest bits of a product of unsigned numbers.

    Parameters
    ----------
    a, b : bits of the operands; out : of the result.

    Members: a, b (in), p (out).

    Latency ``LATENCY`` cycles; initiation interval 1. No enable.
    """

    LATENCY = Multiplier.LATENCY

    def __init__(self, a: int, b: int, out: int) -> None:
        positive(a=a, b=b, out=out)
        super().__init__({"a": In(a), "b": In(b), "p": Out(out)})

    def elaborate(self, platform):
        m = Module()
        # What is higher in an operand than in the result does not count.
        a, b = self.a[: len(self.p)], self.b[: len(self.p)]
        m.submodules.mul = mul = Multiplier(a.shape(), b.shape())
        m.d.comb += [mul.a.eq(a), mul.b.eq(b), self.p.eq(mul.p)]
        return m


class WideMultiplier(wiring.Component):
    """A product of any widths, as the sum of products of limbs.

    Parameters and members as Multiplier. Latency 3 cycles, initiation interval 1. No enable.
    """

    LATENCY = Multiplier.LATENCY + 1

    def __init__(self, a: Shape, b: Shape) -> None:
        self.a_shape, self.b_shape = Shape.cast(a), Shape.cast(b)
        is_signed = self.a_shape.signed or self.b_shape.signed
        self.shape = Shape(self.a_shape.width + self.b_shape.width, is_signed)
        super().__init__({"a": In(self.a_shape), "b": In(self.b_shape), "p": Out(self.shape)})

    def elaborate(self, platform):
        m = Module()
        total: Value | int = 0
        for i, (a_low, a) in enumerate(_limbs(self.a, self.a_shape)):
            for j, (b_low, b) in enumerate(_limbs(self.b, self.b_shape)):
                part = Multiplier(a.shape(), b.shape())
                m.submodules[f"part{i}_{j}"] = part
                m.d.comb += [part.a.eq(a), part.b.eq(b)]
                total = total + (part.p << (a_low + b_low))
        product = reg(self.shape, "product")
        m.d.sync += product.eq(total)
        m.d.comb += self.p.eq(product)
        return m


class MultiplyAdd(wiring.Component):
    """``a * b + c``, of operands of two limbs one addition in each stage.

    Parameters
    ----------
    a, b, c : shapes of the operands, all signed, a of two or three limbs, b of two; out : of the
    result.

    Members
    -------
    a, b, c (in), p (out). ``c`` belongs to the operands of ``AHEAD`` cycles before.

    Latency ``LATENCY`` cycles from a and b, initiation interval 1. No enable.
    """

    AHEAD = Multiplier.LATENCY
    LATENCY = AHEAD + 2
    MOST = (3 * LIMB + 1, 2 * LIMB + 1)
    """Bits of a and b."""

    def __init__(self, a: Shape, b: Shape, c: Shape, out: Shape) -> None:
        self.shapes = [Shape.cast(shape) for shape in (a, b, c, out)]
        for shape in self.shapes:
            if not shape.signed:
                raise ValueError(f"operand {shape} is not signed")
        for shape, most in zip(self.shapes, MultiplyAdd.MOST, strict=False):
            if not LIMB + 1 < shape.width <= most:
                raise ValueError(f"an operand of {shape.width} bits: {LIMB + 2} to {most}")
        super().__init__({"a": In(a), "b": In(b), "c": In(c), "p": Out(out)})

    def elaborate(self, platform):
        m = Module()
        out = self.shapes[3]
        parts = {}
        for i, (_, a) in enumerate(_limbs(self.a, self.shapes[0])):
            for j, (_, b) in enumerate(_limbs(self.b, self.shapes[1])):
                part = Multiplier(a.shape(), b.shape())
                m.submodules[f"part{i}_{j}"] = part
                m.d.comb += [part.a.eq(a), part.b.eq(b)]
                parts[i, j] = part.p
        # The lowest product ends where the highest of two limbs begins: together they are one
        # number.
        ends = Cat(parts.pop((0, 0)), parts.pop((1, 1))).as_signed()
        crossed = parts.pop((0, 1)) + parts.pop((1, 0))
        for (i, j), part in parts.items():
            crossed = crossed + (part << LIMB * (i + j - 1))
        with_c, middle = reg(out, "with_c"), reg(crossed.shape(), "middle")
        total = reg(out, "total")
        m.d.sync += [
            with_c.eq(ends + self.c),
            middle.eq(crossed),
            total.eq(with_c + (middle << LIMB)),
        ]
        m.d.comb += self.p.eq(total)
        return m


def _limbs(value: Value, shape: Shape) -> list[tuple[int, Value]]:
    """(position, part) of an operand: unsigned ones of LIMB bits, the last with the sign."""
    value = Value.cast(value)
    out = []
    low = 0
    while shape.width - low > LIMB + 1:
        out.append((low, value[low : low + LIMB]))
        low += LIMB
    rest = value[low:]
    out.append((low, rest.as_signed() if shape.signed else rest))
    return out
