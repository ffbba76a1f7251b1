"""Float32 arithmetic of numbers that are not negative: sums, quotients and products, rounded.

Results are those of IEEE 754 with ties to even, but that nothing is infinite: parameters see to it.
Alignment and rounding are spread over cycles, and significands are divided and multiplied a bit a
cycle, so that nothing needs more than one addition of 26 bits in a cycle, and no DSP block.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .counter import delay_line, reg

SIGNIFICANT = 24
"""Bits of a significand."""
FLOAT = data.StructLayout({"significand": SIGNIFICANT, "exponent": 8})
"""``significand * 2**(exponent - UNIT)``. The exponent is that of IEEE 754, but 1 for 0 and for
numbers too small for the significand's highest bit, which is there in full."""
BIAS = 127
"""Exponent of the floats from 1 to 2."""
UNIT = BIAS + SIGNIFICANT - 1
"""Exponent of a float whose significand is its value."""
ONE = BIAS << 23
"""The pattern of 1."""
INFINITE = 255 << 23
"""The pattern of infinity; all below it are numbers."""
EXACT = SIGNIFICANT + 2
"""Bits of a result before it is rounded: one above a significand and one below it."""


def word(pattern: int) -> int:
    """The pattern of IEEE 754 as the bits of a FLOAT. Raises ValueError where it is negative,
    infinite or no number."""
    if not 0 <= pattern < INFINITE:
        raise ValueError(f"{pattern:#x} is not the pattern of a number from 0 up")
    exponent, fraction = pattern >> 23, pattern & ((1 << 23) - 1)
    significand = fraction | (exponent > 0) << 23
    return significand | max(1, exponent) << SIGNIFICANT


def shifted(m: Module, name: str, value: Value, places: Value) -> tuple[Value, Value]:
    """A significand by 0 to 31 places to the right, with one bit behind its last, and whether
    anything was lost behind that; two cycles later."""
    result, lost = Cat(Const(0, 1), value), Const(0)
    for stage, steps in enumerate(((4, 3), (2, 1, 0))):
        for step in steps:
            away = 1 << step
            lost = lost | (places[step] & result[:away].any())
            result = Mux(places[step], result[away:], result)
        moved, rest = (
            reg(unsigned(SIGNIFICANT + 1), f"{name}_moved{stage}"),
            reg(1, f"{name}_lost{stage}"),
        )
        m.d.sync += [moved.eq(result), rest.eq(lost)]
        places = delay_line(m, places, 1, f"{name}_places{stage}", data=True)
        result, lost = moved, rest
    return result, lost


def rounded(
    m: Module, name: str, exact: Value, lost: Value, exponent: Value
) -> tuple[Value, Value]:
    """A result of EXACT bits as significand and exponent, ties to even, a cycle later; what it
    gives is one addition behind registers.

    lost : whether anything is behind its last bit. exponent : what it has where the highest of its
    bits is not set.
    """
    over = exact[-1]
    kept, up = reg(unsigned(SIGNIFICANT), f"{name}_kept"), reg(1, f"{name}_up")
    of_kept = Signal.like(exponent, name=f"{name}_exponent", reset_less=True)
    half = Mux(over, exact[1], exact[0])
    rest = lost | (over & exact[0])
    m.d.sync += [
        kept.eq(Mux(over, exact[2:], exact[1:-1])),
        up.eq(half & (rest | Mux(over, exact[2], exact[1]))),
        of_kept.eq(exponent + over),
    ]
    sum_ = Signal(unsigned(SIGNIFICANT + 1), name=f"{name}_rounded")
    m.d.comb += sum_.eq(kept + up)
    # Where that has a bit more all others are 0.
    return Cat(sum_[:-2], sum_[-2] | sum_[-1]), of_kept + sum_[-1]


def jammed(m: Module, name: str, exact: Value, lost: Value, exponent: Value) -> tuple[Value, Value]:
    """The same as ``rounded``, but nothing is: the last bit of the significand is set where there
    is anything behind it. Rounded to an integer of at least two bits less, that gives what the
    exact result would."""
    over = exact[-1]
    kept = reg(unsigned(SIGNIFICANT), f"{name}_kept")
    of_kept = Signal.like(exponent, name=f"{name}_exponent", reset_less=True)
    rest = lost | exact[0] | (over & exact[1])
    m.d.sync += [kept.eq(Mux(over, exact[2:], exact[1:-1]) | rest), of_kept.eq(exponent + over)]
    return kept, of_kept


