"""Requantizer: accumulators to narrow integers, several lanes, pipelined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...numeric.division import ceil_div
from ...numeric.types import Overflow, QType, Rounding
from .counter import delay_line, index_shape, reg
from .memory import Rom, rom_latency
from .multiplier import WideMultiplier
from .streams import beat, element, positive


@dataclass(frozen=True)
class RequantParameters:
    """``clip(overflow(round((acc * mult + bias) >> shift)))`` for every channel.

    ``mult`` and ``bias`` have one integer a channel; ``shift`` is common. Rounding and overflow
    are those of ``out``; ``clip`` (low, high) acts after overflow. An
    accumulator less than its channel's ``split_at`` takes ``bias_below`` in place of ``bias``.
    """

    mult: tuple[int, ...]
    bias: tuple[int, ...]
    shift: int
    out: QType
    clip: tuple[int, int] | None = None
    split_at: tuple[int, ...] | None = None
    bias_below: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        lists = [values for values in self.tables.values() if values is not None]
        if not self.mult or any(len(values) != len(self.mult) for values in lists):
            raise ValueError("mult and bias (split_at and bias_below) need one integer a channel")
        if (self.split_at is None) != (self.bias_below is None):
            raise ValueError("split_at and bias_below belong together")
        if self.shift < 0:
            raise ValueError(f"shift {self.shift} is negative")
        if self.clip is not None:
            low, high = self.clip
            if not self.out.min <= low <= high <= self.out.max:
                raise ValueError(f"clip {self.clip} does not suit {self.out}")

    @property
    def tables(self) -> dict[str, tuple[int, ...]]:
        """What differs between channels, by name."""
        named = {
            "mult": self.mult, "bias": self.bias, "pivot": self.split_at, "below": self.bias_below,
        }  # fmt: skip
        return {name: values for name, values in named.items() if values is not None}

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.mult)

    @property
    def multiplies(self) -> bool:
        """Whether a real multiplier is needed: not one power of two common to all channels.

        Where the bias is split there always is one: the bias is chosen while it works.
        """
        first = self.mult[0]
        return (
            self.split_at is not None
            or len(set(self.mult)) > 1
            or first <= 0
            or first & (first - 1) != 0
        )

    @property
    def latency(self) -> int:
        """Cycles from accumulator to result."""
        return rom_latency(self.channels) + 3 + (WideMultiplier.LATENCY if self.multiplies else 0)


def shape_of(values: Sequence[int]) -> Shape:
    """The narrowest shape that holds all these integers."""
    low, high = min(values), max(values)
    if low >= 0:
        return unsigned(max(1, high.bit_length()))
    return signed(max(max(high, 0).bit_length(), (~low).bit_length()) + 1)


class Requantizer(wiring.Component):
    """``lanes`` requantizers side by side, with the parameters of ``lanes`` channels a cycle.

    Parameters
    ----------
    name : of the parameter ROM's image.
    acc : shape of an accumulator; lanes; parameters.

    Members
    -------
    valid, acc (lanes), index (in): the beat's accumulators, and which group of ``lanes``
    channels they are. o_valid, o (out).

    Latency ``parameters.latency`` cycles, initiation interval 1, never stalls.
    """

    def __init__(self, name: str, acc: Shape, lanes: int, parameters: RequantParameters) -> None:
        positive(lanes=lanes)
        self.image, self.acc_shape, self.lanes = name, acc, lanes
        self.parameters = parameters
        self.groups = ceil_div(parameters.channels, lanes)
        super().__init__(
            {
                "valid": In(1),
                "acc": In(beat(acc, lanes)),
                "index": In(index_shape(self.groups)),
                "o_valid": Out(1),
                "o": Out(beat(element(parameters.out), lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        p = self.parameters
        rows = read_parameters(m, self.image, p.tables, self.lanes, self.index)
        ahead = rom_latency(p.channels)
        m.d.comb += self.o_valid.eq(delay_line(m, self.valid, p.latency, "valid"))
        for lane, given in enumerate(rows):
            acc = delay_line(m, self.acc[lane], ahead, f"acc{lane}", data=True)
            acc = acc if isinstance(acc, Value) else Value.cast(acc)
            if not p.multiplies:
                given["mult"] = Const(p.mult[0])
            result = reg(element(p.out), f"l{lane}_result")
            m.d.sync += result.eq(self._lane(m, f"l{lane}", acc, given))
            m.d.comb += self.o[lane].eq(result)
        return m

    def _lane(self, m: Module, name: str, acc: Value, given: dict[str, Value]) -> Value:
        p = self.parameters
        mult, bias = given["mult"], given["bias"]
        if self.acc_shape.signed:
            acc = acc.as_signed()
        if p.multiplies:
            multiplier = WideMultiplier(acc.shape(), mult.shape())
            m.submodules[f"{name}_mul"] = multiplier
            m.d.comb += [multiplier.a.eq(acc), multiplier.b.eq(mult)]
            product: Value = multiplier.p
            bias = self._bias(m, name, acc, given)
        else:
            product = acc * mult  # by a power of two
        biased_value = product + bias
        biased = reg(signed(biased_value.shape().width + 1), f"{name}_biased")
        m.d.sync += biased.eq(biased_value)
        rounded_value = (biased >> p.shift) + rounding_increment(biased, p.shift, p.out.rounding)
        rounded = reg(signed(rounded_value.shape().width), f"{name}_rounded")
        m.d.sync += rounded.eq(rounded_value)
        if p.clip is None:
            return overflowed(rounded, p.out)
        if p.out.overflow in (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC):
            # Two clamps are one: between what the second makes of the bounds of the first.
            low, high = (min(max(end, p.clip[0]), p.clip[1]) for end in (p.out.low, p.out.max))
            return clamped(rounded, low, high)
        fits = Signal(element(p.out), name=f"{name}_fits")
        m.d.comb += fits.eq(overflowed(rounded, p.out))
        return clamped(fits, *p.clip)

    def _bias(self, m: Module, name: str, acc: Value, given: dict[str, Value]) -> Value:
        """What is added to the product, WideMultiplier.LATENCY cycles later."""
        p = self.parameters
        bias, cycles = given["bias"], WideMultiplier.LATENCY
        if p.split_at is None or p.bias_below is None:
            late = delay_line(m, bias, cycles, f"{name}_bias", data=True)
            return late.as_signed() if shape_of(p.bias).signed else late
        return bias_of_side(m, name, acc, given, shape_of([*p.bias, *p.bias_below]), cycles)


def bias_of_side(
    m: Module,
    name: str,
    acc: Value,
    given: Mapping[str, Value] | data.View,
    shape: Shape,
    cycles: int,
) -> Value:
    """``bias``, or ``below`` where acc is below ``pivot``, at least 2 cycles later."""
    under = reg(1, f"{name}_under")
    m.d.sync += under.eq(acc < given["pivot"])
    pair = {key: reg(shape, f"{name}_{key}_kept") for key in ("bias", "below")}
    m.d.sync += [kept.eq(given[key]) for key, kept in pair.items()]
    chosen = reg(shape, f"{name}_chosen")
    m.d.sync += chosen.eq(Mux(under, pair["below"], pair["bias"]))
    late = delay_line(m, chosen, cycles - 2, f"{name}_bias", data=True)
    return late.as_signed() if shape.signed else late


def read_parameters(
    m: Module, name: str, tables: dict[str, tuple[int, ...]], lanes: int, index: Value
) -> list[dict[str, Value]]:
    """The parameters of each lane's channel, rom_latency(channels) cycles after ``index``.

    name : of the ROM's image. tables : one integer a channel. index : which group of ``lanes``
    channels.
    """
    channels = len(next(iter(tables.values())))
    layout = data.StructLayout({key: shape_of(values) for key, values in tables.items()})
    words = []
    for first in range(0, channels, lanes):
        word = 0
        for lane, channel in enumerate(range(first, min(first + lanes, channels))):
            bits = layout.const({key: values[channel] for key, values in tables.items()})
            word |= bits.as_value().value << (lane * layout.size)
        words.append(word)
    m.submodules.table = table = Rom(name, layout.size * lanes, words)
    # The latency follows from the channels, whatever the lanes: a smaller table waits.
    ahead = rom_latency(channels) - table.latency
    m.d.comb += table.addr.eq(delay_line(m, index, ahead, "index", data=True))
    if all(len(set(values)) == 1 for values in tables.values()):
        return [
            {key: Const(values[0], shape_of(values)) for key, values in tables.items()}
            for _ in range(lanes)
        ]
    read = data.View(data.ArrayLayout(layout, lanes), table.data)
    return [{key: read[lane][key] for key in tables} for lane in range(lanes)]


def rounding_increment(value: Value, shift: int, rounding: Rounding) -> Value:
    """1 where ``value >> shift`` must be raised by one. ``value`` is signed."""
    if shift == 0:
        return Const(0)
    if shift >= len(value):
        # Sign extension keeps the formulas below valid when everything is shifted out.
        extended = Signal(signed(shift + 1))
        value = Cat(value, *[value[-1]] * (len(extended) - len(value)))
    half, negative, odd = value[shift - 1], value[-1], value[shift]
    below = value[: shift - 1].any() if shift > 1 else Const(0)
    return raised(half, below, negative, odd, rounding)


def raised(half: Value, below: Value, negative: Value, odd: Value, rounding: Rounding) -> Value:
    """Whether a floor is raised by one.

    half, below : the highest dropped bit, and whether there is a 1 below it; negative, odd : of
    the value, and of its floor.
    """
    rest = half | below
    match rounding:
        case Rounding.FLOOR:
            return Const(0)
        case Rounding.CEIL:
            return rest
        case Rounding.TO_ZERO:
            return rest & negative
        case Rounding.FROM_ZERO:
            return rest & ~negative
        case Rounding.HALF_UP:
            return half
        case Rounding.HALF_DOWN:
            return half & below
        case Rounding.HALF_TO_ZERO:
            return half & (below | negative)
        case Rounding.HALF_AWAY:
            return half & (below | ~negative)
        case Rounding.HALF_EVEN:
            return half & (below | odd)
        case Rounding.HALF_ODD:
            return half & (below | ~odd)


def overflowed(value: Value, out: QType) -> Value:
    """``value`` (signed) brought into the range of ``out`` by its overflow mode."""
    if out.overflow is Overflow.WRAP:
        low_bits = value[: out.width] if len(value) >= out.width else value
        return low_bits
    if out.overflow is Overflow.SATURATE_ZERO:
        return Mux((value < out.low) | (value > out.max), 0, value)
    return clamped(value, out.low, out.max)


def greater(a: Value, b: Value) -> Value:
    """Whether a > b, for two values of one shape.

    Signed ones are compared as if a bias made them unsigned, which needs a carry chain only.
    """
    if a.shape() != b.shape():
        raise ValueError(f"{a.shape()} and {b.shape()} are not compared")
    if not a.shape().signed:
        return a > b
    return Cat(a[:-1], ~a[-1]) > Cat(b[:-1], ~b[-1])


def clamped(value: Value, low: int, high: int) -> Value:
    """The nearest value in ``low..high``."""
    return Mux(value < low, low, Mux(value > high, high, value))
