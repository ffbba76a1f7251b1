"""Rescaler: a runtime's own rule to multiply by a real number and round, several lanes.

Where no multiply, add and shift equals a rule, it is carried out as it is. Fixed-point rules round
twice, at bit 31 and at the channel's own shift. Floating-point rules round the product to their
precision first, which matters only beside a tie: with the product's magnitude k + f (a whole
number and a fraction) and half a unit in the last place d, the rounded product is

- at the tie where ``1/2 - d <= f <= 1/2 + d``,
- above it where ``f > 1/2 + d``,

since the significand of k + 1/2 is even in any precision that leaves a bit behind the tie, so that
a product half a unit away from the tie is rounded to it (IEEE 754, ties to even).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from amaranth.hdl import Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...numeric.division import ceil_div
from ...numeric.types import Overflow, QType, Rounding
from ..common.counter import delay_line, index_shape, reg
from ..common.memory import rom_latency
from ..common.multiplier import WideMultiplier
from ..common.requantizer import (
    clamped,
    overflowed,
    read_parameters,
    rounding_increment,
    shape_of,
)
from ..common.streams import beat, element, positive

FIXED_FRAC = 31
"""Where a fixed-point rule rounds its product first."""


class Rule(Enum):
    """Bits of a float's significand (0: fixed point), and how ties are rounded at the end."""

    TFLM_DOUBLE = (0, Rounding.HALF_AWAY)
    SRDHM_HALF_UP = (0, Rounding.HALF_UP)
    FP32_HALF_EVEN = (24, Rounding.HALF_EVEN)
    DOUBLE_HALF_AWAY = (53, Rounding.HALF_AWAY)

    @property
    def precision(self) -> int:
        """Bits of the significand."""
        return self.value[0]

    @property
    def ties(self) -> Rounding:
        """Where the rounded product is half way between two integers."""
        return self.value[1]


@dataclass(frozen=True)
class RescaleParameters:
    """``clip(overflow(scaled(x + bias) + offset))``, as ir Rescale says.

    ``mult``, ``shift`` and ``bias`` have one integer a channel.
    """

    rule: Rule
    mult: tuple[int, ...]
    shift: tuple[int, ...]
    bias: tuple[int, ...]
    offset: int
    out: QType
    clip: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if not len(self.mult) == len(self.shift) == len(self.bias) > 0:
            raise ValueError("mult, shift and bias need one integer a channel")
        if min(self.mult) < 0 or min(self.shift) < 0:
            raise ValueError("mult and shift must not be negative")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.mult)

    @property
    def common(self) -> int:
        """The shift of all channels: of the product, or of what the first rounding leaves."""
        if self.rule.precision:
            return max(1, *self.shift)
        return max(0, *(shift - FIXED_FRAC for shift in self.shift))

    @property
    def tables(self) -> dict[str, tuple[int, ...]]:
        """What a lane needs of its channel: the multiplier brought to the common shift, or, for a
        fixed-point rule, by the shift to the left, and how far the first result must be moved."""
        pairs = list(zip(self.mult, self.shift, strict=True))
        if self.rule.precision:
            factors = tuple(mult << (self.common - shift) for mult, shift in pairs)
            return {"factor": factors, "bias": self.bias}
        factors = tuple(mult << max(0, FIXED_FRAC - shift) for mult, shift in pairs)
        up = tuple(self.common - max(0, shift - FIXED_FRAC) for shift in self.shift)
        return {"factor": factors, "bias": self.bias, "up": up}

    def latency(self, x: Shape) -> int:
        """Cycles from input to result."""
        own = 3 if not self.rule.precision else 5 + self.narrows(x)
        return rom_latency(self.channels) + 1 + WideMultiplier.LATENCY + own

    def biased(self, x: Shape) -> tuple[int, int]:
        """Smallest and largest input with its bias."""
        low, high = range_of(x)
        return low + min(self.bias), high + max(self.bias)

    def check(self, x: Shape) -> None:
        """Raises ValueError where results are beyond a float's significand and do not saturate:
        their low bits, which the float does not have, would be seen."""
        low, high = range_of(x)
        rows = zip(self.mult, self.shift, self.bias, strict=True)
        products = [max(abs(low + b), abs(high + b)) * m >> s for m, s, b in rows]
        kept = max(abs(end - self.offset) for end in (self.out.low, self.out.max))
        limit = 1 << self.rule.precision
        wraps = self.out.overflow is Overflow.WRAP
        if self.rule.precision and max(products) >= limit and (wraps or kept >= limit):
            raise ValueError(f"{self.out} keeps results beyond {self.rule.precision} bits")

    def narrows(self, x: Shape) -> bool:
        """Whether an input may have more bits than the significand: then it is rounded as well."""
        most = max(abs(end) for end in self.biased(x))
        return self.rule.precision > 0 and most > 1 << self.rule.precision


