"""Requantizers whose parameters come at run time: multiplier and bias beside each accumulator,
shift, rounding and bounds from a descriptor.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Shape, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....contract.isa import RECORD
from ....numeric.types import Rounding
from ...common.counter import delay_line, reg
from ...common.multiplier import MultiplyAdd
from ...common.requantizer import bias_of_side, raised
from ..fetch.descriptor_layout import layout

BIASED = 65
"""Bits of the sum of a product of up to 33 x 32 bits and a bias of 64 bits."""
RESULT_BITS = 32
"""Bits of a result."""
COARSE = 3
"""Bits of the shift that the second half of the barrel shifter takes."""

ROUNDING = data.StructLayout(
    {
        "shift": unsigned(6),
        "half_even": unsigned(1),
        "below": unsigned(62),
        "beyond": unsigned(BIASED - RESULT_BITS + 1),
        "low": signed(RESULT_BITS),
        "high": signed(RESULT_BITS),
    }
)
"""How values are rounded, the same for many lanes: see rounding_of.

below : the bits of a value below the highest one that is shifted out. beyond : its bits, from bit
31 on, which are all like its sign if the result has no more than 32 bits.
"""


def rounding_of(m: Module, name: str, shift, half_even, low, high):
    """Registers with what ShiftRoundClamp needs of these numbers, a cycle after them."""
    rounding = reg(ROUNDING, name)
    m.d.sync += [
        rounding.shift.eq(shift),
        rounding.half_even.eq(half_even),
        rounding.below.eq(Cat(shift > n + 1 for n in range(len(rounding.below)))),
        rounding.beyond.eq(Cat(shift <= n for n in range(len(rounding.beyond)))),
        rounding.low.eq(low),
        rounding.high.eq(high),
    ]
    return rounding


class ShiftRoundClamp(wiring.Component):
    """``clamp(round(value / 2**shift), low, high)``, rounded down or half to even.

    Members
    -------
    value (in), rounding (in): see rounding_of; o (out).

    Latency ``LATENCY`` cycles: two halves of the shift, rounded, compared, clamped; initiation
    interval 1. The rounding is to stay while values are in the pipeline.
    """

    LATENCY = 5

    def __init__(self) -> None:
        super().__init__(
            {"value": In(signed(BIASED)), "rounding": In(ROUNDING), "o": Out(signed(RESULT_BITS))}
        )

    def elaborate(self, platform):
        m = Module()
        rounding, value = self.rounding, self.value
        # One bit more at the end: what is left in it after the shift is the half.
        held = Cat(Const(0, 1), value).as_signed()
        fine, coarse = rounding.shift[:COARSE], rounding.shift[COARSE:]
        near = reg(RESULT_BITS + (1 << COARSE), "near")
        m.d.sync += near.eq(held >> Cat(Const(0, COARSE), coarse))
        shifted = reg(RESULT_BITS + 1, "shifted")
        m.d.sync += shifted.eq(near >> fine)

        dropped, top = reg(1, "dropped"), value[RESULT_BITS - 1 :]
        ones, zeros = reg(1, "ones"), reg(1, "zeros")
        m.d.sync += [
            dropped.eq((value[: len(rounding.below)] & rounding.below).any()),
            ones.eq((top & rounding.beyond).any()),
            zeros.eq((~top & rounding.beyond).any()),
        ]
        below = delay_line(m, dropped, 1, "below", data=True)
        negative = delay_line(m, value[-1], 2, "negative", data=True)

        floor = shifted[1:].as_signed()
        up = raised(shifted[0], below, negative, floor[0], Rounding.HALF_EVEN)
        rounded = reg(signed(RESULT_BITS + 1), "rounded")
        m.d.sync += rounded.eq(floor + (up & rounding.half_even))

        over = delay_line(m, ones & zeros, 2, "over", data=True)
        under = delay_line(m, negative, 1, "under", data=True)
        too_low, too_high = reg(1, "too_low"), reg(1, "too_high")
        m.d.sync += [
            too_low.eq(Mux(over, under, rounded < rounding.low)),
            too_high.eq(Mux(over, ~under, rounded > rounding.high)),
        ]
        within = delay_line(m, rounded[:RESULT_BITS], 1, "within", data=True)
        result = reg(signed(RESULT_BITS), "result")
        m.d.sync += result.eq(Mux(too_low, rounding.low, Mux(too_high, rounding.high, within)))
        m.d.comb += self.o.eq(result)
        return m


class RequantLane(wiring.Component):
    """One requantizer: ``(acc * mult + (acc < pivot ? below : bias)) >> shift``, clamped.

    Parameters
    ----------
    acc : shape of an accumulator, of 19 to 33 bits.

    Members
    -------
    acc, parameters (in): of the same cycle. rounding (in): see rounding_of. o (out).

    Latency ``LATENCY`` cycles, initiation interval 1, never stalls.
    """

    LATENCY = MultiplyAdd.LATENCY + ShiftRoundClamp.LATENCY

    def __init__(self, acc: Shape) -> None:
        if acc.width > BIASED - RESULT_BITS:
            raise ValueError(f"accumulators of {acc.width} bits: at most {BIASED - RESULT_BITS}")
        self.acc_shape = acc
        super().__init__(
            {
                "acc": In(acc),
                "parameters": In(layout(RECORD)),
                "rounding": In(ROUNDING),
                "o": Out(signed(RESULT_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        given = self.parameters
        bias, biased = given.bias.shape(), signed(BIASED)
        m.submodules.mul = mul = MultiplyAdd(self.acc_shape, given.mult.shape(), bias, biased)
        m.submodules.shift = shift = ShiftRoundClamp()
        m.d.comb += [
            mul.a.eq(self.acc),
            mul.b.eq(given.mult),
            mul.c.eq(bias_of_side(m, "side", self.acc, given, bias, MultiplyAdd.AHEAD)),
            shift.value.eq(mul.p),
            shift.rounding.eq(self.rounding),
            self.o.eq(shift.o),
        ]
        return m
