"""Softmax over the elements of a vector in float32, from a table of exponentials, one at a time."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..common.counter import Counter, delay_line, index_shape, reg
from ..common.fifo import CreditFifo
from ..common.float32 import (
    BIAS,
    FLOAT,
    ONE,
    SIGNIFICANT,
    UNIT,
    Float32Sum,
    SerialQuotient,
    jammed,
    rounded,
    shifted,
    word,
)
from ..common.memory import Rom, rom_latency
from ..common.requantizer import clamped
from ..common.streams import connect, positive, stream_of
from ..common.vectors import DIFFERENCE, Elements, differences

MAX_CHANNELS = 1 << 11
MAX_WIDTH = 8
MAX_OUT = 16
MAX_STEPS = 1 << 24
EXPONENT = signed(10)
"""Shape of the exponent of a result, which may be far below those of a FLOAT."""

POWER = rom_latency(1 << MAX_WIDTH)
"""Cycles from a difference to its exponential."""
READ = DIFFERENCE + POWER
"""Cycles from asking for an element to its exponential."""
INTEGER = 5
"""Cycles from a float to an integer: places, shift (two), sum, limits."""


def dividends(powers: Sequence[int], steps: int) -> tuple[data.StructLayout, list[int]]:
    """Words of exponentials and, behind them, of so many steps of each, exactly.

    powers : the bits of FLOATs. The significand has as many bits more than a float's as a product
    needs; its highest one is set but where the exponential is not normal.
    """
    odd = steps >> (doubled := (steps & -steps).bit_length() - 1)
    more = 0 if odd == 1 else odd.bit_length()
    layout = data.StructLayout({"significand": SIGNIFICANT + more, "exponent": 9})
    first, second = [], []
    for power in powers:
        exponent, significand = divmod(power, 1 << SIGNIFICANT)
        first.append(significand << more | exponent << SIGNIFICANT + more)
        product = significand * odd
        up = int(0 < product.bit_length() < SIGNIFICANT + more)
        exponent += doubled + more - up
        second.append(product << up | exponent << SIGNIFICANT + more)
    return layout, first + second


class SoftmaxTable(wiring.Component):
    """``exp(x) / sum of exp(x)`` of each vector, in float32 with every rounding.

    A vector is taken and stored while its largest element is found; the exponentials of all
    differences to it, which a ROM holds, are added in their order. Then each result is the exact
    quotient of ``steps`` exponentials, which the ROM holds beside each one, and that sum, rounded
    to an integer with ties to even; or, where there are no steps, the float product of the
    exponential and the inverse of ``sum * 2**-width``, half a unit up. For an unsigned result that
    is the float32 addition of one half, by which also the float just below one half becomes 1; no
    other one is brought to the next integer, since a sum just below an integer from 2 on has the
    float's own exponent, and is exact.

    Parameters
    ----------
    name : prefix of image names.
    shape : of an element, at most 8 bits.
    channels : elements of a vector, at most 2048.
    powers : the exponential of each difference to the largest element, 0, 1, ..., as the pattern of
    a float32; the first is the largest and at least 1, without steps it is 1.
    out : shape of a result, at most 16 bits, with whose integers it is limited.
    offset : what is added to each result.
    fifo : beats at the output.
    steps : of the results from 0 to 1, up to 2**24; None: as many as a result has codes.

    Members
    -------
    i, o streams of one lane; issue (out): it works, and waits neither for an element nor for room;
    level (out): beats at the output.

    The first result is asked for ``gap`` cycles after the last element is taken (6 * channels + 1,
    and INVERSE more without steps), is in the output FIFO LATENCY cycles later, and the others
    follow, one in EVERY cycles, as does the next vector: ``interval`` cycles a vector, which are
    34 * channels, and INVERSE.
    """

    EVERY = SerialQuotient.LATENCY
    INVERSE = SerialQuotient.LATENCY + 2
    """Cycles of the inverse: the quotient, rounding (two)."""
    LATENCY = READ + SerialQuotient.LATENCY + 2 + INTEGER

    def __init__(
        self,
        name: str,
        shape: Shape,
        channels: int,
        powers: Sequence[int],
        out: Shape,
        offset: int,
        fifo: int,
        steps: int | None = None,
    ) -> None:
        positive(channels=channels, fifo=fifo)
        self.image, self.channels, self.fifo, self.steps = name, channels, fifo, steps
        self.shape, self.out, self.offset = Shape.cast(shape), Shape.cast(out), offset
        self.powers = [word(pattern) for pattern in powers]
        self._check(powers)
        inverse = self.INVERSE if steps is None else 0
        self.gap = Float32Sum.CYCLES * channels + inverse + 1
        self.interval = channels - 1 + self.gap + self.EVERY * channels
        super().__init__(
            {
                "i": In(stream_of(self.shape, 1)),
                "o": Out(stream_of(self.out, 1)),
                "issue": Out(1),
                "level": Out(index_shape(fifo + 1)),
            }
        )

    def _check(self, powers: Sequence[int]) -> None:
        """Raises ValueError for parameters out of range."""
        if self.channels > MAX_CHANNELS:
            raise ValueError(
                f"a softmax takes at most {MAX_CHANNELS} channels, got {self.channels}"
            )
        if not 1 <= self.shape.width <= MAX_WIDTH:
            raise ValueError(f"a softmax takes 1 to {MAX_WIDTH} bits, got {self.shape.width}")
        if not 1 <= self.out.width <= MAX_OUT:
            raise ValueError(f"a softmax gives 1 to {MAX_OUT} bits, not {self.out.width}")
        if self.offset not in self._codes:
            raise ValueError(f"the offset {self.offset} is not one of the results")
        if self.steps is not None and not 1 <= self.steps <= MAX_STEPS:
            raise ValueError(f"steps must be 1 to {MAX_STEPS}, not {self.steps}")
        if len(powers) != 1 << self.shape.width:
            raise ValueError(f"{1 << self.shape.width} floats are needed, got {len(powers)}")
        if not ONE <= max(powers) == powers[0] or (self.steps is None and powers[0] != ONE):
            raise ValueError("the first exponential is the largest and at least 1, alone it is 1")
        # Roundings make a sum of so many no more than 1 % larger.
        exponent, significand = divmod(self.powers[0], 1 << SIGNIFICANT)
        if 101 * self.channels * significand << exponent >= 100 << 128 + UNIT:
            raise ValueError(f"a sum of {self.channels} exponentials is more than a float32 holds")

    @property
    def _codes(self) -> range:
        """The integers of a result."""
        low = -(1 << self.out.width - 1) if self.out.signed else 0
        return range(low, low + (1 << self.out.width))

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CreditFifo(self.o.payload.shape(), self.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        element = Elements(m, self.channels, Const(self.channels, index_shape(self.channels + 1)))
        summand, result = Counter(Float32Sum.CYCLES, "summand"), Counter(self.EVERY, "result")
        moment = Counter(self.INVERSE, "moment")
        take, add, give = Signal(name="taking"), Signal(name="adding"), Signal(name="giving")
        invert, inverted = Signal(name="inverting"), Signal(name="inverted")
        # The last cycle of an element's work; the last one of a result's; it waits.
        done, given, waits = Signal(name="done"), Signal(name="given"), Signal(name="waits")
        last = done & element.last
        with m.FSM(name="phase") as phase:
            with m.State("TAKE"):
                m.d.comb += [self.i.ready.eq(1), take.eq(self.i.valid), waits.eq(~take)]
                m.d.comb += done.eq(take)
                with m.If(last):
                    m.next = "ADD"
            with m.State("ADD"):
                m.d.comb += [add.eq(summand.value == 0), done.eq(summand.last)]
                summand.step(m)
                with m.If(last):
                    m.next = "INVERT" if self.steps is None else "GIVE"
            if self.steps is None:
                with m.State("INVERT"):
                    m.d.comb += [invert.eq(moment.value == 0), inverted.eq(moment.last)]
                    moment.step(m)
                    with m.If(inverted):
                        m.next = "GIVE"
            with m.State("GIVE"):
                begins = result.value == 0
                m.d.comb += [give.eq(begins & fifo.room), waits.eq(begins & ~fifo.room)]
                m.d.comb += [given.eq(result.last), done.eq(given)]
                with m.If(~waits):
                    result.step(m)
                with m.If(last):
                    m.next = "TAKE"
        element.step(m, done)
        m.d.comb += [self.issue.eq(~waits), self.level.eq(fifo.level), fifo.take.eq(give)]

        x, ask = self.i.payload[0], add | give
        below = differences(m, self.shape, self.channels, element, x, take, ask)
        of_results = delay_line(m, phase.ongoing("GIVE"), DIFFERENCE, "of_results")
        power, dividend = self._exponentials(m, below, of_results)
        m.submodules.sum = total = Float32Sum()
        m.d.comb += [
            # The last quotient of the vector before does not need its sum any more.
            total.clear.eq(delay_line(m, take & last, READ, "taken")),
            total.add.eq(delay_line(m, add, READ, "read")),
            total.part.eq(power),
        ]
        load = delay_line(m, give | invert, READ, "asked")
        if self.steps is None:
            inverse = delay_line(m, Cat(invert, inverted), READ, "inverse")
            float_ = self._product(m, load, inverse, power, total.total)
        else:
            float_ = self._quotient(m, load, dividend, total.total)
        m.d.comb += [
            fifo.data[0].eq(self._integer(m, *float_)),
            fifo.push.eq(delay_line(m, given, self.LATENCY - (self.EVERY - 1), "given")),
        ]
        return m

    def _exponentials(self, m: Module, below: Value, of_results: Value) -> tuple[Value, Value]:
        """The exponential of a difference, and steps of them, which are read where ``of_results``
        is high; one or the other POWER cycles later."""
        name = f"{self.image}_powers"
        if self.steps is None:
            m.submodules.powers = rom = Rom(name, FLOAT.size, self.powers)
            m.d.comb += rom.addr.eq(below)
            return FLOAT(rom.data), FLOAT(rom.data)
        layout, words = dividends(self.powers, self.steps)
        more = layout.size - layout["exponent"].width - SIGNIFICANT
        m.submodules.powers = rom = Rom(name, layout.size, words)
        m.d.comb += rom.addr.eq(Cat(below, of_results))
        found = layout(rom.data)
        return FLOAT(Cat(found.significand[more:], found.exponent[:8])), found

    def _quotient(self, m: Module, load: Value, a: Value, b: Value) -> tuple[Value, Value]:
        """``a / b`` as a float whose last bit tells whether it is more: significand and exponent,
        one in EVERY cycles."""
        more = len(a.significand) - SIGNIFICANT
        m.submodules.serial = serial = SerialQuotient(multiplies=False, more=more)
        exponent = reg(EXPONENT, "exponent")
        m.d.comb += [serial.load.eq(load), serial.a.eq(a.significand), serial.b.eq(b.significand)]
        with m.If(load):
            m.d.sync += exponent.eq(a.exponent - b.exponent + (BIAS - 1))
        return jammed(m, "result", serial.exact, serial.lost, exponent)

    def _product(
        self, m: Module, load: Value, inverse: Value, power: Value, total: Value
    ) -> tuple[Value, Value]:
        """``power`` times the inverse of ``total * 2**-width``, rounded, one in EVERY cycles.

        inverse : two bits, whether an inverse begins with this ``load``, and whether one is there.
        """
        m.submodules.serial = serial = SerialQuotient(multiplies=True)
        begins, ends = inverse[0], inverse[1]
        exponent, of_factor = reg(EXPONENT, "exponent"), reg(EXPONENT, "of_factor")
        factor = reg(unsigned(SIGNIFICANT), "factor")
        m.d.comb += [
            serial.load.eq(load),
            serial.divide.eq(begins),
            serial.a.eq(Mux(begins, 1 << (SIGNIFICANT - 1), power.significand)),
            serial.b.eq(Mux(serial.divides, total.significand, factor)),
        ]
        with m.If(begins):
            m.d.sync += exponent.eq(2 * BIAS - 1 + self.out.width - total.exponent)
        with m.Elif(load):
            m.d.sync += exponent.eq(power.exponent + of_factor - BIAS)
        float_ = rounded(m, "result", serial.exact, serial.lost, exponent)
        with m.If(ends):
            m.d.sync += [factor.eq(float_[0]), of_factor.eq(float_[1])]
        return float_

    def _integer(self, m: Module, significand: Value, exponent: Value) -> Value:
        """A float as a result, 1 + INTEGER cycles later."""
        width, codes = self.out.width, self._codes
        float_, of_float = reg(unsigned(SIGNIFICANT), "float"), reg(EXPONENT, "of_float")
        m.d.sync += [float_.eq(significand), of_float.eq(exponent)]
        held, places = reg(unsigned(SIGNIFICANT), "held"), reg(unsigned(5), "places")
        m.d.sync += [
            held.eq(float_),
            # So far down, no more than the last bit behind the point is left.
            places.eq(Mux(of_float < UNIT - 31, 31, (UNIT - of_float)[:5])),
        ]
        # Twice as many as there are results: an offset does not bring that back.
        over = delay_line(m, of_float > BIAS + width, 4, "over", data=True)
        moved, lost = shifted(m, "integer", held, places)
        half, whole = moved[0], moved[1 : width + 2]
        if self.steps is not None:
            up = half & (lost | whole[0])
        elif self.out.signed:
            up = half
        else:
            near = float_.all() & (of_float == UNIT - SIGNIFICANT - 1)
            up = half | delay_line(m, near, 3, "near", data=True)
        integer = reg(signed(width + 3), "integer")
        m.d.sync += integer.eq(whole + up + self.offset)
        code = reg(self.out, "code")
        high = codes[-1]
        m.d.sync += code.eq(Mux(over, high, clamped(integer, codes[0], high)))
        return code
