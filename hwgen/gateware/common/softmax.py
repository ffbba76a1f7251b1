"""Softmax over the elements of a vector, in gemmlowp's fixed-point arithmetic, one at a time.

Qm.n stands for m integer bits and n = 31 - m fractional ones, as gemmlowp's public fixedpoint.h
says it; a product of two numbers is rounded to 31 bits, half a unit up.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .counter import Counter, delay_line, index_shape, reg
from .fifo import CreditFifo
from .memory import Rom, rom_latency
from .multiplier import WideMultiplier
from .streams import connect, positive, stream_of
from .vectors import DIFFERENCE, Elements, differences

MAX_CHANNELS = 1 << 11
MAX_WIDTH = 8
ONE = (1 << 31) - 1
"""The largest Q0.31, which stands for 1."""
SUM_BITS = 12
"""Integer bits of the sum of exponentials."""
SHIFTS = (8, 4, 2, 1)
"""Steps in which a sum is moved to the top of its word: by 1 to 12 places."""
_48_OVER_17 = 1515870810  # Q2.29
_MINUS_32_OVER_17 = -1010580540  # Q2.29
PRODUCTS = 7
"""Numbers of the reciprocal: the first estimate, and two for each of three Newton steps."""

POWER = rom_latency(1 << MAX_WIDTH)
"""Cycles from a difference to its exponential, which every table keeps to."""
READ = DIFFERENCE + POWER
"""Cycles from asking for an element to its exponential: memory, difference, table."""
SUMMED = READ + 2
"""Cycles from asking for the last element to the sum: rounded part, sum."""
HIGH = WideMultiplier.LATENCY + 1
"""Cycles from two factors to their product's high part: product, rounded product."""
HIGH_PLACE = 31
"""Bits of a product below its high part."""
PRODUCT = HIGH + 1
"""Cycles of one number of the reciprocal: rounded product, sum."""


def _checked(shape: Shape, most: int, out: Shape, fifo: int) -> tuple[Shape, Shape]:
    """Shapes of elements and results. Raises ValueError for parameters out of range."""
    positive(channels=most, fifo=fifo)
    shape, out = Shape.cast(shape), Shape.cast(out)
    if most > MAX_CHANNELS:
        raise ValueError(f"a softmax takes at most {MAX_CHANNELS} channels, got {most}")
    if not 1 <= shape.width <= MAX_WIDTH:
        raise ValueError(f"a softmax takes 1 to {MAX_WIDTH} bits, got {shape.width}")
    if out.width not in (8, 16):
        raise ValueError(f"a softmax gives 8 or 16 bits, not {out.width}")
    return shape, out


