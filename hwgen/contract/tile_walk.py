"""What a tile's loops mean: the steps of its sums and the places of its results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..aliases import Array
from .isa import LEVELS, OUTPUT_LEVELS, SKIPPING, Loop

Values = dict[str, int]


class ProgramError(Exception):
    """A descriptor that no engine could carry out."""


@dataclass
class TileSteps:
    """Steps of a tile in order: what each reads, and which sum it belongs to.

    begins : of each sum, whether it does here; else it goes on from the psum memory. finished : the
    sums that give results, as they are finished.
    """

    row: Array
    position: Array
    weight: Array
    psum: Array
    sum: Array
    begins: Array
    finished: Array

    @property
    def count(self) -> int:
        """Number of sums."""
        return len(self.begins)

    @classmethod
    def of(cls, d: Values, psum_words: int) -> TileSteps:
        """The steps of a COMPUTE, on psum memories of so many words.

        Raises ProgramError for a loop of no steps.
        """
        counts = [d[f"loop{n}_count"] for n in range(LEVELS)]
        if min(counts) < 1:
            raise ProgramError("a loop of no steps")
        index = np.indices(counts[::-1])[::-1].reshape(LEVELS, -1)
        places = {}
        for what in ("position", "row", "weight", "psum"):
            places[what] = np.tensordot(_strides(d, "loop", what, counts), index, 1)
        first, last = np.full((2, index.shape[1]), [[not d["accumulate"]], [True]])
        for n in range(LEVELS):
            if Loop(d[f"loop{n}_kind"]) is Loop.TAP:
                first &= index[n] == 0
                last &= index[n] == counts[n] - 1
        for n in SKIPPING:
            last &= index[n] >= d[f"loop{n}_skip"]
        psum = (places["psum"] + d["psum"]) % psum_words
        number, begins = _sums(psum, first)
        return cls(
            places["row"] + d["x_row"], places["position"] + d["x_position"],
            places["weight"] + d["weight"], psum, number, begins, number[last],
        )  # fmt: skip

    def windows(self, d: Values) -> TileSteps:
        """The steps at which a window is complete; rows and positions of its nine taps."""
        columns = d["loop0_count"]
        across = d["loop0_position"]
        column = np.arange(len(self.row)) % columns
        behind = column - d["window_first"]
        done = (behind >= 0) & (behind % d["window_step"] == 0)
        row = self.row[done][:, None] + np.arange(3)
        back = np.arange(2, -1, -1)
        position = self.position[done][:, None] - back * across
        # What is left of the row's first column is padding, whatever lies there.
        position = np.where(column[done][:, None] >= back, position, -(1 << 20))
        number = np.arange(len(row))
        begins = np.ones(len(row), bool)
        return TileSteps(row, position, self.weight[done], self.psum[done], number, begins, number)


def _sums(psum: Array, first: Array) -> tuple[Array, Array]:
    """Which sum each step belongs to, and which sums begin with their first step.

    A sum is the steps of one psum from one that is ``first`` to before the next that is.
    """
    order = np.argsort(psum, kind="stable")
    other = np.ones(len(psum), bool)
    other[1:] = psum[order][1:] != psum[order][:-1]
    starts = other | first[order]
    number = np.empty(len(psum), np.int64)
    number[order] = np.cumsum(starts) - 1
    return number, first[order][starts]


def _strides(d: Values, loop: str, what: str, counts: list[int]) -> Array:
    """The stride of each loop: its increment without what it takes back of the loops inside."""
    strides: list[int] = []
    for n in range(len(counts)):
        inner = sum((c - 1) * s for c, s in zip(counts, strides, strict=False))
        strides.append(d[f"{loop}{n}_{what}"] + inner)
    return np.array(strides)


def places(d: Values) -> tuple[Array, Array, Array, Array]:
    """Row, position, second position and group (results,) of every result of a COMPUTE in order."""
    counts = [d[f"out{n}_count"] for n in range(OUTPUT_LEVELS)]
    index = np.indices(counts[::-1])[::-1].reshape(OUTPUT_LEVELS, -1)
    row, position, second = (
        np.tensordot(_strides(d, "out", what, counts), index, 1)
        for what in ("row", "position", "second")
    )
    group = sum(index[n] for n in range(OUTPUT_LEVELS) if d[f"out{n}_group"])
    return row, position, second, np.broadcast_to(group, row.shape)
