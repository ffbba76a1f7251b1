"""Where streams part and meet: Fork, Add, Mul, Concat."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...numeric.division import ceil_div
from ..common.counter import Counter, delay_line, index_shape, reg
from ..common.fifo import CreditFifo
from ..common.multiplier import Multiplier
from ..common.streams import connect, positive, stream_of


class Fork(wiring.Component):
    """Gives each beat to several streams, each with a queue of its own.

    Parameters: shape of an element, lanes, ``fifos`` beats of each queue.
    Members: i stream, o0, o1, ... streams, issue (out): a beat is taken; level0, level1, ...
    (out): beats held.

    Takes a beat when every queue has room; it is at each output in the next cycle, and leaves
    them independently of each other.
    """

    def __init__(self, shape: Shape, lanes: int, fifos: Sequence[int]) -> None:
        positive(lanes=lanes, **{f"fifo{n}": depth for n, depth in enumerate(fifos)})
        self.shape, self.lanes, self.fifos = shape, lanes, tuple(fifos)
        members = {"i": In(stream_of(shape, lanes)), "issue": Out(1)}
        for n, depth in enumerate(fifos):
            members[f"o{n}"] = Out(stream_of(shape, lanes))
            members[f"level{n}"] = Out(index_shape(depth + 1))
        super().__init__(members)

    @property
    def o(self):
        """The first output: what watches a unit watches this one."""
        return getattr(self, "o0")  # noqa: B009 - members are not known to type checkers

    def elaborate(self, platform):
        m = Module()
        take = Signal(name="taking")
        room: Value = self.i.valid
        for n, depth in enumerate(self.fifos):
            m.submodules[f"fifo{n}"] = fifo = CreditFifo(self.i.payload.shape(), depth)
            room = room & fifo.room
            m.d.comb += [
                fifo.take.eq(take),
                fifo.push.eq(take),
                fifo.data.eq(self.i.payload),
                getattr(self, f"level{n}").eq(fifo.level),
            ]
            connect(m, fifo.o, wiring.flipped(getattr(self, f"o{n}")))
        m.d.comb += [take.eq(room), self.i.ready.eq(take), self.issue.eq(take)]
        return m


class Combine(wiring.Component):
    """Common to units that make one element of those at the same place of several streams.

    Parameters: ``shapes`` of the inputs' elements; shape of the result; lanes; ``fifo`` beats at
    the output. Members: i0, i1, ... streams, o stream, issue (out): a beat is taken of each;
    level (out).

    Takes a beat when all inputs have one; the result reaches the output FIFO LATENCY cycles later.
    """

    LATENCY = 1

    def __init__(self, shapes: Sequence[Shape], result: Shape, lanes: int, fifo: int) -> None:
        positive(lanes=lanes, fifo=fifo)
        self.shapes, self.result, self.lanes, self.fifo = tuple(shapes), result, lanes, fifo
        inputs = {f"i{n}": In(stream_of(shape, lanes)) for n, shape in enumerate(shapes)}
        super().__init__(
            {
                **inputs,
                "o": Out(stream_of(result, lanes)),
                "issue": Out(1),
                "level": Out(index_shape(fifo + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CreditFifo(self.o.payload.shape(), self.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        inputs = [getattr(self, f"i{n}") for n in range(len(self.shapes))]
        take = Signal(name="taking")
        willing: Value = fifo.room
        for stream in inputs:
            willing = willing & stream.valid
            m.d.comb += stream.ready.eq(take)
        m.d.comb += [
            take.eq(willing),
            self.issue.eq(take),
            fifo.take.eq(take),
            fifo.push.eq(delay_line(m, take, self.LATENCY, "push")),
            self.level.eq(fifo.level),
        ]
        for lane in range(self.lanes):
            result = self._combined(m, lane, [stream.payload[lane] for stream in inputs])
            m.d.comb += fifo.data[lane].eq(result)
        return m

    def _combined(self, m: Module, lane: int, elements: list[Value]) -> Value:
        """The result, LATENCY cycles after its elements."""
        raise AssertionError("units that combine streams say how")


class Add(Combine):
    """Sums the elements of several streams. Parameters and members as Combine's; ``shifts`` by
    which each input moves to the left before.
    """

    def __init__(
        self, shapes: Sequence[Shape], shifts: Sequence[int], result: Shape, lanes: int, fifo: int
    ) -> None:
        if len(shapes) < 2 or len(shapes) != len(shifts):
            raise ValueError(f"{len(shapes)} inputs with {len(shifts)} shifts can not be added")
        self.shifts = tuple(shifts)
        super().__init__(shapes, result, lanes, fifo)

    def _combined(self, m: Module, lane: int, elements: list[Value]) -> Value:
        terms = [element << n for element, n in zip(elements, self.shifts, strict=True)]
        total = reg(self.result, f"total{lane}")
        m.d.sync += total.eq(sum(terms[1:], terms[0]))
        return total


class Mul(Combine):
    """Products of the elements of two streams, each less its zero point. Parameters and members as
    Combine's; ``zeros`` the zero points.
    """

    LATENCY = 1 + Multiplier.LATENCY

    def __init__(
        self, shapes: Sequence[Shape], zeros: Sequence[int], result: Shape, lanes: int, fifo: int
    ) -> None:
        if not len(shapes) == len(zeros) == 2:
            raise ValueError(f"{len(shapes)} inputs with {len(zeros)} zero points")
        self.zeros = tuple(zeros)
        super().__init__(shapes, result, lanes, fifo)

    def _combined(self, m: Module, lane: int, elements: list[Value]) -> Value:
        factors = []
        for n, (element, zero) in enumerate(zip(elements, self.zeros, strict=True)):
            value = element - zero
            factor = reg(value.shape(), f"factor{n}_{lane}")
            m.d.sync += factor.eq(value)
            factors.append(factor)
        a, b = factors
        m.submodules[f"mul{lane}"] = multiplier = Multiplier(a.shape(), b.shape())
        m.d.comb += [multiplier.a.eq(a), multiplier.b.eq(b)]
        return multiplier.p


class Concat(wiring.Component):
    """Gives the channels of several streams one after the other, pixel by pixel.

    Parameters: shape of an element; ``channels`` of each input, multiples of ``lanes``; ``fifo``
    beats at the output. Members: as Combine's.

    Takes a beat a cycle; it is in the output FIFO in the same cycle.
    """

    def __init__(self, shape: Shape, channels: Sequence[int], lanes: int, fifo: int) -> None:
        positive(lanes=lanes, fifo=fifo)
        if len(channels) < 2 or any(c < 1 or c % lanes for c in channels):
            raise ValueError(f"channels {tuple(channels)} are not several multiples of {lanes}")
        self.shape, self.channels, self.lanes, self.fifo = shape, tuple(channels), lanes, fifo
        inputs = {f"i{n}": In(stream_of(shape, lanes)) for n in range(len(channels))}
        super().__init__(
            {
                **inputs,
                "o": Out(stream_of(shape, lanes)),
                "issue": Out(1),
                "level": Out(index_shape(fifo + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CreditFifo(self.o.payload.shape(), self.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        inputs = [getattr(self, f"i{n}") for n in range(len(self.channels))]
        chosen = Counter(len(inputs), "chosen")
        take, last = Signal(name="taking"), Signal(name="last_of_input")
        m.d.comb += [
            self.issue.eq(take),
            fifo.take.eq(take),
            fifo.push.eq(take),
            self.level.eq(fifo.level),
        ]
        with m.Switch(chosen.value):
            for n, stream in enumerate(inputs):
                chunk = Counter(ceil_div(self.channels[n], self.lanes), f"chunk{n}")
                with m.Case(n):
                    m.d.comb += [
                        take.eq(stream.valid & fifo.room),
                        stream.ready.eq(take),
                        fifo.data.eq(Cat(stream.payload)),
                        last.eq(chunk.last),
                    ]
                    with m.If(take):
                        chunk.step(m)
        with m.If(take & last):
            chosen.step(m)
        return m
