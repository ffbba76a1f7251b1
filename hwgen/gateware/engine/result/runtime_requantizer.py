"""Requantizers whose parameters come at run time: multiplier, bias and shift beside each
accumulator, rounding and bounds from a descriptor.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....contract.features import Feature
from ....contract.isa import DOUBLE_BITS, FLOAT_RESULTS, RECORD, SINGLE_BITS, Round
from ...common.counter import delay_line, reg
from ...common.multiplier import MultiplyAdd
from ..fetch.descriptor_layout import layout

BIASED = 65
"""Bits of the sum of a product of 32 x 32 bits and a bias."""
RESULT_BITS = 32
"""Bits of a result."""
FRACTION = SINGLE_BITS + 2
"""Fractional bits that are kept as they are: half a unit in the last place of the smallest result
beside a tie, a half, is 2**-FRACTION. Of those below, whether there is one counts."""
WHOLE = RESULT_BITS + 1
"""Bits of a floor."""

ROUNDING = data.StructLayout(
    {
        "how": unsigned(3),
        "offset": signed(16),
        "low": signed(RESULT_BITS),
        "high": signed(RESULT_BITS),
    }
)
"""How values are rounded, the same for all lanes."""

Features = tuple[Feature, ...]


def fraction_of(without: Features) -> int:
    """Fractional bits that requantizers without these roundings keep: where none goes by floats it
    matters only what the half is, and whether there is anything below."""
    return 1 if Feature.FLOAT in without else FRACTION


def scaled(without: Features = ()) -> data.StructLayout:
    """A value with ``fraction_of`` bits behind the point. rest : there is a 1 below them; over : it
    has more bits than there are; large : more than DOUBLE_BITS were shifted out."""
    return data.StructLayout(
        {
            "value": signed(WHOLE + fraction_of(without)),
            "rest": unsigned(1),
            "over": unsigned(1),
            "negative": unsigned(1),
            "large": unsigned(1),
        }
    )


class Scale(wiring.Component):
    """``value / 2**shift`` with ``fraction_of`` fractional bits.

    Parameters: bits of the value. without : roundings that are left out.

    Members
    -------
    value, shift (in); doubled (in): the lowest DOUBLE_BITS bits of the value are left out where the
    shift is larger; o (out): see ``scaled``.

    Latency ``LATENCY`` cycles: by multiples of 16, of 4, and of 1; initiation interval 1.
    """

    STEPS = (16, 4, 1)
    LATENCY = len(STEPS)

    def __init__(self, bits: int = BIASED, without: Features = ()) -> None:
        self.without = without
        super().__init__(
            {
                "value": In(signed(bits)),
                "shift": In(6),
                "doubled": In(1),
                "o": Out(scaled(without)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        fraction, large = fraction_of(self.without), self.shift[5]
        lowest: Value = self.value[:DOUBLE_BITS]
        if Feature.DOUBLE not in self.without:
            lowest = lowest & (~(self.doubled & large)).replicate(DOUBLE_BITS)
            m.d.comb += self.o.large.eq(delay_line(m, large, self.LATENCY, "large", data=True))
        value = Cat(Const(0, fraction), lowest, self.value[DOUBLE_BITS:]).as_signed()
        rest: Value = Const(0)
        over: Value = Const(0)
        negative, shift = self.value[-1], self.shift
        for step in self.STEPS:
            places = shift[-2:]
            # What later steps shift out is kept as well.
            kept = WHOLE + fraction + step - 1
            width = min(len(value), kept)
            moved, dropped = reg(signed(width), f"by_{step}"), reg(1, f"rest_{step}")
            beyond = reg(1, f"over_{step}")
            sign = reg(1, f"negative_{step}")
            m.d.sync += [dropped.eq(rest), beyond.eq(over), sign.eq(negative)]
            with m.Switch(places):
                for n in range(4):
                    with m.Case(n):
                        low = value[: n * step]
                        top = value[min(n * step + width - 1, len(value) - 1) :]
                        m.d.sync += [
                            moved.eq(value >> n * step),
                            dropped.eq(rest | low.any()),
                            beyond.eq(over | (top.any() & ~top.all())),
                        ]
            value, rest, over, negative = moved, dropped, beyond, sign
            if len(shift) > 2:
                shift = delay_line(m, shift[:-2], 1, f"shift_{step}", data=True)
        m.d.comb += [
            self.o.value.eq(value),
            self.o.rest.eq(rest),
            self.o.over.eq(over),
            self.o.negative.eq(negative),
        ]
        return m


class RoundClamp(wiring.Component):
    """``clamp(round(value) + offset, low, high)``.

    Parameters
    ----------
    without : roundings that are left out.

    Members
    -------
    i (in): see ``scaled``; rounding (in): see ROUNDING; o (out).

    Latency ``LATENCY`` cycles: what is beside a tie, whether it is raised, the sum, compared,
    clamped; initiation interval 1. The rounding is to stay while values are in the pipeline.
    """

    LATENCY = 5

    def __init__(self, without: Features = ()) -> None:
        self.without = without
        super().__init__(
            {
                "i": In(scaled(without)),
                "rounding": In(ROUNDING),
                "o": Out(signed(RESULT_BITS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        given, rounding = self.i, self.rounding
        bits = fraction_of(self.without)
        fraction, floor = given.value[:bits], given.value[bits:]
        near: Value = Const(0)
        if Feature.FLOAT not in self.without:
            near = _beside_a_tie(m, floor, fraction, given.rest, given.negative)
        half, below = reg(1, "half"), reg(1, "below")
        m.d.sync += [half.eq(fraction[-1]), below.eq(Cat(fraction[:-1], given.rest).any())]
        negative, large = reg(1, "is_negative"), reg(1, "is_large")
        m.d.sync += [negative.eq(given.negative), large.eq(given.large)]
        whole = delay_line(m, floor, 2, "floor", data=True).as_signed()
        odd = delay_line(m, floor[0], 1, "odd", data=True)

        up = reg(1, "up")
        with m.Switch(rounding.how):
            for how in Round:
                if _FEATURES.get(how) in self.without:
                    continue
                with m.Case(how):
                    m.d.sync += up.eq(_raised(how, half, below, negative, odd, near, large))
        rounded = reg(signed(WHOLE + 1), "rounded")
        m.d.sync += rounded.eq(whole + rounding.offset + up)

        over = delay_line(m, given.over, 3, "over", data=True)
        under = delay_line(m, negative, 2, "under", data=True)
        too_low, too_high = reg(1, "too_low"), reg(1, "too_high")
        m.d.sync += [
            too_low.eq(Mux(over, under, rounded < rounding.low)),
            too_high.eq(Mux(over, ~under, rounded > rounding.high)),
        ]
        within = delay_line(m, rounded[:RESULT_BITS], 1, "within", data=True)
        result = reg(signed(RESULT_BITS), "result")
        m.d.sync += result.eq(Mux(too_low, rounding.low, Mux(too_high, rounding.high, within)))
        m.d.comb += self.o.eq(result)
        return m


_FEATURES = {Round.DOUBLE: Feature.DOUBLE, Round.FLOAT: Feature.FLOAT}
"""Roundings that may be left out."""


def _raised(
    how: Round, half: Value, below: Value, negative: Value, odd: Value, near: Value, large: Value
) -> Value:
    """Whether a floor is raised by one.

    half, below : the highest bit of the fraction, and whether there is a 1 below it; negative, odd
    : of the value, and of its floor; near : it is a tie for a float; large : of Scale.
    """
    return {
        Round.FLOOR: Const(0),
        Round.HALF_EVEN: half & (below | odd),
        Round.HALF_AWAY: half & (below | ~negative),
        Round.HALF_TO_ZERO: half & (below | negative),
        Round.TO_ZERO: (half | below) & negative,
        Round.FROM_ZERO: (half | below) & ~negative,
        Round.DOUBLE: large & half & (below | ~negative),
        Round.FLOAT: Mux(near, odd, half),
    }[how]


def _beside_a_tie(m: Module, floor: Value, fraction: Value, rest: Value, negative: Value) -> Value:
    """Whether a value is so near to a tie that a float32 is it, a cycle later.

    With a magnitude of k and a fraction, and half a unit in the last place ``d = 2**(e - 24)`` of
    a float32 from 2**e on, that is where the fraction is from 1/2 - d to 1/2 + d, both of them
    taken in: the significand of k + 1/2 is even, so that a number half a unit beside it is
    rounded to it (IEEE 754, ties to even). Below 1/2, where k is 0, the units are half as large.
    """
    half = fraction[-1]
    # The bits below the half, highest first: those of a tie from above are 0, from below 1.
    beside = [half ^ bit for bit in reversed(list(fraction[:-1]))]
    alike: list[Value] = [Const(1)]
    for number, bit in enumerate(beside):
        alike.append(Signal(name=f"alike_{number}"))
        m.d.comb += alike[-1].eq(alike[-2] & bit)
    # Whether there is nothing below the first bits.
    none: list[Value] = [~rest]
    for number, bit in enumerate(fraction[:-1]):
        none.append(Signal(name=f"none_{number}"))
        m.d.comb += none[-1].eq(none[-2] & ~bit)
    none.reverse()

    def within(bits: int) -> Value:
        """Whether it is at most 2**-bits beside the half: bits - 1 of those below it say so, or it
        is just that far above."""
        edge = half & alike[bits - 2] & fraction[FRACTION - bits] & none[bits - 1]
        return alike[bits - 1] | edge

    size = Signal(FLOAT_RESULTS.bit_length(), name="size")
    m.d.comb += size.eq(floor[: len(size)] ^ negative.replicate(len(size)))
    near = reg(1, "near")
    # Where k is 0 the side that is nearer to 0 has the smaller unit.
    m.d.sync += near.eq(Mux(half ^ negative, within(SINGLE_BITS + 1), within(SINGLE_BITS + 2)))
    for exponent in range(len(size)):
        with m.If(size[exponent]):
            m.d.sync += near.eq(within(SINGLE_BITS - exponent))
    return near


class RequantLane(wiring.Component):
    """One requantizer: ``clamp(round((acc * mult + bias) / 2**shift) + offset)``.

    Parameters
    ----------
    acc : shape of an accumulator, of 19 bits to those of MultiplyAdd.MOST. without : roundings that
    are left out.

    Members
    -------
    acc, parameters (in): of the same cycle. rounding (in): see ROUNDING. o (out). sum (out):
    ``acc * mult + bias``, SUM cycles after them.

    Latency ``LATENCY`` cycles, initiation interval 1, never stalls.
    """

    SUM = MultiplyAdd.LATENCY
    LATENCY = SUM + Scale.LATENCY + RoundClamp.LATENCY

    def __init__(self, acc: Shape, without: Features = ()) -> None:
        self.without = without
        if acc.width > MultiplyAdd.MOST[0]:
            raise ValueError(f"accumulators of {acc.width} bits: at most {MultiplyAdd.MOST[0]}")
        self.acc_shape = acc
        super().__init__(
            {
                "acc": In(acc),
                "parameters": In(layout(RECORD)),
                "rounding": In(ROUNDING),
                "o": Out(signed(RESULT_BITS)),
                "sum": Out(signed(BIASED)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        given = self.parameters
        # A bit more than the product has.
        bits = max(BIASED, self.acc_shape.width + given.mult.shape().width + 1)
        bias, biased = given.bias.shape(), signed(bits)
        m.submodules.mul = mul = MultiplyAdd(self.acc_shape, given.mult.shape(), bias, biased)
        m.submodules.scale = scale = Scale(bits, self.without)
        m.submodules.round = rounded = RoundClamp(self.without)
        doubled = reg(1, "doubled")
        m.d.sync += doubled.eq(self.rounding.how == Round.DOUBLE)
        m.d.comb += [
            mul.a.eq(self.acc),
            mul.b.eq(given.mult),
            mul.c.eq(delay_line(m, given.bias, MultiplyAdd.AHEAD, "bias", data=True)),
            self.sum.eq(mul.p),
            scale.value.eq(mul.p),
            scale.shift.eq(delay_line(m, given.shift, self.SUM, "shift", data=True)),
            scale.doubled.eq(doubled),
            rounded.i.eq(scale.o),
            rounded.rounding.eq(self.rounding),
            self.o.eq(rounded.o),
        ]
        return m
