"""Elements of an edge in another order, or some of them: slices, reshapes and concatenations.

An order is an array of positions. That of a permutation of axes, whatever axes a file has split or
joined, is a mixed-radix number whose digits change places. Two neighbouring digits are exchanged
by one slice for each value of the one with fewer values, and a concatenation of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import prod

import numpy as np

from ..aliases import Array
from ..errors import UserError
from ..ir import Op, Tensor
from ..ir.ops import Concat, Reshape, Slice
from ..numeric import ceil_div

Append = Callable[..., Tensor]
"""Appends a node: its name, op and inputs; gives its edge."""

MOST_SLICES = 128
"""Slices of one movement; each is a unit with a queue of its own."""
_WAY = "take whole rows, columns or channels, in few pieces, or transpose axes"


def moved(add: Append, name: str, edge: Tensor, order: Array) -> Tensor:
    """An edge of the shape of ``order``, whose elements are those of ``edge`` at its positions.

    Raises UserError where no few slices give that order.
    """
    lines = _lines(order, edge.shape)
    if lines is None or all(len(_runs(line)) == 1 for line in lines):
        return _turned(add, name, edge, order)
    try:
        _turned(lambda name, op, *inputs: op.infer(name, inputs), name, edge, order)
    except UserError:
        return _picked(add, name, edge, lines)
    return _turned(add, name, edge, order)


def _lines(order: Array, shape: tuple[int, ...]) -> list[Array] | None:
    """The indices that an order has along each axis of an edge; None where those along one axis
    depend on another one."""
    if order.ndim != len(shape) or not order.size:
        return None
    places = np.unravel_index(order, shape)
    lines = []
    for axis, place in enumerate(places):
        first = np.moveaxis(place, axis, -1).reshape(-1, order.shape[axis])
        if np.any(first != first[0]):
            return None
        lines.append(first[0])
    return lines


def _runs(line: Array) -> list[tuple[int, int, int]]:
    """Indices as few slices, one after the other: start, count, step."""
    runs: list[tuple[int, int, int]] = []
    for index in line.tolist():
        start, count, step = runs[-1] if runs else (0, 0, 0)
        last = start + (count - 1) * step
        if count == 1 and index > start:
            runs[-1] = (start, 2, index - start)
        elif count > 1 and index == last + step:
            runs[-1] = (start, count + 1, step)
        else:
            runs.append((index, 1, 1))
    return runs


def _picked(add: Append, name: str, edge: Tensor, lines: list[Array]) -> Tensor:
    """Indices along each axis, in any order, some more than once: slices, joined."""
    plans = [_runs(line) for line in lines]
    count = sum(len(runs) for runs in plans if len(runs) > 1)
    if count > MOST_SLICES:
        raise UserError(
            f"elements would have to be put in another order, by {count} slices; at most "
            f"{MOST_SLICES} are supported",
            hint=_WAY,
        )
    for axis, runs in enumerate(plans):
        edge = _joined(add, f"{name}_axis{axis}", edge, axis, runs)
    return edge


def _joined(
    add: Append, name: str, edge: Tensor, axis: int, runs: list[tuple[int, int, int]]
) -> Tensor:
    """Slices of an axis, one after the other."""
    shape = edge.shape
    length = sum(count for _, count, _ in runs)
    if runs == [(0, shape[axis], 1)]:
        return edge
    before, behind = prod(shape[:axis]), prod(shape[axis + 1 :])
    last = axis == len(shape) - 1
    parts = []
    for number, (start, count, step) in enumerate(runs):
        first, size, steps = [0] * len(shape), list(shape), [1] * len(shape)
        first[axis], size[axis], steps[axis] = start, count, step
        part = add(f"{name}_{number}", Slice(tuple(first), tuple(size), tuple(steps)), edge)
        if not last and len(runs) > 1:
            rows = Reshape((before, 1, count * behind))
            part = add(f"{name}_{number}_row", rows, part)
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    edge = add(name, Concat(), *parts)
    whole = (*shape[:axis], length, *shape[axis + 1 :])
    return edge if edge.shape == whole else add(f"{name}_shape", Reshape(whole), edge)


def _turned(add: Append, name: str, edge: Tensor, order: Array) -> Tensor:
    """Elements in an order of other axes, or fewer."""
    if order.size < edge.size:
        whole = _whole(edge.size, order)
        if whole is not None:
            edge = _turned(add, f"{name}_whole", edge, whole)
            return add(name, Slice((0,) * order.ndim, order.shape, (1,) * order.ndim), edge)
        edge, order = _cut(add, f"{name}_cut", edge, order)
    if np.any(order.reshape(-1) != np.arange(order.size)):
        edge = _exchanged(add, name, edge, order.reshape(-1))
    if edge.shape != order.shape:
        edge = add(f"{name}_shape", Reshape(order.shape), edge)
    return edge


def _cut(add: Append, name: str, edge: Tensor, order: Array) -> tuple[Tensor, Array]:
    """The fewest elements that hold all of an order, and their order."""
    for shape in (edge.shape, (edge.size,)):
        places = [np.unique(axis) for axis in np.unravel_index(order.reshape(-1), shape)]
        steps = [int(p[1] - p[0]) if len(p) > 1 else 1 for p in places]
        even = all(np.all(np.diff(p) == s) for p, s in zip(places, steps, strict=True))
        if even and prod(map(len, places)) == order.size:
            if shape != edge.shape:
                edge = add(f"{name}_flat", Reshape(shape), edge)
            sizes = tuple(len(p) for p in places)
            op = Slice(tuple(int(p[0]) for p in places), sizes, tuple(steps))
            kept = np.arange(edge.size).reshape(shape)[np.ix_(*places)].reshape(-1)
            return add(name, op, edge), np.searchsorted(kept, order)
    raise UserError("takes elements that no slice of rows, columns and channels holds, which is "
                    "not supported", hint=_WAY)  # fmt: skip


def _whole(size: int, order: Array) -> Array | None:
    """An order of all ``size`` elements that begins, along each axis, as the one given; None where
    there is none. So are results of a transposed convolution that its last phases lack.

    Places along an axis repeat after some elements, a constant further on: the last repetition is
    made whole.
    """
    first = order.reshape(-1)[0]
    lines = [np.moveaxis(order, axis, 0).reshape(n, -1)[:, 0] - first
             for axis, n in enumerate(order.shape)]  # fmt: skip
    if not np.array_equal(_outer(lines) + first, order):
        return None
    for wholes in product(*(_repeated(line) for line in lines)):
        if prod(map(len, wholes)) == size:
            found = _outer(wholes) + first
            if np.array_equal(np.sort(found.reshape(-1)), np.arange(size)):
                return found
    return None


def _outer(lines: Sequence[Array]) -> Array:
    """The sums of all elements of several lines, an axis each."""
    total = np.zeros((), np.int64)
    for line in lines:
        total = total[..., np.newaxis] + line
    return total


def _repeated(line: Array) -> list[Array]:
    """A line, and what it becomes where its last repetition is made whole."""
    found = {len(line): line}
    for period in range(2, len(line)):
        steps = line[period:] - line[:-period]
        if np.all(steps == steps[0]):
            count = ceil_div(len(line), period)
            whole = np.arange(count)[:, np.newaxis] * steps[0] + line[:period]
            found.setdefault(whole.size, whole.reshape(-1))
    return list(found.values())


def _exchanged(add: Append, name: str, edge: Tensor, order: Array) -> Tensor:
    digits = _digits(order)
    plans = [plan for plan in (_steps(digits, False), _steps(digits, True)) if plan is not None]
    if digits is None or not plans:
        raise UserError("elements would have to be put in an order that no transposition gives, "
                        "which is not supported", hint=_WAY)  # fmt: skip
    steps = min(plans, key=lambda plan: sum(min(a, b) for _, a, b, _ in plan))
    count = sum(min(a, b) for _, a, b, _ in steps)
    if count > MOST_SLICES:
        raise UserError(
            f"elements would have to be put in another order, by {count} slices; at most "
            f"{MOST_SLICES} are supported",
            hint="keep the axes in one order inside of the network",
        )
    for number, step in enumerate(steps):
        edge = _exchange(add, f"{name}_{number}", edge, *step)
    return edge


def _digits(order: Array) -> list[tuple[int, int]] | None:
    """Digits of the new order, the slowest first: how many values each has, and its stride in the
    old one. None where it is no permutation of digits."""
    digits: list[tuple[int, int]] = []
    rest = order
    while rest.size > 1:
        stride = int(rest[1] - rest[0])
        breaks = np.flatnonzero(np.diff(rest) != stride)
        run = int(breaks[0]) + 1 if len(breaks) else rest.size
        while rest.size % run:
            run -= 1
        if run == 1:
            return None
        digits.insert(0, (run, stride))
        rest = rest[::run]
    places = np.zeros(1, np.int64)
    for count, stride in digits:
        places = (places[:, np.newaxis] + np.arange(count) * stride).reshape(-1)
    unit = 1
    for count, stride in sorted(digits, key=lambda digit: digit[1]):
        if stride != unit:
            return None
        unit *= count
    return digits if np.array_equal(places, order) else None


def _steps(
    digits: list[tuple[int, int]] | None, backward: bool
) -> list[tuple[int, int, int, int]] | None:
    """Exchanges (elements before, values of the first block, of the second, elements behind) that
    bring the old order to the new one, from its slowest digit on or, ``backward``, its fastest."""
    if digits is None:
        return None
    now = sorted(digits, key=lambda digit: -digit[1])
    steps = []

    def count(part: list[tuple[int, int]]) -> int:
        return prod(n for n, _ in part)

    for place in range(len(digits))[:: -1 if backward else 1]:
        at = now.index(digits[place])
        if at == place:
            continue
        first, second = sorted((at, place))
        # The digit passes all between it and its place.
        cut = second if at > place else first + 1
        blocks = now[:first], now[first:cut], now[cut : second + 1], now[second + 1 :]
        steps.append((count(blocks[0]), count(blocks[1]), count(blocks[2]), count(blocks[3])))
        now = [*blocks[0], *blocks[2], *blocks[1], *blocks[3]]
    return steps


def _exchange(
    add: Append, name: str, edge: Tensor, before: int, first: int, second: int, behind: int
) -> Tensor:
    """Elements (before, first, second, behind) as (before, second, first, behind)."""

    def reshaped(key: str, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        return x if x.shape == shape else add(f"{name}_{key}", Reshape(shape), x)

    def taken(key: str, x: Tensor, number: int, size: int) -> Tensor:
        start = (0,) * (len(x.shape) - 1) + (number * size,)
        op: Op = Slice(start, (*x.shape[:-1], size), (1,) * len(x.shape))
        return add(f"{name}_{key}", op, x)

    parts = []
    if first <= second:
        x = reshaped("rows", edge, (before, 1, first * second * behind))
        for number in range(first):
            part = taken(f"take{number}", x, number, second * behind)
            parts.append(reshaped(f"part{number}", part, (before, second, behind)))
    else:
        x = reshaped("rows", edge, (before, first, second * behind))
        for number in range(second):
            part = taken(f"take{number}", x, number, behind)
            parts.append(reshaped(f"part{number}", part, (before, 1, first * behind)))
    return add(f"{name}_join", Concat(), *parts)
