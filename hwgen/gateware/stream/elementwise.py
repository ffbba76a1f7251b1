"""Units without a window or weights: requantization, argmax, change of lanes."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...numeric.division import ceil_div
from ..common.counter import Counter, index_shape, reg
from ..common.fifo import CreditFifo
from ..common.requantizer import Requantizer, RequantParameters, greater
from ..common.streams import connect, element, positive, stream_of
from .cast import Cast
from .multi_threshold import MultiThreshold
from .rescaler import Rescaler

Core = Requantizer | Rescaler | MultiThreshold | Cast


class Elementwise(wiring.Component):
    """A pipeline that works on every element of a stream, all lanes at once.

    Parameters: ``core`` a Requantizer, a Rescaler, a MultiThreshold or a Cast; shape of an input
    element and of a result; ``fifo`` beats at the output. Members: i, o streams, issue (out),
    level (out).

    One beat a cycle; the core's latency to the output FIFO.
    """

    def __init__(self, core: Core, shape: Shape, out: Shape, fifo: int) -> None:
        positive(fifo=fifo)
        self.core, self.fifo = core, fifo
        super().__init__(
            {
                "i": In(stream_of(shape, core.lanes)),
                "o": Out(stream_of(out, core.lanes)),
                "issue": Out(1),
                "level": Out(index_shape(fifo + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        m.submodules.fifo = fifo = CreditFifo(self.o.payload.shape(), self.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        index = Counter(core.groups, "index")
        take = Signal(name="taking")
        m.d.comb += [
            take.eq(self.i.valid & fifo.room),
            self.i.ready.eq(take),
            self.issue.eq(take),
            fifo.take.eq(take),
            core.valid.eq(take),
            core.acc.eq(self.i.payload),
            core.index.eq(index.value),
            fifo.push.eq(core.o_valid),
            fifo.data.eq(core.o),
            self.level.eq(fifo.level),
        ]
        with m.If(take):
            index.step(m)
        return m


class Requant(Elementwise):
    """Requantizes a stream. ``name`` is the prefix of image names; else see Elementwise."""

    def __init__(
        self, name: str, shape: Shape, lanes: int, parameters: RequantParameters, fifo: int
    ) -> None:
        core = Requantizer(f"{name}_requant", shape, lanes, parameters)
        super().__init__(core, shape, element(parameters.out), fifo)


class ArgMax(wiring.Component):
    """Index of the largest channel of each pixel, the first where several are equal.

    Parameters: shape of an element, channels, ``fifo`` beats at the output. Members: i stream of
    one lane, o stream of one index, issue (out), level (out).

    One channel a cycle; the last one gives the index to the output FIFO 1 cycle later.
    """

    LATENCY = 1

    def __init__(self, shape: Shape, channels: int, fifo: int) -> None:
        positive(channels=channels, fifo=fifo)
        self.shape, self.channels, self.fifo = shape, channels, fifo
        self.result_shape = unsigned(max(1, (channels - 1).bit_length()))
        super().__init__(
            {
                "i": In(stream_of(shape, 1)),
                "o": Out(stream_of(self.result_shape, 1)),
                "issue": Out(1),
                "level": Out(index_shape(fifo + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CreditFifo(self.o.payload.shape(), self.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        channel = Counter(self.channels, "channel")
        best = reg(self.shape, "best")
        best_index = reg(self.result_shape, "best_index")
        take, better = Signal(name="taking"), Signal(name="better")
        value = self.i.payload[0]
        m.d.comb += [
            better.eq((channel.value == 0) | greater(value, best)),
            take.eq(self.i.valid & (~channel.last | fifo.room)),
            self.i.ready.eq(take),
            self.issue.eq(take),
            fifo.take.eq(take & channel.last),
            fifo.data[0].eq(best_index),
            self.level.eq(fifo.level),
        ]
        m.d.sync += fifo.push.eq(take & channel.last)
        with m.If(take):
            channel.step(m)
            with m.If(better):
                m.d.sync += [best.eq(value), best_index.eq(channel.value)]
        return m


class Regroup(wiring.Component):
    """Changes the lanes of a stream, and the size of what counts as a pixel.

    Parameters: shape of an element; ``in_lanes``, ``in_pixel`` elements a beat and a pixel;
    ``out_lanes``, ``out_pixel`` likewise.
    Members: i, o streams, issue (out): a beat is taken; level (out): elements held.

    Takes a beat when it fits beside what it holds, and gives one as soon as it is full or its
    pixel ends; an element taken in cycle t can leave in t+1. Wider of the two sides: a beat a
    cycle.
    """

    def __init__(
        self, shape: Shape, in_lanes: int, in_pixel: int, out_lanes: int, out_pixel: int
    ) -> None:
        for side, lanes, pixel in (("in", in_lanes, in_pixel), ("out", out_lanes, out_pixel)):
            if not 1 <= lanes <= pixel:
                raise ValueError(f"{side}: {lanes} lanes do not suit a pixel of {pixel} elements")
        self.shape, self.in_lanes, self.in_pixel = shape, in_lanes, in_pixel
        self.out_lanes, self.out_pixel = out_lanes, out_pixel
        self.capacity = in_lanes + out_lanes + max(in_lanes, out_lanes) - 1
        super().__init__(
            {
                "i": In(stream_of(shape, in_lanes)),
                "o": Out(stream_of(shape, out_lanes)),
                "issue": Out(1),
                "level": Out(index_shape(self.capacity + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width = Shape.cast(self.shape).width
        held = reg(self.capacity * width, "held")
        in_count = _BeatSize(self.in_pixel, self.in_lanes, "in_beat")
        out_count = _BeatSize(self.out_pixel, self.out_lanes, "out_beat")
        take, give = Signal(name="taking"), Signal(name="giving")
        m.d.comb += [
            self.i.ready.eq(self.level <= self.capacity - self.in_lanes),
            take.eq(self.i.valid & self.i.ready),
            self.issue.eq(take),
            self.o.valid.eq(self.level >= out_count.size),
            give.eq(self.o.valid & self.o.ready),
            self.o.payload.eq(held),
        ]
        if out_count.partial:
            # Lanes beyond a pixel's end would change while a beat waits: they are zero.
            used = out_count.rest * width
            with m.If(out_count.counter.last):
                m.d.comb += self.o.payload.eq(held[:used])
        taken = Mux(take, in_count.size, 0)
        given = Mux(give, out_count.size, 0)
        kept = Signal(index_shape(self.capacity + 1), name="kept")
        m.d.comb += kept.eq(self.level - given)
        m.d.sync += self.level.eq(kept + taken)
        remaining = Mux(give, held >> (self.out_lanes * width), held)
        if out_count.partial:
            # A short beat at the end of a pixel leaves the next pixel's elements behind it.
            short = held >> (out_count.rest * width)
            remaining = Mux(give & out_count.counter.last, short, remaining)
        with m.If(take):
            in_count.counter.step(m)
        with m.If(give):
            out_count.counter.step(m)
        incoming = Value.cast(self.i.payload)
        slots = []
        for slot in range(self.capacity):
            old = remaining[slot * width : (slot + 1) * width]
            new: Value = old
            for lane in range(self.in_lanes):
                if slot - lane >= 0:
                    element_bits = incoming[lane * width : (lane + 1) * width]
                    new = Mux(kept == slot - lane, element_bits, new)
            slots.append(Mux(take, new, old))
        m.d.sync += held.eq(Cat(*slots))
        return m


class _BeatSize:
    """Elements in the current beat of a pixel."""

    def __init__(self, pixel: int, lanes: int, name: str) -> None:
        self.counter = Counter(ceil_div(pixel, lanes), name)
        self.rest = pixel % lanes
        self.partial = self.rest != 0
        self.size: Value | int = lanes
        if self.partial:
            self.size = Mux(self.counter.last, self.rest, lanes)
