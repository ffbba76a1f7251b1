"""One multiplier that carries out one dense layer, an element in or out a beat."""

from __future__ import annotations

from amaranth.hdl import Array, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.ir import ops
from hwgen.numeric import Overflow, QType, Rounding

WIDTH = 64
"""Bits of every sum: more than the layers of the tests need."""


class SerialTop(wiring.Component):
    """y = clip((sum of w * x * mult + bias) >> shift), output after output.

    Parameters: the ops of the layer, the type of its input. Elements are offered with ``x_valid``
    and taken with ``y_valid``, without a handshake. Latency and interval: a cycle an input element,
    and a cycle a product and one a result for each output.
    """

    def __init__(self, dense: ops.Dense, requant: ops.Requantize, x: QType) -> None:
        self.dense, self.requant, self.type = dense, requant, x
        assert requant.type.rounding is Rounding.FLOOR
        assert requant.type.overflow is Overflow.SATURATE
        super().__init__(
            {
                "x": In(signed(x.width + 1)),
                "x_valid": In(1),
                "y": Out(signed(requant.type.width + 1)),
                "y_valid": Out(1),
            }
        )

    def elaborate(self, platform) -> Module:
        m = Module()
        weights, out = self.dense.weights, self.requant.type
        inputs, outputs = weights.shape
        kept = Array(Signal(signed(self.type.width + 1), name=f"x_{i}") for i in range(inputs))
        table = Array(Const(int(w), signed(WIDTH)) for w in weights.T.reshape(-1))
        numbers = {
            name: Array(
                Const(int(v), signed(WIDTH))
                for v in (list(getattr(self.requant, name)) * outputs)[:outputs]
            )
            for name in ("mult", "bias", "shift")
        }
        tap, output = Signal(range(inputs + 1)), Signal(range(outputs))
        total = Signal(signed(WIDTH))
        with m.FSM(name="state"):
            with m.State("TAKE"), m.If(self.x_valid):
                m.d.sync += [kept[tap].eq(self.x), tap.eq(tap + 1)]
                with m.If(tap == inputs - 1):
                    m.d.sync += [tap.eq(0), total.eq(0)]
                    m.next = "SUM"
            with m.State("SUM"):
                m.d.sync += [
                    total.eq(total + kept[tap] * table[output * inputs + tap]),
                    tap.eq(tap + 1),
                ]
                with m.If(tap == inputs - 1):
                    m.next = "GIVE"
            with m.State("GIVE"):
                scaled = Signal(signed(2 * WIDTH))
                m.d.comb += [
                    scaled.eq(
                        (total * numbers["mult"][output] + numbers["bias"][output])
                        >> numbers["shift"][output].as_unsigned()[:7]  # pyright: ignore[reportCallIssue]
                    ),
                    self.y.eq(
                        Mux(scaled < out.min, out.min, Mux(scaled > out.max, out.max, scaled))
                    ),
                    self.y_valid.eq(1),
                ]
                m.d.sync += [tap.eq(0), total.eq(0), output.eq(output + 1)]
                m.next = "SUM"
                with m.If(output == outputs - 1):
                    m.d.sync += output.eq(0)
                    m.next = "TAKE"
        return m
