"""Requantizations in the one form that the tiled engine carries out.

``clip(round((sum * mult + bias) / 2**shift) + offset)``, with a rounding of contract.isa.Round:
what a Requantize says, and runtimes' rules as they are. Roundings that another bias gives are
biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....contract.isa import COMPUTE, DOUBLE_BITS, FLOAT_RESULTS, RECORD, SINGLE_BITS, Round
from ....errors import UserError
from ....ir import Op, Tensor, ops
from ....numeric import Overflow, QType, Rounding, Scaling
from .fit import Line, Steps, floor_line, symmetric_line

Ints = np.ndarray
Scaled = ops.Requantize | ops.Rescale
Steady = Scaled | ops.MultiThreshold
CARRIED_OUT = frozenset({Scaling.TFLM_DOUBLE, Scaling.SRDHM_HALF_UP, Scaling.FP32_HALF_EVEN})
"""Rules of runtimes that the engine carries out as they are."""
_SATURATING = (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC)
_ROUNDINGS = {
    Rounding.FLOOR: Round.FLOOR,
    Rounding.HALF_EVEN: Round.HALF_EVEN,
    Rounding.HALF_AWAY: Round.HALF_AWAY,
    Rounding.HALF_TO_ZERO: Round.HALF_TO_ZERO,
    Rounding.TO_ZERO: Round.TO_ZERO,
    Rounding.FROM_ZERO: Round.FROM_ZERO,
}


MOST_RESULTS = 1 << 12
"""Most results of which a line is sought: all pairs of them are compared."""


@dataclass(frozen=True, eq=False)
class Requant:
    """One integer of mult, bias and shift for each channel."""

    mult: Ints
    bias: Ints
    shift: Ints
    rounding: Round
    offset: int
    low: int
    high: int

    @classmethod
    def identity(cls, channels: int, low: int, high: int) -> Requant:
        """Keeps every value between ``low`` and ``high``."""
        zero, one = np.zeros(channels, object), np.ones(channels, object)
        return cls(one, zero, zero, Round.FLOOR, 0, low, high)

    @property
    def alike(self) -> bool:
        """Whether all channels have the same."""
        return all((a == a[0]).all() for a in (self.mult, self.bias, self.shift))

    @classmethod
    def of(cls, layer: str, op: Op, x: Tensor) -> Requant:
        """What equals a Requantize or a Rescale which reads ``x``. Raises UserError where nothing
        does."""
        assert isinstance(op, Scaled)
        low, high = _bounds(layer, op, x)
        if isinstance(op, ops.Rescale):
            made = _of_rule(layer, op, x, low, high)
        elif op.pivot is not None:
            made = _fitted(layer, [op], x)
        else:
            made = _of_shift(layer, op, x, low, high)
        made.check(layer)
        return made

    @classmethod
    def of_chain(cls, layer: str, chain: Sequence[Op], x: Tensor) -> Requant:
        """One that equals operations in a row, each a requantization or steps, on every integer of
        ``x``. Raises UserError where none does."""
        first, *others = chain
        if isinstance(first, Scaled) and not others:
            return cls.of(layer, first, x)
        added = added_by(first, x)
        if added is not None:
            middle = first.infer("middle", [x])
            made = cls.of_chain(layer, others, middle).of_sums_plus(added)
        else:
            made = _fitted(layer, [op for op in chain if isinstance(op, Steady)], x)
        made.check(layer)
        return made

    def of_sums_plus(self, added: Ints | int) -> Requant:
        """The requantization of sums that ``added`` is missing from."""
        return replace(self, bias=self.bias + self.mult * added)

    def check(self, layer: str) -> None:
        """Raises UserError where the engine's registers are too narrow."""
        for name, values in (("mult", self.mult), ("bias", self.bias), ("shift", self.shift)):
            low, high = RECORD.range(name)
            if min(values) < low or max(values) > high:
                bits = (high - low).bit_length()
                raise UserError(f"its {name} needs more than {bits} bits", layer=layer)
        if abs(self.offset) > COMPUTE.most("offset"):
            raise UserError(f"a zero point of {self.offset}", layer=layer)


def product_by(op: Op, x: Tensor) -> tuple[Ints, Ints] | None:
    """The integers by which a Requantize multiplies each channel of ``x``, and that it adds to the
    products, where that is all it does; else None."""
    if not isinstance(op, ops.Requantize) or op.clip is not None or op.pivot is not None:
        return None
    low, high = _unlimited(op, x)
    if set(op.shift.tolist()) != {0} or low < op.type.low or high > op.type.max:
        return None
    return _channels(op.mult, x.channels), _channels(op.bias, x.channels)


def added_by(op: Op, x: Tensor) -> Ints | None:
    """What a Requantize adds to every value of ``x``, where that is all it does."""
    found = product_by(op, x)
    return None if found is None or set(found[0]) != {1} else found[1]