class Rescaler(wiring.Component):
    """``lanes`` rescalers side by side, with the parameters of ``lanes`` channels a cycle.

    Parameters, members and stalls are those of a Requantizer: name (of the parameter ROM's
    image), shape of an input element, lanes, parameters. Latency ``latency``, initiation
    interval 1.
    """

    def __init__(self, name: str, x: Shape, lanes: int, parameters: RescaleParameters) -> None:
        positive(lanes=lanes)
        self.image, self.x, self.lanes, self.parameters = name, Shape.cast(x), lanes, parameters
        parameters.check(self.x)
        self.groups = ceil_div(parameters.channels, lanes)
        self.latency = parameters.latency(self.x)
        super().__init__(
            {
                "valid": In(1),
                "acc": In(beat(x, lanes)),
                "index": In(index_shape(self.groups)),
                "o_valid": Out(1),
                "o": Out(beat(element(parameters.out), lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        rows = read_parameters(m, self.image, p.tables, self.lanes, self.index)
        m.d.comb += self.o_valid.eq(delay_line(m, self.valid, self.latency, "valid"))
        for lane, given in enumerate(rows):
            name = f"l{lane}"
            x = delay_line(m, self.acc[lane], rom_latency(p.channels), f"{name}_x", data=True)
            biased = reg(shape_of([*p.biased(self.x), -1]), f"{name}_biased")
            m.d.sync += biased.eq((x.as_signed() if self.x.signed else x) + given["bias"])
            scaled = self._float if p.rule.precision else self._fixed
            whole = scaled(m, name, biased, given)
            result = reg(element(p.out), f"{name}_result")
            m.d.sync += result.eq(self._limited(m, name, whole))
            m.d.comb += self.o[lane].eq(result)
        return m

    @property
    def _size(self) -> Shape:
        """Shape of an input's magnitude."""
        most = max(abs(end) for end in self.parameters.biased(self.x))
        return unsigned(max(1, most.bit_length()))

    def _product(self, m: Module, name: str, a: Value, b: Value) -> Value:
        multiplier = WideMultiplier(a.shape(), b.shape())
        m.submodules[f"{name}_mul"] = multiplier
        m.d.comb += [multiplier.a.eq(a), multiplier.b.eq(b)]
        return multiplier.p

    def _fixed(self, m: Module, name: str, x: Value, given: dict[str, Value]) -> Value:
        """High product and rounding shift, two cycles after the product."""
        p = self.parameters
        factor = late(m, given["factor"], 1, f"{name}_factor")
        product = self._product(m, name, x, factor)
        up = late(m, given["up"], 1 + WideMultiplier.LATENCY, f"{name}_up")
        high = (product + (1 << (FIXED_FRAC - 1))) >> FIXED_FRAC
        moved_value = high << up
        moved = reg(signed(moved_value.shape().width), f"{name}_moved")
        m.d.sync += moved.eq(moved_value)
        value = (moved >> p.common) + rounding_increment(moved, p.common, p.rule.ties) + p.offset
        whole = reg(signed(value.shape().width), f"{name}_whole")
        m.d.sync += whole.eq(value)
        return whole

    def _float(self, m: Module, name: str, x: Value, given: dict[str, Value]) -> Value:
        """Sign and magnitude; three cycles after the product, and one or two before it."""
        p, common = self.parameters, self.parameters.common
        size, negative = reg(self._size, f"{name}_size"), reg(1, f"{name}_negative")
        m.d.sync += [size.eq(Mux(x < 0, -x, x)), negative.eq(x < 0)]
        before = 1
        if p.narrows(self.x):
            size, before = self._significant(m, name, size), 2
        factor = late(m, given["factor"], 1 + before, f"{name}_factor")
        product = self._product(m, name, size, factor)
        k, f = product[common:], product[:common]
        low, high = self._beside_the_tie(m, name, k)
        whole, fraction = reg(len(k), f"{name}_k"), reg(common, f"{name}_f")
        m.d.sync += [whole.eq(k), fraction.eq(f)]
        up = fraction >= low
        if p.rule.ties is Rounding.HALF_EVEN:
            up = (fraction > high) | (up & whole[0])
        rounded = reg(len(k) + 1, f"{name}_rounded")
        m.d.sync += rounded.eq(whole + up)
        negative = delay_line(m, negative, before - 1 + WideMultiplier.LATENCY + 2,
                           f"{name}_negative_late", data=True)  # fmt: skip
        value = Mux(negative, -rounded, rounded) + p.offset
        signed_whole = reg(signed(value.shape().width), f"{name}_whole")
        m.d.sync += signed_whole.eq(value)
        return signed_whole

    def _significant(self, m: Module, name: str, size: Value) -> Value:
        """A magnitude rounded to the significand's bits, ties to even."""
        precision = self.parameters.rule.precision
        rounded = reg(unsigned(len(size) + 1), f"{name}_significant")
        m.d.sync += rounded.eq(size)
        for drop in range(1, len(size) - precision + 1):
            half, odd = size[drop - 1], size[drop]
            rest = size[: drop - 1].any() if drop > 1 else Const(0)
            with m.If(size[precision + drop - 1]):
                m.d.sync += rounded.eq((size[drop:] + (half & (rest | odd))) << drop)
        return rounded

    def _beside_the_tie(self, m: Module, name: str, k: Value) -> tuple[Value, Value]:
        """1/2 - d and 1/2 + d for the binade of k + 1/2, in units of the product, a cycle later.

        d is half a unit in the last place, ``2**(e - precision)`` for a magnitude from 2**e on.
        Below 1/2, where k is 0, the units are half as large.
        """
        p = self.parameters
        half, place = 1 << (p.common - 1), p.common - p.rule.precision
        bounds = [reg(p.common + 1, f"{name}_{end}") for end in ("low", "high")]

        def beside(e_low: int, e_high: int) -> list[int]:
            away = [1 << (place + e) if place + e >= 0 else 0 for e in (e_low, e_high)]
            return [half - min(away[0], half), half + min(away[1], half)]

        m.d.sync += [bound.eq(end) for bound, end in zip(bounds, beside(-2, -1), strict=True)]
        for e in range(len(k)):
            with m.If(k[e]):
                ends = zip(bounds, beside(e, e), strict=True)
                m.d.sync += [bound.eq(end) for bound, end in ends]
        return bounds[0], bounds[1]

    def _limited(self, m: Module, name: str, whole: Value) -> Value:
        p = self.parameters
        fits = Signal(element(p.out), name=f"{name}_fits")
        m.d.comb += fits.eq(overflowed(whole, p.out))
        if p.clip is None:
            return fits
        if p.out.overflow in (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC):
            low, high = (min(max(end, p.clip[0]), p.clip[1]) for end in (p.out.low, p.out.max))
            return clamped(whole, low, high)
        return clamped(fits, *p.clip)


def range_of(x: Shape) -> tuple[int, int]:
    """Smallest and largest integer of a shape."""
    high = (1 << (x.width - x.signed)) - 1
    return (-high - 1 if x.signed else 0), high


def late(m: Module, value: Value, cycles: int, name: str) -> Value:
    """``value`` so many cycles later; a constant is always there."""
    return value if isinstance(value, Const) else delay_line(m, value, cycles, name, data=True)
