"""Products of two tensors: what the array gives, times the second operand."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....contract.isa import FACTOR_BITS
from ...common.counter import delay_line
from ...common.multiplier import Multiplier
from ...common.streams import positive
from ..fetch.descriptor_layout import RESULT

FACTOR = signed(FACTOR_BITS)


class ProductLanes(wiring.Component):
    """Sums on their way to the requantizers; with ``product`` each one is
    ``(sum + product_sum) * (byte + product_second)``, both factors modulo 2**FACTOR_BITS.

    Parameters
    ----------
    lanes : side by side; acc : shape of a sum. multiplies : False: sums pass as they are.

    Members
    -------
    sums, seconds (in): sums, and a byte of the second operand for each, of the same cycle.
    descriptor (in): with the fields ``product...``; it stays while something is under way. o (out).

    Latency ``LATENCY`` cycles, initiation interval 1, never stalls.
    """

    LATENCY = Multiplier.LATENCY

    def __init__(self, lanes: int, acc, multiplies: bool = True) -> None:
        positive(lanes=lanes)
        self.lanes, self.acc, self.multiplies = lanes, acc, multiplies
        super().__init__(
            {
                "sums": In(data.ArrayLayout(acc, lanes)),
                "seconds": In(data.ArrayLayout(8, lanes)),
                "descriptor": In(RESULT),
                "o": Out(data.ArrayLayout(acc, lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        given = self.descriptor
        for n in range(self.lanes):
            late = delay_line(m, self.sums[n], self.LATENCY, f"sum{n}", data=True)
            if not self.multiplies:
                m.d.comb += self.o[n].eq(late)
                continue
            m.submodules[f"mul{n}"] = mul = Multiplier(FACTOR, FACTOR)
            byte = self.seconds[n]
            # The sign of a byte.
            wide = (byte ^ (given.product_signed << 7)) - (given.product_signed << 7)
            m.d.comb += [
                mul.a.eq(self.sums[n][:FACTOR_BITS] + given.product_sum),
                mul.b.eq(wide + given.product_second),
                self.o[n].eq(Mux(given.product, mul.p, late)),
            ]
        return m