def _of_shift(layer: str, op: ops.Requantize, x: Tensor, low: int, high: int) -> Requant:
    """A multiply, an add and a shift."""
    mult, bias, shift = (_channels(a, x.channels) for a in (op.mult, op.bias, op.shift))
    rounding = op.type.rounding
    half = np.array([1 << s >> 1 for s in shift], object)
    adds = {
        Rounding.HALF_UP: half,
        Rounding.HALF_DOWN: np.maximum(half - 1, 0),
        Rounding.CEIL: np.array([(1 << s) - 1 for s in shift], object),
    }
    how = _ROUNDINGS.get(rounding, Round.FLOOR)
    if rounding in adds:
        bias = bias + adds[rounding]
    elif rounding not in _ROUNDINGS:
        raise UserError(f"the tiled engine does not round {rounding}", layer=layer)
    return Requant(*_shortened(mult, bias, shift, how), how, 0, low, high)


def _shortened(mult: Ints, bias: Ints, shift: Ints, how: Round) -> tuple[Ints, Ints, Ints]:
    """The same with the shortest multipliers: those of all channels have one shift in a Requantize.

    Bits of a bias below those of the product count for nothing where values are rounded down.
    """
    spare = []
    for m, b, s in zip(mult, bias, shift, strict=True):
        whole = m if how is Round.FLOOR else m | b
        spare.append(min(s, (whole & -whole).bit_length() - 1 if whole else s))
    by = np.array(spare, object)
    return mult >> by, bias >> by, shift - by


def _of_rule(layer: str, op: ops.Rescale, x: Tensor, low: int, high: int) -> Requant:
    """A runtime's rule, as it is."""
    mult, bias, shift = (_channels(a, x.channels) for a in (op.mult, op.bias, op.shift))
    product, offset = bias * mult, int(op.offset)
    if op.scaling is Scaling.FP32_HALF_EVEN:
        _check_float(layer, mult, shift, bias, x, max(abs(low - offset), abs(high - offset)))
        return Requant(mult, product, shift, Round.FLOAT, offset, low, high)
    if not op.scaling.fixed_point:
        return _fitted(layer, [op], x)
    # The product of 31 bits is rounded half up; what is moved to the left first is shifted less.
    first = np.array([1 << min(s, DOUBLE_BITS) >> 1 for s in shift], object)
    if op.scaling is Scaling.TFLM_DOUBLE:
        made = Requant(mult, product + first, shift, Round.DOUBLE, offset, low, high)
        return _with_short_biases(layer, made, op, x)
    second = np.array([1 << s >> 1 if s > DOUBLE_BITS else 0 for s in shift], object)
    return Requant(mult, product + first + second, shift, Round.FLOOR, offset, low, high)


def _with_short_biases(layer: str, made: Requant, op: ops.Rescale, x: Tensor) -> Requant:
    """The same with other lines, that round down, for channels whose biases are too long.

    Such a channel has next to no weights: of the tiny scale comes a bias of billions.
    """
    low, high = RECORD.range("bias")
    mult, bias, shift = (a.copy() for a in (made.mult, made.bias, made.shift))
    for n in (n for n, b in enumerate(made.bias) if not low <= b <= high):
        # Most of them are constant.
        least, most = _results([op], np.array(x.range), x, n) - made.offset
        if least == most:
            mult[n], bias[n], shift[n] = 0, int(least), 0
            continue
        if most - least > MOST_RESULTS:
            continue  # it is refused where biases are checked
        # What no sum gives is not sought.
        ends = (
            max(made.low - made.offset, int(least) - 1),
            min(made.high - made.offset, int(most) + 1),
        )
        steps = Steps.of(lambda sums, n=n: _results([op], sums, x, n) - made.offset, x.range, ends)
        line = floor_line(steps, DOUBLE_BITS)
        if line is not None:
            mult[n], bias[n], shift[n] = line.mult, line.bias, line.shift
    return replace(made, mult=mult, bias=bias, shift=shift)


def _check_float(layer: str, mult: Ints, shift: Ints, bias: Ints, x: Tensor, largest: int) -> None:
    """Raises UserError where float32's rounding of sums, or of large results, would be seen."""
    if largest > FLOAT_RESULTS:
        raise UserError(
            f"results of up to {largest} by float32's rounding, at most {FLOAT_RESULTS}",
            layer=layer,
        )
    exact = 1 << SINGLE_BITS
    for m, s, b in zip(mult, shift, bias, strict=True):
        most = max(abs(end + b) for end in x.range)
        if most > exact and exact * m >> s <= largest + 1:
            raise UserError(
                f"sums of up to {most}, which float32 rounds before it scales them", layer=layer
            )


