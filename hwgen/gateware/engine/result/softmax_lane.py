"""Softmax on the tiled engine: bytes of vectors, one after the other, out of words and back."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.features import Feature
from ....contract.isa import SOFTMAX_CHANNELS
from ...common.counter import index_shape, reg
from ...common.softmax import HIGH, MAX_CHANNELS, POWER, SoftmaxCore
from ..fetch.descriptor_layout import RESULT
from .lookup import Lookup
from .runtime_requantizer import RequantLane

BYTES = data.StructLayout({"byte": 8, "last": 1})
"""A result; the last one of its word."""


class SoftmaxLane(wiring.Component):
    """Takes vectors from words of ``pe`` bytes and gives their softmax byte by byte.

    Parameters
    ----------
    shape : of the engine. One without softmax has none of this: all outputs are 0.

    Members
    -------
    descriptor (in): its vectors have ``groups`` words, of the last one ``lanes`` bytes; it stays
    from three cycles before the first word on. i (in stream): words, the first byte at the least
    significant end. o (out stream of BYTES): results, ``low`` added to each. difference (out),
    power (in), a, b (out), high (in), issue (out): see SoftmaxCore; the exponentials are entries of
    a Lookup, the products those of a requantizer.

    Latency and interval are those of SoftmaxCore: a vector of C bytes that can be taken without
    gaps from t on is given from t + 2 * C + PAUSE + LATENCY on, a byte a cycle, and the next one
    begins in t + 3 * C + PAUSE - 1.
    """

    PAUSE, LATENCY = SoftmaxCore.PAUSE, SoftmaxCore.LATENCY

    def __init__(self, shape: EngineShape) -> None:
        ours = (SOFTMAX_CHANNELS, Lookup.LATENCY, RequantLane.SUM)
        if ours != (MAX_CHANNELS, POWER, HIGH):
            raise AssertionError("softmax counts on other channels, another table or multiplier")
        self.shape = shape
        super().__init__(
            {
                "descriptor": In(RESULT),
                "i": In(stream.Signature(8 * shape.pe)),
                "o": Out(stream.Signature(BYTES)),
                "difference": Out(8),
                "power": In(31),
                "a": Out(31),
                "b": Out(signed(32)),
                "high": In(signed(32)),
                "issue": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        if not self.shape.has(Feature.SOFTMAX):
            return m
        ahead = SoftmaxCore.LATENCY + 2
        core = SoftmaxCore(unsigned(8), MAX_CHANNELS, unsigned(8), ahead)
        m.submodules.core = core
        given, pe = self.descriptor, self.shape.pe
        channels = reg(core.channels.shape(), "channels")
        m.d.sync += channels.eq((given.groups - 1) * pe + given.lanes)
        taken, gone = (_Place(m, self.shape, given, name) for name in ("taken", "gone"))
        byte = Signal(8, name="byte")
        m.d.comb += [
            core.channels.eq(channels),
            self.difference.eq(core.difference),
            core.power.eq(self.power),
            self.a.eq(core.a),
            self.b.eq(core.b),
            core.high.eq(self.high),
            self.issue.eq(core.issue),
            # Of signed bytes the sign counts the other way.
            byte.eq(self.i.payload.word_select(taken.lane, 8) ^ (given.x_signed << 7)),
            core.i.payload[0].eq(byte),
            core.i.valid.eq(self.i.valid),
            self.i.ready.eq(core.i.ready & taken.ends),
            self.o.valid.eq(core.o.valid),
            self.o.payload.byte.eq(core.o.payload[0] + given.low[:8]),
            self.o.payload.last.eq(gone.ends),
            core.o.ready.eq(self.o.ready),
        ]
        taken.step(m, core.i.valid & core.i.ready)
        gone.step(m, core.o.valid & core.o.ready)
        return m


class _Place:
    """The lane of a byte of a vector. A plain helper, not a component. ends : its word ends."""

    def __init__(self, m: Module, shape: EngineShape, descriptor, name: str) -> None:
        self.lane = Signal(index_shape(shape.pe), name=f"{name}_lane")
        self.group = Signal(descriptor.groups.shape(), name=f"{name}_group")
        # Whether it is the vector's last word: a register, since the results' loops follow from it.
        self.final = reg(1, f"{name}_final")
        self.single = reg(1, f"{name}_single")
        self.before_last = reg(self.group.shape(), f"{name}_before_last")
        self.ends = reg(1, f"{name}_ends")
        end = reg(self.lane.shape(), f"{name}_end")
        self._last = shape.pe - 1, end
        m.d.sync += [
            self.single.eq(descriptor.groups == 1),
            self.before_last.eq(descriptor.groups - 2),
            end.eq(descriptor.lanes - 1),
        ]

    def step(self, m: Module, on: Value) -> None:
        """Add the statements; ``on`` : to the next byte."""
        lane, whole, end = self.lane, *self._last
        stays = Mux(self.group == 0, self.single, self.final)
        follows = Mux(self.final, self.single, self.group == self.before_last)
        m.d.sync += [self.final.eq(stays), self.ends.eq(lane == Mux(stays, end, whole))]
        with m.If(on):
            m.d.sync += [
                lane.eq(Mux(self.ends, 0, lane + 1)),
                self.ends.eq(lane == Mux(stays, end - 1, whole - 1)),
            ]
            with m.If(self.ends):
                m.d.sync += [
                    self.group.eq(Mux(self.final, 0, self.group + 1)),
                    self.final.eq(follows),
                    self.ends.eq(follows & (end == 0)),
                ]
