"""When frames begin and end in an accelerator with several ports: plain helpers, no components.

A frame begins with its first beat at any input, and ends with its last beat at the last of the
outputs. Ports of one accelerator may be frames apart, where no layer ties them together or buffers
hold as much.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Signal, Value

COUNT = 32
"""Bits that count how many frames one port is before or behind the others."""


def first_of(m: Module, events: Sequence[Value], name: str) -> tuple[Value, list[Value]]:
    """The event that is the first of its number at any port, and whether each port is behind.

    events : of each port, in successive numbers. A port is behind where another one has had an
    event of a number that it has not. One port alone is always the first; then the list is empty.
    """
    if len(events) == 1:
        return events[0], []
    first = Signal(name=f"{name}_first")
    behind = [_is_apart(m, first, event, f"{name}{n}_behind") for n, event in enumerate(events)]
    leads = [event & ~late for event, late in zip(events, behind, strict=True)]
    m.d.comb += first.eq(any_of(leads))
    return first, behind


def last_of(m: Module, events: Sequence[Value], name: str) -> Value:
    """The event that is the last of its number, after which every port has had it."""
    if len(events) == 1:
        return events[0]
    last = Signal(name=f"{name}_last")
    ahead = [_is_apart(m, event, last, f"{name}{n}_ahead") for n, event in enumerate(events)]
    had = [event | early for event, early in zip(events, ahead, strict=True)]
    m.d.comb += last.eq(Cat(had).all())
    return last


def any_of(values: Sequence[Value]) -> Value:
    """Whether any of these bits is set."""
    return reduce(or_, values)


def _is_apart(m: Module, more: Value, less: Value, name: str) -> Signal:
    """Whether there were more events of one kind than of another in the cycles before.

    There must never be fewer.
    """
    apart, count = Signal(name=name), Signal(COUNT, name=f"{name}_by")
    with m.If(more & ~less):
        m.d.sync += [count.eq(count + 1), apart.eq(1)]
    with m.If(less & ~more):
        m.d.sync += [count.eq(count - 1), apart.eq(count != 1)]
    return apart
