"""Dot products: adder trees, and the counting of products that are -1, 0 or +1.

Binary networks multiply by XNOR and add by counting (Rastegari et al., XNOR-Net, 2016). Padding
makes some operands 0, neither -1 nor +1: they are counted apart, so that
``sum = 2 * popcount(xnor & mask) - popcount(mask)``.
"""

from __future__ import annotations

from amaranth.hdl import Module, Shape, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...numeric.division import ceil_div
from .counter import delay_line, reg
from .multiplier import Multiplier

TREE_ARITY = (2, 4)
"""Operands that the first and each other registered level of the adder tree sums.

Products come from DSP blocks, which lie far away: there is time for one addition only.
"""


def tree_levels(simd: int) -> int:
    """Registered levels of the adder tree over ``simd`` products."""
    levels, arity = 0, TREE_ARITY[0]
    while simd > 1:
        simd = ceil_div(simd, arity)
        levels, arity = levels + 1, TREE_ARITY[1]
    return levels


def dot_latency(simd: int) -> int:
    """Cycles from operands to their dot product, in every way of multiplying."""
    return Multiplier.LATENCY + tree_levels(simd)


def adder_tree(m: Module, terms: list[Value]) -> Value:
    """The sum of ``terms``, ``tree_levels`` cycles later."""
    level = 0
    while len(terms) > 1:
        arity = TREE_ARITY[min(level, 1)]
        sums = []
        for start in range(0, len(terms), arity):
            value = _balanced(terms[start : start + arity])
            register = reg(value.shape(), f"tree{level}_{len(sums)}")
            m.d.sync += register.eq(value)
            sums.append(register)
        terms, level = sums, level + 1
    return terms[0]


def _balanced(terms: list[Value]) -> Value:
    """The sum of terms, half of them beside the other half."""
    if len(terms) == 1:
        return terms[0]
    half = ceil_div(len(terms), 2)
    return _balanced(terms[:half]) + _balanced(terms[half:])


def agreement(m: Module, x: Value, w: Value, name: str) -> Value:
    """Whether x (-1, 0 or +1) times a weight (1: -1, 0: +1) is +1, Multiplier.LATENCY later."""
    x_held, w_held = reg(x.shape(), f"{name}_x"), reg(1, f"{name}_w")
    agrees = reg(1, name)
    m.d.sync += [
        x_held.eq(x),
        w_held.eq(w),
        agrees.eq(_is_tap(x_held) & (_is_negative(x_held) == w_held)),
    ]
    return agrees


class SignTaps(wiring.Component):
    """How many of ``simd`` operands, each -1, 0 or +1, are not 0.

    Members: x (in), count (out). Latency ``dot_latency(simd)``, initiation interval 1.
    """

    def __init__(self, x: Shape, simd: int) -> None:
        self.simd = simd
        super().__init__({"x": In(data.ArrayLayout(x, simd)), "count": Out(range(simd + 1))})

    def elaborate(self, platform):
        m = Module()
        taps = [
            delay_line(m, _is_tap(self.x[n]), Multiplier.LATENCY, f"tap{n}", data=True)
            for n in range(self.simd)
        ]
        m.d.comb += self.count.eq(adder_tree(m, taps))
        return m


def _is_tap(x: Value) -> Value:
    return Value.cast(x)[0]


def _is_negative(x: Value) -> Value:
    return Value.cast(x)[-1] if x.shape().signed else Value.cast(0)
