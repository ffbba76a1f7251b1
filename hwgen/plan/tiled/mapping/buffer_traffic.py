"""Words that move between the buffers and the array, from descriptors: what the hardware counts.

Buffers are read where a step takes something new, see gateware TileArray: an ifmap word unless
position, row and ring row are those of the step before (or all of it is padding), a word of weights
unless its address is, a psum unless its sum is in the accumulator, or begins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import prod

import numpy as np

from ....contract.engine import EngineShape
from ....contract.isa import LEVELS, WINDOW_TAPS, Loop, Operand, Reduction

Values = Mapping[str, int]


@dataclass(frozen=True)
class BufferTraffic:
    """Words of each kind that are read from, or written to, the buffers next to the array."""

    ifmaps: int = 0
    weights: int = 0
    psums_read: int = 0
    psums_written: int = 0

    def __add__(self, other: BufferTraffic) -> BufferTraffic:
        return BufferTraffic(
            *(getattr(self, f.name) + getattr(other, f.name) for f in fields(self))
        )

    def bytes(self, shape: EngineShape) -> dict[str, int]:
        """Bytes of each kind, by the fields' names."""
        sizes = word_bytes(shape)
        return {f.name: getattr(self, f.name) * sizes[f.name] for f in fields(self)}


def word_bytes(shape: EngineShape) -> dict[str, int]:
    """Bytes of a word of each kind."""
    psum = shape.psum_word_bytes
    return {
        "ifmaps": shape.word,
        "weights": shape.weight_word_bytes,
        "psums_read": psum,
        "psums_written": psum,
    }


def traffic_of(d: Values, shape: EngineShape) -> BufferTraffic:
    """Words that the tile of a COMPUTE descriptor moves. A softmax does not use the array."""
    if d.get("softmax"):
        return BufferTraffic()
    largest = d["reduction"] == Reduction.MAX
    weights = 0 if largest or d["ones"] else 1 + _moves(d, ("weight",))
    if largest:
        return BufferTraffic(_ifmaps(d, shape), weights)
    return BufferTraffic(_ifmaps(d, shape), weights, *_psums(d))


def _counts(d: Values) -> list[int]:
    return [d[f"loop{n}_count"] for n in range(LEVELS)]


def _moving(d: Values, names: tuple[str, ...]) -> list[int]:
    """The loops whose steps change one of these places."""
    return [n for n in range(LEVELS) if any(d[f"loop{n}_{name}"] for name in names)]


def _moves(d: Values, names: tuple[str, ...]) -> int:
    """Steps that do so: one loop steps at a time, those inside it begin again."""
    counts = _counts(d)
    return sum((counts[n] - 1) * prod(counts[n + 1 :]) for n in _moving(d, names))


def _ifmaps(d: Values, shape: EngineShape) -> int:
    """Steps that take new ifmap values of which some are no padding; in each of their rows."""
    counts = _counts(d)
    moving = [n for n in _moving(d, ("position", "row", "ring")) if counts[n] > 1]
    # The first step, and those to which a loop that changes the place has just stepped: it is
    # beyond its start, the loops inside it are at theirs.
    found = _inside(d, shape, [range(1)] * LEVELS)
    for n in moving:
        inner, outer = [range(1)] * n, [range(c) for c in counts[n + 1 :]]
        found += _inside(d, shape, [*inner, range(1, counts[n]), *outer])
    return found


def _inside(d: Values, shape: EngineShape, steps: list[range]) -> int:
    """Words inside the ifmap among these steps of the loops."""
    row, position = np.array(d["x_row"]), np.array(d["x_position"])
    counts, back = _counts(d), {"row": 0, "position": 0}
    rest = 1
    for n in range(LEVELS):
        stride = {}
        for name in back:
            # A loop's increment takes back what the loops inside it added.
            stride[name] = d[f"loop{n}_{name}"] + back[name] if counts[n] > 1 else 0
            back[name] += (counts[n] - 1) * stride[name]
        index = np.array(steps[n])
        if any(stride.values()):
            row = np.add.outer(row, index * stride["row"])
            position = np.add.outer(position, index * stride["position"])
        else:
            rest *= len(index)
    some = (position > -shape.word) & (position < d["x_bytes"])
    rows = WINDOW_TAPS if d["operand"] == Operand.DEPTHWISE_WINDOW else 1 + d["tap_rows"]
    return rest * sum(
        int(np.count_nonzero((row + k >= 0) & (row + k < d["x_rows"]) & some)) for k in range(rows)
    )


def _psums(d: Values) -> tuple[int, int]:
    """Words of psums read and written."""
    counts, window = _counts(d), d["operand"] == Operand.DEPTHWISE_WINDOW
    if window:
        columns = range(d["window_first"], counts[0], d["window_step"])
        return 0, len(columns) * prod(counts[1:]) if d["no_writeback"] else 0
    taps = [n for n in range(LEVELS) if d[f"loop{n}_kind"] == Loop.TAP]
    moving = [n for n in _moving(d, ("psum",)) if counts[n] > 1]
    # Steps with another psum before them, the very first one among them, are as many as those with
    # another one behind them. Of the first, those that begin a sum read none; of the others, those
    # that finish one write none.
    changes = 1 + _moves(d, ("psum",))
    begins = _at_ends(counts, taps, moving) if not d["accumulate"] else 0
    ends = _at_ends(counts, taps, moving) if not d["no_writeback"] else 0
    return changes - begins, changes - ends


def _at_ends(counts: list[int], taps: list[int], moving: list[int]) -> int:
    """Steps that begin a sum, with another psum before them.

    As many finish one, with another psum behind them: the nest walked backwards is the same.
    """
    found = 1
    for n in moving:
        if n not in taps:  # a step of a loop of taps leads away from where sums begin
            outer = prod(counts[k] for k in range(n + 1, LEVELS) if k not in taps)
            found += (counts[n] - 1) * outer
    return found