def _fitted(layer: str, chain: list[Steady], x: Tensor) -> Requant:
    """What equals operations in a row on every integer of ``x``, found from where results change.

    Raises UserError for results that now rise, now fall, and where no line is found.
    """
    edge, steady = x, True
    for op in chain:
        if isinstance(op, Scaled):
            _bounds(layer, op, edge)
        else:
            rises = np.diff(op.values)
            steady &= bool((rises >= 0).all() or (rises <= 0).all())
        edge = op.infer(layer, [edge])
    if edge.range[1] - edge.range[0] > MOST_RESULTS:
        raise UserError(
            f"results from {edge.range[0]} to {edge.range[1]}: a multiply, add and shift that "
            f"equals it is sought among {MOST_RESULTS} at most",
            layer=layer,
        )
    lines = _lines(chain, x, edge.range) if steady else None
    if lines is None:
        raise UserError("no multiply, add and shift of the tiled engine equals it", layer=layer)
    mult, bias, shift = (
        _channels(np.array([getattr(line, name) for line in lines], object), x.channels)
        for name in ("mult", "bias", "shift")
    )
    return Requant(mult, bias, shift, lines[0].rounding, lines[0].offset, *edge.range)


def _lines(chain: list[Steady], x: Tensor, ends: tuple[int, int]) -> list[Line] | None:
    """A line for the results of each channel, or of all of them where they are alike, all of one
    rounding and offset; None where there are none."""
    alike = all(len(values) == 1 for op in chain for values in _arrays(op).values())
    channels = range(1 if alike else x.channels)
    signs = [_sign(chain, n) for n in channels]
    steps = [
        Steps.of(lambda sums, n=n, sign=sign: _results(chain, sign * sums, x, n),
                 _mirrored(x.range, sign), ends)
        for n, sign in zip(channels, signs, strict=True)
    ]  # fmt: skip
    floors = [floor_line(s) for s in steps]
    symmetric = (_symmetric(chain, x, n, steps[n], signs[n]) for n in channels)
    for lines in (floors, list(symmetric)):
        found = [line for line in lines if line is not None and line.like(lines[0] or line)]
        if len(found) == len(lines):
            return [replace(a, mult=sign * a.mult) for a, sign in zip(found, signs, strict=True)]
    return None


def _sign(chain: list[Steady], channel: int) -> int:
    """1 where a channel's results rise with its sums, or never change; -1 where they fall."""
    sign = 1
    for op in chain:
        if isinstance(op, Scaled):
            sign *= -1 if op.mult[min(channel, len(op.mult) - 1)] < 0 else 1
        else:
            sign *= 1 if op.values[-1] >= op.values[0] else -1
    return sign


def _mirrored(span: tuple[int, int], sign: int) -> tuple[int, int]:
    low, high = sorted(sign * end for end in span)
    return low, high


def _symmetric(
    chain: list[Steady], x: Tensor, channel: int, steps: Steps, sign: int
) -> Line | None:
    """One about the sum whose product is 0, if there are such sums."""
    first, values = chain[0], None
    if isinstance(first, Scaled):
        values = first.pivot if isinstance(first, ops.Requantize) else -first.bias
    center = 0 if values is None else int(values[min(channel, len(values) - 1)])
    if not x.range[0] <= center <= x.range[1]:
        return None
    offset = int(_results(chain, np.array([center]), x, channel)[0])
    return symmetric_line(steps, sign * center, offset)


def _arrays(op: Steady) -> dict[str, Ints]:
    """What an operation has of each channel."""
    if isinstance(op, ops.MultiThreshold):
        return {"thresholds": op.rows}
    names = ("mult", "bias", "shift", "pivot", "below")
    return {n: getattr(op, n) for n in names if getattr(op, n, None) is not None}


def _results(chain: list[Steady], sums: Ints, x: Tensor, channel: int) -> Ints:
    """The results of one channel."""
    values, edge = sums[:, None], Tensor(x.name, (1,), _plain(x.type), *x.range)
    for op in chain:
        kept = {n: a[[min(channel, len(a) - 1)]] for n, a in _arrays(op).items()}
        one = replace(op, **kept, type=_plain(op.type))
        values, edge = one.golden([values], [edge]), one.infer(x.name, [edge])
    return values[:, 0].astype(np.int64)


def _channels(values: Ints, channels: int) -> Ints:
    return np.broadcast_to(np.array([int(v) for v in values], object), channels)


def _bounds(layer: str, op: Scaled, x: Tensor) -> tuple[int, int]:
    """What results are clipped to. Raises UserError where they wrap or become zero."""
    low, high = op.type.low, op.type.max
    if op.type.overflow not in _SATURATING:
        raw = _unlimited(op, x)
        if raw[0] < low or raw[1] > high:
            raise UserError(
                f"results outside {op.type} {op.type.overflow}; the tiled engine saturates",
                layer=layer,
            )
    if op.clip is not None:
        low, high = (int(np.clip(end, *op.clip)) for end in (low, high))
    return low, high


def _plain(qtype: QType) -> QType:
    """The type as plain integers."""
    return replace(qtype, scale=None, zero_point=0)


def _unlimited(op: Scaled, x: Tensor) -> tuple[int, int]:
    """Smallest and largest result, were there no type and no clip to limit them."""
    wide = replace(_plain(op.type), signed=True, width=64, overflow=Overflow.SATURATE)
    return replace(op, clip=None, type=wide).infer("raw", [x]).range
