"""The tiles of a task in their order, dealt out to the tile units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..mapping.problem import MappingProblem
from ..mapping.tile import Range, Taps, Tile
from ..mapping.tiling import Tiling


@dataclass(frozen=True)
class OrderedTile:
    """A tile of a unit, and its place in the order. Units have one in each round, at most, for each
    block of output channels and taps.

    round : tiles of pixels before it, those of earlier blocks where weights are the outer loop
    among them. block : number of the block of channels among those of the unit. last : the last
    tile of its pixels.
    """

    unit: int
    round: int
    block: int
    tile: Tile
    last: bool


def tile_order(problem: MappingProblem, tiling: Tiling) -> Iterator[OrderedTile]:
    """The tiles of a task in their order: those of a round one unit after the other."""
    shares = problem.shares(tiling.split)
    spatial = [
        [
            ((rows[0] + a, rows[0] + b), columns)
            for columns in _ranges(problem.size[1], tiling.columns)
            for a, b in _ranges(rows[1] - rows[0], tiling.rows)
        ]
        for rows, _ in shares
    ]
    blocks = [
        [(first + a, first + b) for a, b in _ranges(last - first, tiling.cout_blocks)]
        for _, (first, last) in shares
    ]
    parts = tap_ranges(problem.taps_in(tiling.stationarity), tiling.taps)
    rounds, most = max(map(len, spatial)), max(map(len, blocks))
    again = rounds if rounds > 1 else 0  # one round's pixels stay for the next block
    order = (
        ((block * again + n, n, block) for block in range(most) for n in range(rounds))
        if tiling.weights_outer
        else ((n, n, block) for n in range(rounds) for block in range(most))
    )
    for number, n, block in order:
        for k, taps in enumerate(parts):
            last = k == len(parts) - 1
            for unit, (pixels, cout_blocks) in enumerate(zip(spatial, blocks, strict=True)):
                if n < len(pixels) and block < len(cout_blocks):
                    tile = Tile(
                        *pixels[n], cout_blocks[block], taps, accumulate=k > 0,
                        no_writeback=not last, stationarity=tiling.stationarity,
                    )  # fmt: skip
                    done = last and block == len(cout_blocks) - 1
                    yield OrderedTile(unit, number, block, tile, done)


def tap_ranges(taps: Taps, block: tuple[int, int, int]) -> list[tuple[Range, Range, Range]]:
    """The parts of the taps, in order."""
    rows, columns, cin_blocks = (_ranges(n, b) for n, b in zip(taps.counts, block, strict=True))
    return [(r, c, k) for r in rows for c in columns for k in cin_blocks]


def _ranges(length: int, step: int) -> list[Range]:
    return [(start, min(length, start + step)) for start in range(0, length, step)]
