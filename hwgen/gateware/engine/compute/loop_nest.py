"""Loops whose counts, order and steps are data: what walks through a tile."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...common.counter import reg
from ...common.streams import positive


def loops_of(levels: int, count: Shape) -> data.ArrayLayout:
    """What is said of each loop: its steps, and how many of them are early ones."""
    return data.ArrayLayout(data.StructLayout({"count": count, "skip": count}), levels)


class LoopNest(wiring.Component):
    """``levels`` nested loops, the first the innermost, one step a cycle.

    Parameters: levels; count: shape of a loop's count, which is at least 1.

    Members
    -------
    coming (in): the loops that begin with the next ``load``; they are there in the cycle before it,
    in which ``accept`` (in) is high. loops (in): the same, steady from ``load`` to the last step.
    load (in): begin; step (in): go on.
    at_first, at_last (out, a bit for each loop): it is at its first, at its last step. done (out):
    all are at their last. moves (out, a bit for each loop): the one whose increments a step takes:
    the innermost that is not at its end; none at the very end. early (out, a bit for each loop): it
    is at one of its first ``skip`` steps. next_last, next_early (out): at_last and early after a
    step in this cycle.

    All but the last two are registers: the whole array is enabled by what follows from them.
    """

    def __init__(self, levels: int, count: Shape) -> None:
        positive(levels=levels)
        self.levels, self.count = levels, count
        super().__init__(
            {
                "coming": In(loops_of(levels, count)),
                "accept": In(1),
                "loops": In(loops_of(levels, count)),
                "load": In(1),
                "step": In(1),
                "at_first": Out(levels),
                "at_last": Out(levels),
                "done": Out(1),
                "moves": Out(levels),
                "early": Out(levels),
                "next_last": Out(levels),
                "next_early": Out(levels),
            }
        )

    def elaborate(self, platform):
        m = Module()
        inside: Value = Const(1)
        last_inside: Value = Const(1)
        single_inside: Value = Const(1)
        for n in range(self.levels):
            single, some = self._loop(m, n, inside)
            with m.If(self.load):
                m.d.sync += [
                    self.at_last[n].eq(single),
                    self.early[n].eq(some),
                    self.moves[n].eq(single_inside & ~single),
                ]
            with m.Elif(self.step):
                m.d.sync += [
                    self.at_last[n].eq(self.next_last[n]),
                    self.early[n].eq(self.next_early[n]),
                    self.moves[n].eq(last_inside & ~self.next_last[n]),
                ]
            inside = inside & self.at_last[n]
            last_inside = last_inside & self.next_last[n]
            single_inside = single_inside & single
        with m.If(self.load):
            m.d.sync += self.done.eq(single_inside)
        with m.Elif(self.step):
            m.d.sync += self.done.eq(last_inside)
        return m

    def _loop(self, m: Module, n: int, inside: Value) -> tuple[Value, Value]:
        """One of the loops. ``inside`` : those in it are at their last, so that a step is its.
        Returns whether it has one step, and some early ones."""
        value = Signal(self.count, name=f"value{n}")
        # What its first step is like: known when it begins.
        single, double, some, one = (
            reg(1, f"{name}{n}") for name in ("single", "double", "some_early", "one_early")
        )
        coming = self.coming[n]
        with m.If(self.accept):
            m.d.sync += [
                single.eq(coming.count == 1),
                double.eq(coming.count == 2),
                some.eq(coming.skip.any()),
                one.eq(coming.skip == 1),
            ]
        # A step more is the last one; is no early one.
        last_follows, late_follows = (
            Signal(name=f"last_follows{n}"),
            Signal(name=f"late_follows{n}"),
        )
        count, skip, at_last = self.loops[n].count, self.loops[n].skip, self.at_last[n]
        m.d.comb += [
            self.next_last[n].eq(Mux(inside, Mux(at_last, single, last_follows), at_last)),
            self.next_early[n].eq(
                Mux(inside & at_last, some, self.early[n] & ~(inside & late_follows))
            ),
        ]
        with m.If(self.load | (self.step & inside)):
            restarts = self.load | at_last
            m.d.sync += [
                value.eq(Mux(restarts, 0, value + 1)),
                self.at_first[n].eq(restarts),
                last_follows.eq(Mux(restarts, double, value == (count - 3)[: len(value)])),
                late_follows.eq(Mux(restarts, one, value == (skip - 2)[: len(value)])),
            ]
        return single, some


def chosen(m: Module, moves: Value, increments: Sequence[Value], name: str) -> Value:
    """The increment of the loop that moves, 0 where none does; more than one never do."""
    result = Signal(increments[0].shape(), name=name)
    bits: Value = Const(0)
    for n, increment in enumerate(increments):
        bits = bits | (Value.cast(increment).as_unsigned() & moves[n].replicate(len(result)))
    m.d.comb += result.eq(bits)
    return result


def turned(m: Module, ring: Value, step: Value, back: Value, name: str) -> Value:
    """``ring + step`` modulo a size above both of them; ``back`` is ``step`` less that size."""
    # Side by side: a comparison of the sum would come after it.
    beyond = Signal(signed(len(ring) + 2), name=f"{name}_beyond")
    result = Signal(len(ring), name=name)
    m.d.comb += [
        beyond.eq(ring + back),
        result.eq(Mux(beyond < 0, ring + step, beyond)),
    ]
    return result