class SoftmaxCore(wiring.Component):
    """``exp(x) / sum of exp(x)`` of each vector, with one multiplier beside it.

    A vector is taken and stored while its largest element is found; the exponentials of all
    differences to it, which a table beside it holds, are summed; the sum's reciprocal is found by
    three Newton steps; each exponential times the reciprocal is a result. A sure winner has
    2**width of the 2**width that are 1: it is limited to the largest integer.

    Parameters
    ----------
    shape : of an element, at most 8 bits.
    most : elements of a vector, at most 2048.
    out : shape of a result, 8 or 16 bits; a signed one begins at its smallest integer.
    fifo : beats at the output.

    Members
    -------
    i, o streams of one lane; channels (in): elements of the vectors, 1 to ``most``, there at least
    two cycles before the first element of a vector, until its last result was asked for (all
    vectors from a reset on may have ``most``). difference (out), power (in): an
    exponential as Q0.31, ONE for no difference, POWER cycles after it was asked for. a, b (out),
    high (in): factors, and HIGH cycles later ``a * b / 2**HIGH_PLACE``, half a unit up. issue
    (out): it works, and waits neither for an element nor for room; level (out).

    The first result is asked for channels + PAUSE cycles after the last element is taken, and is in
    the output FIFO LATENCY cycles later; the others follow, one a cycle. The next vector begins in
    the cycle after the last one was asked for: 3 * channels + PAUSE - 1 cycles a vector.
    """

    LATENCY = READ + HIGH + 2
    PAUSE = SUMMED + len(SHIFTS) + PRODUCTS * PRODUCT + 1
    """Cycles from asking for the last element of a sum to asking for the first of the results."""

    def __init__(self, shape: Shape, most: int, out: Shape, fifo: int) -> None:
        shape, out = _checked(shape, most, out, fifo)
        self.shape, self.most, self.out, self.fifo = shape, most, out, fifo
        super().__init__(
            {
                "i": In(stream_of(shape, 1)),
                "o": Out(stream_of(out, 1)),
                "channels": In(index_shape(most + 1)),
                "difference": Out(shape.width),
                "power": In(31),
                "a": Out(31),
                "b": Out(signed(32)),
                "high": In(signed(32)),
                "issue": Out(1),
                "level": Out(index_shape(fifo + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CreditFifo(self.o.payload.shape(), self.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        element = Elements(m, self.most, self.channels)
        take, add, give = Signal(name="taking"), Signal(name="adding"), Signal(name="giving")
        normalize, divide = Signal(name="normalizing"), Signal(name="dividing")
        finish, waits = Signal(name="finishing"), Signal(name="waits")
        shift, product = Counter(len(SHIFTS), "shift"), Counter(PRODUCTS, "product")
        moment = Counter(PRODUCT, "moment")
        summed = delay_line(m, add & element.last, SUMMED - 1, "summed")
        with m.FSM(name="phase"):
            with m.State("TAKE"):
                m.d.comb += [self.i.ready.eq(1), take.eq(self.i.valid), waits.eq(~take)]
                with m.If(take & element.last):
                    m.next = "ADD"
            with m.State("ADD"):
                m.d.comb += add.eq(1)
                with m.If(element.last):
                    m.next = "SETTLE"
            with m.State("SETTLE"), m.If(summed):
                m.next = "NORMALIZE"
            with m.State("NORMALIZE"):
                m.d.comb += normalize.eq(1)
                shift.step(m)
                with m.If(shift.last):
                    m.next = "DIVIDE"
            with m.State("DIVIDE"):
                m.d.comb += divide.eq(1)
                moment.step(m)
                with m.If(moment.last):
                    product.step(m)
                    with m.If(product.last):
                        m.next = "FINISH"
            with m.State("FINISH"):
                m.d.comb += finish.eq(1)
                m.next = "GIVE"
            with m.State("GIVE"):
                m.d.comb += [give.eq(fifo.room), waits.eq(~give)]
                with m.If(give & element.last):
                    m.next = "TAKE"
        element.step(m, take | add | give)
        m.d.comb += [self.issue.eq(~waits), self.level.eq(fifo.level), fifo.take.eq(give)]

        below = differences(m, self.shape, self.most, element, self.i.payload[0], take, add | give)
        m.d.comb += self.difference.eq(below)
        power = self.power
        total, headroom = self._sum(m, power, take, add, normalize, shift)
        # While nothing is divided the multiplier scales exponentials. The last of them have passed
        # it before the next sum is complete.
        half = total[1:]
        x, error = reg(unsigned(31), "x"), reg(signed(32), "error")
        m.d.comb += [self.a.eq(x), self.b.eq(power)]
        with m.If(divide):
            self._newton(m, half, x, error, product, moment)
        # 2 / (1 + a) as Q2.29 becomes 1 / (1 + a) as Q0.31.
        over = reg(unsigned(4), "over")
        with m.If(finish):
            m.d.sync += [x.eq(Mux(x[-1], ONE, x << 1)), over.eq(SUM_BITS - headroom)]
        m.d.comb += [
            fifo.data[0].eq(self._result(m, self.high, over)),
            fifo.push.eq(delay_line(m, give, self.LATENCY, "given")),
        ]
        return m

    def _sum(
        self, m: Module, power: Value, take: Value, add: Value, normalize: Value, shift: Counter
    ) -> tuple[Value, Value]:
        """The sum of parts, moved until its highest bit is set, and by how many places it was."""
        total, headroom = reg(unsigned(32), "total"), reg(unsigned(len(SHIFTS)), "headroom")
        part = reg(unsigned(32 - SUM_BITS), "part")
        m.d.sync += part.eq(power[SUM_BITS:] + power[SUM_BITS - 1])
        with m.If(take):
            m.d.sync += total.eq(0)
        with m.If(delay_line(m, add, READ + 1, "added")):
            m.d.sync += total.eq(total + part)
        with m.If(normalize), m.Switch(shift.value):
            for step, places in enumerate(SHIFTS):
                with m.Case(step):
                    empty = ~total[-places:].any()
                    m.d.sync += headroom[len(SHIFTS) - 1 - step].eq(empty)
                    with m.If(empty):
                        m.d.sync += total.eq(total << places)
        return total, headroom

    def _newton(
        self,
        m: Module,
        half: Value,
        x: Signal,
        error: Signal,
        product: Counter,
        moment: Counter,
    ) -> None:
        """One of the products that lead to x = 1 / half, and what is made of it when it is there.

        ``half`` is (1 + a) / 2 as Q0.31. Numbers stay inside: x between 0.9 and 2.1, the error
        below 1/17.
        """
        a, b, high = self.a, self.b, self.high
        with m.Switch(product.value):
            with m.Case(0):
                m.d.comb += [a.eq(half), b.eq(_MINUS_32_OVER_17)]
                with m.If(moment.last):
                    m.d.sync += x.eq(high + _48_OVER_17)
            with m.Case(*range(1, PRODUCTS, 2)):
                m.d.comb += [a.eq(half), b.eq(x)]
                with m.If(moment.last):
                    m.d.sync += error.eq((1 << 29) - high)
            with m.Default():
                m.d.comb += [a.eq(x), b.eq(error)]
                with m.If(moment.last):
                    m.d.sync += x.eq(x + (high << 2))

    def _result(self, m: Module, high: Value, over: Value) -> Value:
        """A scaled exponential as an integer, two cycles later: by 31 - width + ``over`` places
        to the right, half a unit up, limited."""
        width = self.out.width
        shifted, result = reg(unsigned(width + 1), "shifted"), reg(unsigned(width), "result")
        rounded = Signal(unsigned(width + 1), name="rounded")
        m.d.comb += rounded.eq((shifted + 1) >> 1)
        m.d.sync += [
            shifted.eq(high[30 - width : 31] >> over),
            result.eq(Mux(rounded[-1], Const((1 << width) - 1, width), rounded[:-1])),
        ]
        return Cat(result[:-1], ~result[-1]) if self.out.signed else result


class HighProduct(wiring.Component):
    """``a * b / 2**HIGH_PLACE``, half a unit up, for a SoftmaxCore.

    Members: a, b (in), o (out). Latency ``HIGH`` cycles, initiation interval 1. No enable.
    """

    def __init__(self) -> None:
        super().__init__({"a": In(31), "b": In(signed(32)), "o": Out(signed(32))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = multiplier = WideMultiplier(self.a.shape(), self.b.shape())
        high = reg(signed(32), "high")
        m.d.comb += [multiplier.a.eq(self.a), multiplier.b.eq(self.b), self.o.eq(high)]
        m.d.sync += high.eq((multiplier.p >> HIGH_PLACE) + multiplier.p[HIGH_PLACE - 1])
        return m


class Softmax(wiring.Component):
    """SoftmaxCore with vectors of one length, a ROM of exponentials, and a multiplier.

    Parameters
    ----------
    name : prefix of image names.
    channels : elements of a vector, at most 2048.
    powers : the exponential of each difference to the largest element, 0, 1, ..., as Q0.31; the
    first is ONE. 0 where a difference is too large to count.
    shape, out, fifo : of SoftmaxCore.

    Members
    -------
    i, o, issue, level : those of SoftmaxCore.

    Latency and interval are its own too: ``gap`` = channels + 46 cycles from the last element taken
    to the first result asked for, ``interval`` = 3 * channels + 45 cycles a vector.
    """

    LATENCY = SoftmaxCore.LATENCY

    def __init__(
        self, name: str, shape: Shape, channels: int, powers: Sequence[int], out: Shape, fifo: int
    ) -> None:
        shape, out = _checked(shape, channels, out, fifo)
        width = shape.width
        if len(powers) != 1 << width:
            raise ValueError(f"{1 << width} exponentials are needed, got {len(powers)}")
        if powers[0] != ONE or not all(0 <= power <= ONE for power in powers):
            raise ValueError(f"exponentials must be from 0 to {ONE}, the first one {ONE}")
        self.core = SoftmaxCore(shape, channels, out, fifo)
        self.image, self.channels, self.powers = name, channels, list(powers)
        self.gap = channels + SoftmaxCore.PAUSE
        self.interval = 2 * channels - 1 + self.gap
        same = ("i", "o", "issue", "level")
        super().__init__({name: self.core.signature.members[name] for name in same})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        # Small ROMs are as quick as large ones: POWER holds for every width.
        m.submodules.powers = rom = Rom(f"{self.image}_powers", 31, self.powers)
        m.submodules.product = product = HighProduct()
        connect(m, wiring.flipped(self.i), core.i)
        connect(m, core.o, wiring.flipped(self.o))
        m.d.comb += [
            core.channels.eq(self.channels),
            rom.addr.eq(core.difference),
            core.power.eq(rom.data),
            product.a.eq(core.a),
            product.b.eq(core.b),
            core.high.eq(product.o),
            self.issue.eq(core.issue),
            self.level.eq(core.level),
        ]
        return m
