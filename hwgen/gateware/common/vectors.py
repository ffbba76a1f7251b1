"""What units share that take the elements of a vector one by one and need the largest of them."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Shape, Signal, Value, unsigned

from .counter import index_shape, reg
from .memory import SimpleDualPort
from .requantizer import greater

DIFFERENCE = 2
"""Cycles from asking for an element to its difference from the largest: memory, subtraction."""


class Elements:
    """Counts the elements of a vector, whose number is a value. A plain helper, see Counter."""

    def __init__(self, m: Module, most: int, channels: Value) -> None:
        self.channels = channels
        self.value = Signal(index_shape(most), name="element")
        self.last = Signal(name="element_last", init=most == 1)

    def step(self, m: Module, on: Value) -> None:
        """Add the statements; ``on`` : it counts."""
        m.d.sync += self.last.eq(self.value + 1 == self.channels)
        with m.If(on):
            m.d.sync += [
                self.value.eq(Mux(self.last, 0, self.value + 1)),
                self.last.eq(Mux(self.last, self.channels == 1, self.value + 2 == self.channels)),
            ]


def differences(
    m: Module, shape: Shape, most: int, element: Elements, x: Value, take: Value, ask: Value
) -> Value:
    """What the element that is asked for is less than the largest, DIFFERENCE cycles later.

    Parameters
    ----------
    shape : of an element; most : elements of a vector. element : the one that is taken or asked
    for. x : what is taken where ``take`` is high; all of a vector are before the first is asked
    for with ``ask``.
    """
    m.submodules.vector = vector = SimpleDualPort(shape.width, most)
    largest = reg(shape, "largest")
    first = Signal(name="first", init=1)
    with m.If(take):
        m.d.sync += first.eq(element.last)
        with m.If(first | greater(x, largest)):
            m.d.sync += largest.eq(x)
    m.d.comb += [
        vector.w_en.eq(take),
        vector.w_addr.eq(element.value),
        vector.w_data.eq(x),
        vector.r_en.eq(ask),
        vector.r_addr.eq(element.value),
    ]
    difference = reg(unsigned(shape.width), "difference_now")
    m.d.sync += difference.eq(Value.cast(largest).as_unsigned() - vector.r_data)
    return difference
