"""Loops whose counts, order and steps are data: what walks through a tile."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...common.streams import positive


class LoopNest(wiring.Component):
    """``levels`` nested loops, the first the innermost, one step a cycle.

    Parameters: levels; count: shape of a loop's count, which is at least 1.

    Members
    -------
    counts, skips (in): steady from ``load`` to the last step. load (in): begin; step (in): go on.
    at_first, at_last (out, a bit for each loop): it is at its first, at its last step. done (out):
    all are at their last. moves (out, a bit for each loop): the one whose increments a step takes:
    the innermost that is not at its end; none at the very end. early (out, a bit for each loop): it
    is at one of its first ``skips`` steps.
    """

    def __init__(self, levels: int, count: Shape) -> None:
        positive(levels=levels)
        self.levels, self.count = levels, count
        super().__init__(
            {
                "counts": In(data.ArrayLayout(count, levels)),
                "skips": In(data.ArrayLayout(count, levels)),
                "load": In(1),
                "step": In(1),
                "at_first": Out(levels),
                "at_last": Out(levels),
                "done": Out(1),
                "moves": Out(levels),
                "early": Out(levels),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inside: Value = Const(1)
        for n in range(self.levels):
            value = Signal(self.count, name=f"value{n}")
            count, single = self.counts[n], self.counts[n] == 1
            at_last, early, skip = self.at_last[n], self.early[n], self.skips[n]
            m.d.comb += self.moves[n].eq(inside & ~at_last)
            with m.If(self.load):
                m.d.sync += [
                    value.eq(0),
                    self.at_first[n].eq(1),
                    at_last.eq(single),
                    early.eq(skip.any()),
                ]
            with m.Elif(self.step & inside):
                m.d.sync += [
                    value.eq(Mux(at_last, 0, value + 1)),
                    self.at_first[n].eq(at_last),
                    at_last.eq(Mux(at_last, single, value == (count - 2)[: len(value)])),
                    early.eq(Mux(at_last, skip.any(), early & (value != (skip - 1)[: len(value)]))),
                ]
            inside = inside & at_last
        m.d.comb += self.done.eq(self.at_last.all())
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
    """``ring + step`` modulo ``size``, both of them less than it."""
    total = Signal(len(ring) + 1, name=f"{name}_total")
    result = Signal(len(ring), name=name)
    m.d.comb += [
        total.eq(ring + step),
        result.eq(Mux(total >= size, total - size, total)),
    ]
    return result
