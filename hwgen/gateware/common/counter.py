"""Counters: what every unit steps through its frame with."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value, unsigned


def index_shape(count: int) -> Shape:
    """Shape of an index 0..count-1, at least one bit: Verilog has no vectors of none."""
    return unsigned(max(1, (count - 1).bit_length()))


def from_on(first: Value, count: int) -> Value:
    """A bit for each of ``0 .. count - 1``, those from ``first`` on. ``first`` is less than
    ``count``, so that the last bit is always 1 and no comparison is made for it."""
    return Cat(*(first <= n for n in range(count - 1)), Const(1))


def up_to(last: Value, count: int) -> Value:
    """The bits of those that are at most ``last``; the first one is always 1."""
    return Cat(Const(1), *(last >= n for n in range(1, count)))


class Counter:
    """Counts 0..length-1 and wraps, on ``step``, from ``start``. A plain helper, not a component.

    ``value`` is the count, ``last`` is high at length-1. A counter of length 1 is constant.
    ``last`` is a register of its own: most decisions of a unit begin with it.
    """

    def __init__(self, length: int, name: str, start: int = 0) -> None:
        if length < 1:
            raise ValueError(f"counter {name!r} needs a length of at least 1, got {length}")
        if not 0 <= start < length:
            raise ValueError(f"counter {name!r} can not start at {start} of {length}")
        self.length = length
        self.value = Signal(index_shape(length), name=name, init=start)
        self.last: Value = Const(1)
        if length > 1:
            self.last = Signal(name=f"{name}_last", init=start == length - 1)

    def step(self, m: Module) -> None:
        """Add the step statement; call it inside the ``m.If`` that says when."""
        if self.length > 1:
            m.d.sync += [self.value.eq(self.value + 1), self.last.eq(self.value == self.length - 2)]
            with m.If(self.last):
                m.d.sync += self.value.eq(0)

    def restart(self, m: Module) -> None:
        """Begin again instead of a step; as ``step``, and after it."""
        if self.length > 1:
            m.d.sync += [self.value.eq(0), self.last.eq(0)]


def step_nested(m: Module, *counters: Counter) -> Value:
    """Step the first (fastest) counter, each next when those before wrap.

    Returns the value that is high when all are at their last.
    """
    enable: Value = Const(1)
    for counter in counters:
        with m.If(enable):
            counter.step(m)
        enable = enable & counter.last
    return enable


def reg(shape, name: str):
    """A register for data: a reset leaves it as it is, since valid bits say what counts.

    The reset of thousands of them would be the slowest net of a design.
    """
    return Signal(shape, name=name, reset_less=True)


def delay_line(m: Module, value, cycles: int, name: str, data: bool = False):
    """``value`` delayed by a number of cycles, through signals ``name_1``, ``name_2``, ...

    ``data``: a reset may leave it as it is.
    """
    for stage in range(1, cycles + 1):
        register = Signal.like(Value.cast(value), name=f"{name}_{stage}", init=0, reset_less=data)
        m.d.sync += register.eq(value)
        value = register
    return value


def pack(values) -> Value:
    """Concatenate, the first at the least significant end."""
    return Cat(*values)
