"""Real numbers behind integers: chains of float32 operations, and what a quantizer makes of them.

Between two quantizers an ONNX file computes in float32, element by element. Behind an edge of
integers such a chain is a function of one integer for each channel: it is evaluated with the
runtime's own float32 operations, so that its roundings are kept too, and becomes one
requantization where all of it is exact, else thresholds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir import Op, Tensor
from ...ir.ops import MultiThreshold, Requantize
from ...ir.ops.multi_threshold import MAX_STEPS
from ...numeric import QType, Rounding
from ..affine import Affine, fraction_bits, log2_exact, requantize

Function = Callable[[Array], Array]

_FLOAT32_BITS = 24


@dataclass(frozen=True, eq=False)
class StoredOperand:
    """A constant operand as it is stored: ``codes``, one or one a channel, of ``type``; whether it
    is the ``first`` operand."""

    codes: Array
    scale: Array
    zero: int
    type: QType
    first: bool


@dataclass(frozen=True, eq=False)
class FloatStep:
    """One float32 operation on every element: ``kind`` add, sub, mul, div, max or min with an
    ``operand`` (one number, or one a channel), or a ``curve``: a function that never decreases,
    unless it does not ``rises``; one that is ``bent`` rises above zero, and rises or falls below.
    ``stored``: what a quantizer says of the operand. ``pixels``: the channels of the edge are all
    elements of an image, so that the operand has one number for each of them."""

    kind: str
    operand: Array | None = None
    curve: Function | None = None
    stored: StoredOperand | None = None
    pixels: bool = False
    rises: bool = True
    bent: bool = False

    def of(self, channels: Array) -> FloatStep:
        """The operation on some channels (indices)."""

        def chosen(numbers: Array) -> Array:
            return numbers if numbers.size == 1 else numbers[channels]

        stored = self.stored and replace(self.stored, codes=chosen(self.stored.codes))
        return replace(
            self, operand=None if self.operand is None else chosen(self.operand), stored=stored
        )

    def __call__(self, x: Array) -> Array:
        """The operation on float32 values, channels last."""
        if self.curve is not None:
            return self.curve(x)
        ufunc = {
            "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
            "max": np.maximum, "min": np.minimum,
        }[self.kind]  # fmt: skip
        return ufunc(x, self.operand, dtype=np.float32)

    @property
    def increasing(self) -> bool:
        """Whether larger inputs never give smaller results, in any channel."""
        if self.kind not in ("mul", "div"):
            return self.rises
        return bool(np.all(self.operand > 0))  # type: ignore[operator]


@dataclass(frozen=True, eq=False)
class Quantizer:
    """``codes`` makes integers of ``type`` from float32 values; ``exact`` where the type alone says
    how, so that arithmetic before it may be folded into it."""

    type: QType
    codes: Function
    exact: bool = True


def evaluate(codes: Array, scale: Array, zero: int, steps: tuple[FloatStep, ...]) -> Array:
    """Float32 values of integers, channels last. Raises UserError where one is no number."""
    values = (codes - zero).astype(np.float32) * scale.astype(np.float32)
    for step in steps:
        values = step(values)
    if np.any(np.isnan(values)):
        raise UserError("its real arithmetic gives what is no number")
    return values


def as_affine(x: Tensor, scale: Array, zero: int, steps: tuple[FloatStep, ...]) -> Affine | None:
    """The chain as an exact map of the edge's integers; None where float32 rounds on the way,
    where a channel falls, or where it is something else than a map and a clip."""
    unit = [Fraction(float(s)) for s in _row(scale, x.channels)]
    affine = Affine(tuple(unit), tuple(-zero * s for s in unit))
    if not _exact(affine, x):
        return None
    for step in steps:
        follows = _followed(affine, step, x.channels)
        if follows is None or not _exact(follows, x):
            return None
        affine = follows
    return affine


def _followed(affine: Affine, step: FloatStep, channels: int) -> Affine | None:
    if step.operand is None or step.kind == "curve":
        return None
    numbers = [Fraction(float(v)) for v in _row(step.operand, channels)]
    if step.kind in ("max", "min"):
        if len(set(numbers)) > 1:
            return None
        bound = numbers[0]
        if step.kind == "max":
            return affine.clipped(bound, None)
        low, high = affine.low, affine.high
        high = bound if high is None else min(high, bound)
        return replace(affine, low=None if low is None else min(low, bound), high=high)
    if affine.clips:
        return None
    if step.kind in ("add", "sub"):
        sign = 1 if step.kind == "add" else -1
        pairs = zip(affine.offset, numbers, strict=True)
        return replace(affine, offset=tuple(o + sign * n for o, n in pairs))
    if min(numbers) <= 0 or (step.kind == "div" and any(log2_exact(n) is None for n in numbers)):
        return None
    factors = numbers if step.kind == "mul" else [1 / n for n in numbers]
    scaled = [(s * f, o * f) for s, o, f in zip(affine.scale, affine.offset, factors, strict=True)]
    return replace(affine, scale=tuple(s for s, _ in scaled), offset=tuple(o for _, o in scaled))


def _exact(affine: Affine, x: Tensor) -> bool:
    """Whether float32 holds every value of the map."""
    for scale, offset in set(zip(affine.scale, affine.offset, strict=True)):
        bound = max(abs(scale * end + offset) for end in x.range)
        if bound * Fraction(2) ** fraction_bits([scale, offset]) >= 1 << _FLOAT32_BITS:
            return False
    return True


def _row(numbers: Array, channels: int) -> list[float]:
    return np.broadcast_to(numbers, (channels,)).tolist()


def quantized(
    x: Tensor, scale: Array, zero: int, steps: tuple[FloatStep, ...], by: Quantizer
) -> list[Op]:
    """The chain and the quantizer behind it, as ops to be applied one after the other.

    Raises UserError where that takes more steps than a MultiThreshold has.
    """
    affine = as_affine(x, scale, zero, steps)
    frac = by.type.frac if by.type.scale is None else None
    if by.exact and affine is not None and frac is not None:
        return [requantize(affine, 0, by.type, frac)]

    def function(codes: Array) -> Array:
        return by.codes(evaluate(codes, scale, zero, steps))

    if not all(step.rises for step in steps):
        check_table(x, scale, steps)
        return [table(x, function, by.type)]
    return multi_threshold(x, function, by.type)


def check_table(x: Tensor, scale: Array, steps: tuple[FloatStep, ...]) -> None:
    """Raises UserError where a function that rises and falls has no table: there are too many
    integers, or channels differ."""
    operands = [scale, *(step.operand for step in steps if step.operand is not None)]
    if x.range[1] - x.range[0] > MAX_STEPS or any(o.size > 1 for o in operands):
        raise UserError(
            "a function that rises and falls is supported as a table only, of one scale and at "
            f"most {MAX_STEPS + 1} integers",
            hint="put a quantizer of 8 bits before it",
        )


def multi_threshold(x: Tensor, function: Function, qtype: QType) -> list[Op]:
    """A monotone function of the edge's integers, channels last, as ops one after the other.

    Raises UserError where it has more steps than a MultiThreshold may have.
    """
    low, high = x.range
    ends = function(np.array([[low] * x.channels, [high] * x.channels]))
    falls = ends[0] > ends[1]
    ops: list[Op] = []
    if np.any(falls):
        sign = np.where(falls, -1, 1)
        bound = max(abs(low), abs(high))
        turned = QType(True, bound.bit_length() + 1, 0, qtype.rounding, qtype.overflow)
        ops.append(Requantize.scaled(turned, sign if len(set(sign.tolist())) > 1 else sign[0]))
        inner = function
        low, high = ops[0].infer("turned", [x]).range
        # Beyond the edge's own range there is nothing: evaluated where the input can be.
        function = lambda codes: inner(np.clip(codes * sign, *x.range))  # noqa: E731
        ends = function(np.array([[low] * x.channels, [high] * x.channels]))
    first, last = int(ends.min()), int(ends.max())
    if last - first > MAX_STEPS:
        raise UserError(
            f"a quantizer of {last - first + 1} levels behind arithmetic that float32 rounds is "
            f"not supported, at most {MAX_STEPS + 1} are",
            hint="quantize it to 12 bits or fewer; or give all scales that are powers of two, and "
            "numbers before it that have at most 24 bits",
        )
    levels = np.arange(first + 1, max(last, first + 1) + 1)
    rows = _thresholds(function, levels, x.channels, low, high)
    rows = rows[:1] if np.all(rows == rows[0]) else rows
    values = np.concatenate([[first], np.minimum(levels, last)])
    return [*ops, MultiThreshold(rows, values, qtype)]


def _thresholds(function: Function, levels: Array, channels: int, low: int, high: int) -> Array:
    """(channels, levels): the first input that reaches each level, high + 1 where none does."""
    # All of them at once: the function is told rows of inputs, one a level.
    shape = (len(levels), channels)
    below, reaches = np.full(shape, low - 1), np.full(shape, high + 1)
    while np.any(open_ := reaches - below > 1):
        middle = np.where(open_, (below + reaches) // 2, np.clip(below, low, high))
        above = function(middle) >= levels[:, np.newaxis]
        reaches = np.where(open_ & above, middle, reaches)
        below = np.where(open_ & ~above, middle, below)
    return reaches.T


def slope_of(scale: float, steps: tuple[FloatStep, ...]) -> float:
    """How much a chain rises with each integer, where it does."""
    for step in steps:
        if step.operand is not None and step.kind in ("mul", "div"):
            factor = float(step.operand.reshape(-1)[0])
            scale = scale * factor if step.kind == "mul" else scale / factor
    return scale


def table(x: Tensor, function: Function, qtype: QType) -> MultiThreshold:
    """Any function of one integer of few bits: a value for each, equal ones together.

    Raises UserError where the edge has too many integers.
    """
    low, high = x.range
    if high - low > MAX_STEPS:
        raise UserError(f"a function of {high - low + 1} integers is too large for a table")
    codes = np.arange(low, high + 1)
    values = function(np.broadcast_to(codes[:, np.newaxis], (len(codes), x.channels)))[:, 0]
    changes = np.flatnonzero(np.diff(values)) + 1
    if not len(changes):
        return MultiThreshold(np.array([high + 1]), values[[0, 0]], qtype)
    return MultiThreshold(codes[changes], np.concatenate([values[:1], values[changes]]), qtype)


_LINE_SHIFTS = range(31)


def lines(codes: Array, values: Array, qtype: QType, slopes: Array) -> Requantize | None:
    """As ``line``, of values (integers, channels) that rise by ``slopes`` in each channel: one
    shift for all of them, a multiplier and a bias each; None where there are none."""
    low, high = int(values.min()), int(values.max())
    clip = None if (low, high) == (qtype.min, qtype.max) else (low, high)
    floors, far = replace(qtype, rounding=Rounding.FLOOR), np.int64(1) << 60
    for shift in _LINE_SHIFTS:
        mult = np.rint(np.ldexp(slopes, shift)).astype(np.int64)
        rest = (values << shift) - codes[:, np.newaxis] * mult
        # Of a value at a bound, only the other side is asked for.
        least = np.where(values > low, rest, -far).max(axis=0)
        most = np.where(values < high, rest + (1 << shift) - 1, far).min(axis=0)
        if np.all(least <= most):
            bias = np.where(least == -far, most, np.where(most == far, least, (least + most) // 2))
            return Requantize.scaled(floors, mult, bias, shift, clip=clip)
    return None


def line(codes: Array, values: Array, qtype: QType, slope: float) -> Requantize | None:
    """One multiplier, bias and shift, and a clip, that give the values of all of many integers,
    which follow each other and rise by about ``slope``; None where none is found."""
    low, high = int(values.min()), int(values.max())
    inside = (values > low) & (values < high)
    if np.count_nonzero(inside) < 2:
        return None
    x, y = codes[inside].astype(np.int64), values[inside].astype(np.int64)
    clip = None if (low, high) == (qtype.min, qtype.max) else (low, high)
    for op in _lines(x, y, slope, qtype, clip):
        few = slice(None, None, 64)
        if np.array_equal(op.golden([codes[few]], []), values[few]) and np.array_equal(
            op.golden([codes], []), values
        ):
            return op
    return None


def _lines(
    x: Array, y: Array, slope: float, qtype: QType, clip: tuple[int, int] | None
) -> Iterator[Requantize]:
    floors = replace(qtype, rounding=Rounding.FLOOR)
    for shift in _LINE_SHIFTS:
        middle = int(np.rint(np.ldexp(slope, shift)))
        for mult in (middle, middle - 1, middle + 1):
            # floor((x * mult + bias) / 2**shift) is y for these biases.
            least = int(((y << shift) - x * mult).max())
            most = int((((y + 1) << shift) - 1 - x * mult).min())
            if least <= most:
                yield Requantize.scaled(floors, mult, (least + most) // 2, shift, clip=clip)
    if not 0 < slope <= 1:
        return
    # Ties that go to even, of a slope that is a power of two; to odd, where the zero point is odd.
    shift = int(np.rint(-np.log2(slope)))
    unit, bias = 1 << shift, int(y[0] << shift) - int(x[0])
    for near in range(bias - unit, bias + unit + 1) if shift < 12 else ():
        for rounding in (Rounding.HALF_EVEN, Rounding.HALF_ODD):
            yield Requantize.scaled(replace(qtype, rounding=rounding), 1, near, shift, clip=clip)
