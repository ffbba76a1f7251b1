"""Loops whose counts, order and steps are data: what walks through a tile."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .streams import positive


class LoopNest(wiring.Component):
    """``levels`` nested loops, the first the innermost, one step a cycle.

    Parameters: levels; count: shape of a loop's count, which is at least 1.

    Members
    -------
    counts (in): steady from ``load`` to the last step. load (in): begin; step (in): go on.
    at_start, at_end (out, a bit for each loop): it is at its first, at its last step. done (out):
    all are at their last. moves (out, a bit for each loop): the one whose increments a step takes:
    the innermost that is not at its end; none at the very end. inner (out): step of loop 0.
    """

    def __init__(self, levels: int, count: Shape) -> None:
        positive(levels=levels)
        self.levels, self.count = levels, count
        super().__init__(
            {
                "counts": In(data.ArrayLayout(count, levels)),
                "load": In(1),
                "step": In(1),
                "at_start": Out(levels),
                "at_end": Out(levels),
                "done": Out(1),
                "moves": Out(levels),
                "inner": Out(count),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inside: Value = Const(1)
        for n in range(self.levels):
            value = Signal(self.count, name=f"value{n}")
            count, single = self.counts[n], self.counts[n] == 1
            at_end = self.at_end[n]
            m.d.comb += self.moves[n].eq(inside & ~at_end)
            with m.If(self.load):
                m.d.sync += [value.eq(0), self.at_start[n].eq(1), at_end.eq(single)]
            with m.Elif(self.step & inside):
                m.d.sync += [
                    value.eq(Mux(at_end, 0, value + 1)),
                    self.at_start[n].eq(at_end),
                    at_end.eq(Mux(at_end, single, value == (count - 2)[: len(value)])),
                ]
            if n == 0:
                m.d.comb += self.inner.eq(value)
            inside = inside & at_end
        m.d.comb += self.done.eq(self.at_end.all())
        return m


def chosen(m: Module, moves: Value, increments: Sequence[Value], name: str) -> Value:
    """The increment of the loop that moves, 0 where none does."""
    shape = increments[0].shape()
    result = Signal(shape, name=name)
    with m.Switch(moves):
        for n, increment in enumerate(increments):
            with m.Case("-" * (len(moves) - 1 - n) + "1" + "0" * n):
                m.d.comb += result.eq(increment)
    return result


def turned(m: Module, ring: Value, step: Value, size: Value, name: str) -> Value:
    """``ring + step`` modulo ``size``; the step is less than the size, in either direction."""
    width = len(ring)
    total = Signal(Shape(width + 2, signed=True), name=f"{name}_total")
    result = Signal(unsigned(width), name=name)
    m.d.comb += [
        total.eq(ring + step),
        result.eq(Mux(total < 0, total + size, Mux(total >= size, total - size, total))),
    ]
    return result