class Float32Sum(wiring.Component):
    """A total to which floats are added one after the other, each sum rounded.

    Members
    -------
    clear (in): the total is 0 in the next cycle; not while something is added. add, part (in):
    ``part`` is added; not sooner than CYCLES after the last. total (out).

    The sum is there CYCLES cycles after ``add``, which is the initiation interval too.
    """

    CYCLES = 6
    """Operands in order, shift (two), sum, rounding (two)."""

    def __init__(self) -> None:
        super().__init__({"clear": In(1), "add": In(1), "part": In(FLOAT), "total": Out(FLOAT)})

    def elaborate(self, platform):
        m = Module()
        a, b = self.total, self.part
        below, above = (
            Signal(unsigned(9), name=f"{name}_exponents") for name in ("below", "above")
        )
        m.d.comb += [below.eq(a.exponent - b.exponent), above.eq(b.exponent - a.exponent)]
        less = below[-1]
        places, exponent = reg(unsigned(5), "places"), reg(unsigned(8), "exponent")
        large, small = (reg(unsigned(SIGNIFICANT), name) for name in ("large", "small"))
        apart = Mux(less, above, below)
        m.d.sync += [
            # So far apart, all of the smaller one is behind the last bit.
            places.eq(apart[:5] | apart[5:8].any().replicate(5)),
            exponent.eq(Mux(less, b.exponent, a.exponent)),
            large.eq(Mux(less, b.significand, a.significand)),
            small.eq(Mux(less, a.significand, b.significand)),
        ]
        moved, lost = shifted(m, "small", small, places)
        large = delay_line(m, large, 2, "large_late", data=True)
        exact, rest = reg(unsigned(EXACT), "exact"), reg(1, "rest")
        m.d.sync += [exact.eq((large << 1) + moved), rest.eq(lost)]
        exponent = delay_line(m, exponent, 3, "exponent_late", data=True)
        significand, exponent = rounded(m, "total", exact, rest, exponent)
        with m.If(delay_line(m, self.add, self.CYCLES - 1, "added")):
            m.d.sync += [a.significand.eq(significand), a.exponent.eq(exponent)]
        with m.If(self.clear):
            m.d.sync += [a.significand.eq(0), a.exponent.eq(1)]
        return m


class SerialQuotient(wiring.Component):
    """``a / b`` of two significands, or ``a * b``, a bit a cycle, to be rounded.

    Parameters
    ----------
    multiplies : it can do that too.
    more : bits of ``a`` behind a significand's, less than EXACT; none where it multiplies.

    Members
    -------
    load, a (in): begin. b (in): there from the cycle after ``load`` on until the result is.
    exact (out): ``a / b * 2**(25 - more)`` or ``a * b / 2**22``, EXACT bits; lost (out): whether
    that is not whole. Where it multiplies, divide (in): what to do, with ``load``; divides (out):
    what is done.

    The result is there for one cycle, LATENCY cycles after ``load``; the next one may be loaded in
    that cycle: an initiation interval of LATENCY too. A quotient needs a ``b`` with its highest bit
    set.
    """

    LATENCY = 1 + EXACT
    """The operands are loaded, and a step for each bit."""

    def __init__(self, multiplies: bool, more: int = 0) -> None:
        if not 0 <= more < EXACT or (multiplies and more):
            raise ValueError(f"{more} bits more can not be divided")
        self.multiplies, self.more = multiplies, more
        super().__init__(
            {
                "load": In(1),
                "a": In(SIGNIFICANT + more),
                "b": In(SIGNIFICANT),
                "exact": Out(EXACT),
                "lost": Out(1),
            }
            | ({"divide": In(1), "divides": Out(1)} if multiplies else {})
        )

    def elaborate(self, platform):
        m = Module()
        # A remainder, or the part of a product that grows; the quotient, or what is left of a
        # factor. In both the highest bits lie where b is added or taken away.
        high, low = reg(unsigned(SIGNIFICANT + 1), "high"), reg(unsigned(EXACT), "low")
        if self.multiplies:
            self._both(m, high, low)
            return m
        step = Signal(unsigned(SIGNIFICANT + 2), name="less_b")
        m.d.comb += step.eq(high - self.b)
        fits = ~step[-1]
        with m.If(self.load):
            m.d.sync += [
                high.eq(self.a[self.more :]),
                low.eq(self.a[: self.more] << (EXACT - self.more)),
            ]
        with m.Else():
            m.d.sync += [
                high.eq(Cat(low[-1], Mux(fits, step, high))),
                low.eq(Cat(fits, low)),
            ]
        m.d.comb += [self.exact.eq(low), self.lost.eq(high.any())]
        return m

    def _both(self, m: Module, high: Signal, low: Signal) -> None:
        """One adder: a quotient takes b away and shifts to the left, a product adds it and shifts
        to the right, its last two bits and whether others were lost beside it."""
        divides, last, lost = self.divides, reg(unsigned(2), "last"), reg(1, "lost_bits")
        operand = Mux(divides, ~Cat(self.b, Const(0, 1)), Mux(low[0], Cat(self.b, Const(0, 1)), 0))
        step = Signal(unsigned(SIGNIFICANT + 2), name="step")
        m.d.comb += step.eq((Cat(divides, high) + Cat(divides, operand))[1:])
        fits, product = step[-1], Cat(last, step)
        with m.If(self.load):
            m.d.sync += [
                divides.eq(self.divide),
                high.eq(Mux(self.divide, self.a, 0)),
                low.eq(self.a << 2),
                last.eq(0),
                lost.eq(0),
            ]
        with m.Elif(divides):
            m.d.sync += [
                high.eq(Mux(fits, step[:-1], high) << 1),
                low.eq(Cat(fits, low)),
            ]
        with m.Else():
            m.d.sync += [
                last.eq(product[1:3]),
                high.eq(product[3:]),
                low.eq(low >> 1),
                lost.eq(lost | last[0]),
            ]
        m.d.comb += [
            self.exact.eq(Mux(divides, low, Cat(last, high)[:EXACT])),
            self.lost.eq(Mux(divides, high.any(), lost)),
        ]
