"""How each task is cut into tiles: an exhaustive search over all tilings that fit the buffers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np

from ...descriptors import BANKS, COMPUTE, TRANSFER, EngineShape, Operand
from ...errors import UserError
from .loops import Range, Taps, Tile, beats, taps_of
from .tasks import Stored, Task

OVERHEAD = 12
"""Cycles about a tile in which nothing is multiplied."""
STORE_OVERHEAD = 8
"""Cycles in which a store that moves one column holds up the descriptors behind it: there are more
of them than their queue holds."""
EARLY = 4
"""A block of weights of at most one part in so many of their memory usually finds a place while the
task before is at work, so that nobody waits for it."""


class Split(StrEnum):
    """What of a task is dealt out to the tile units, a contiguous range for each."""

    ROWS = "rows"
    """Rows of the ofmap; each unit loads the rows of the ifmap that it needs."""
    OUTPUTS = "outputs"
    """Groups of output channels; all units are given the same rows of the ifmap."""


@dataclass(frozen=True)
class Situation:
    """What a tiling is chosen for: a task, its tensors, and which of them stay on chip.

    resident : tiles held in each buffer: with 2, one is filled while the other is used.
    """

    task: Task
    shape: EngineShape
    x: Stored
    y: Stored
    second: Stored | None
    x_stays: bool
    y_stays: bool
    second_stays: bool
    resident: int = 2

    @property
    def taps(self) -> Taps:
        """How the taps are folded."""
        return taps_of(self.task, self.x, self.shape)

    @property
    def groups(self) -> int:
        """Groups of output channels."""
        return beats(self.task.outputs, self.shape.pe)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the ofmap."""
        return self.y.shape[0], self.y.shape[1]

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns that a window spans."""
        kernel, dilation = self.task.kernel, self.task.dilation
        rows, columns = ((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
        return rows, columns

    def shares(self, split: Split) -> list[tuple[Range, Range]]:
        """Rows of the ofmap and groups of each unit that has work: no more units than parts."""
        rows, groups = (0, self.size[0]), (0, self.groups)
        if split is Split.ROWS:
            return [(part, groups) for part in parts_of(rows[1], self.shape.tiles)]
        return [(rows, part) for part in parts_of(groups[1], self.shape.tiles)]

    def part(self, split: Split) -> tuple[int, int]:
        """Rows and groups of the unit that has most work, which is the first."""
        (first, last), (begin, end) = self.shares(split)[0]
        return last - first, end - begin


@dataclass(frozen=True)
class Tiling:
    """split : what is dealt out to the units. rows, columns, groups : of a tile. taps : (kernel
    rows, kernel columns, chunks) of a tile.

    weights_outer : all pixels for one block of weights, then the next block; else all blocks for
    one tile of pixels. x_ring, y_rows : rows of the ifmap's ring, and of a tile's ofmap buffer, a
    multiple of the banks. feature_bytes : of a bank that the task's own buffers take.
    """

    split: Split
    rows: int
    columns: int
    groups: int
    taps: tuple[int, int, int]
    weights_outer: bool
    x_ring: int
    x_columns: int
    y_rows: int
    x_bytes: int
    y_bytes: int
    second_bytes: int
    cycles: float
    read_bytes: float

    @property
    def feature_bytes(self) -> int:
        """Bytes of a bank."""
        return self.x_bytes + self.y_bytes + self.second_bytes


@dataclass(frozen=True)
class Turn:
    """A tile of a unit. Units have one in each round, at most, for each block of groups and taps.

    round : tiles of pixels before it, those of earlier blocks where weights are the outer loop
    among them. block : number of the block of groups among those of the unit. last : the last
    tile of its pixels.
    """

    unit: int
    round: int
    block: int
    tile: Tile
    last: bool


def choose(situation: Situation, room: int) -> Tiling | None:
    """The tiling of the fewest cycles, then of the least traffic, whose buffers fit ``room`` bytes
    of a bank; None where there is none."""
    splits = (Split.ROWS,) if situation.shape.tiles == 1 else tuple(Split)
    found = [
        tiling
        for split in splits
        for weights_outer in (False, True)
        for tiling in _best(situation, room, split, weights_outer)
    ]
    return min(found, key=lambda t: (t.cycles, t.read_bytes, t.feature_bytes), default=None)


def turns(situation: Situation, tiling: Tiling) -> Iterator[Turn]:
    """The tiles of a task in their order: those of a round one unit after the other."""
    shares = situation.shares(tiling.split)
    spatial = [
        [
            ((rows[0] + a, rows[0] + b), columns)
            for columns in _ranges(situation.size[1], tiling.columns)
            for a, b in _ranges(rows[1] - rows[0], tiling.rows)
        ]
        for rows, _ in shares
    ]
    blocks = [
        [(first + a, first + b) for a, b in _ranges(last - first, tiling.groups)]
        for _, (first, last) in shares
    ]
    parts = tap_ranges(situation.taps, tiling.taps)
    rounds, most = max(map(len, spatial)), max(map(len, blocks))
    again = rounds if rounds > 1 else 0  # one round's pixels stay for the next block
    order = (
        ((block * again + n, n, block) for block in range(most) for n in range(rounds))
        if tiling.weights_outer
        else ((n, n, block) for n in range(rounds) for block in range(most))
    )
    for number, n, block in order:
        for k, taps in enumerate(parts):
            hold = k < len(parts) - 1
            for unit, (pixels, groups) in enumerate(zip(spatial, blocks, strict=True)):
                if n < len(pixels) and block < len(groups):
                    tile = Tile(*pixels[n], groups[block], taps, keep=k > 0, hold=hold)
                    yield Turn(unit, number, block, tile, not hold and block == len(groups) - 1)


def parts_of(length: int, most: int) -> list[Range]:
    """Contiguous parts whose sizes differ by one at most, the larger first: ``most`` of them, but
    none that is empty."""
    parts = min(length, most)
    small, more = divmod(length, parts)
    ends = [n * small + min(n, more) for n in range(parts + 1)]
    return list(pairwise(ends))


def tap_ranges(taps: Taps, block: tuple[int, int, int]) -> list[tuple[Range, Range, Range]]:
    """The parts of the taps, in order."""
    rows, columns, chunks = (_ranges(n, b) for n, b in zip(taps.counts, block, strict=True))
    return [(r, c, k) for r in rows for c in columns for k in chunks]


def _ranges(length: int, step: int) -> list[Range]:
    return [(start, min(length, start + step)) for start in range(0, length, step)]


def _splits(length: int, most: int = 64) -> list[int]:
    """Sizes of equal parts, each number of parts once: the largest first."""
    sizes = {beats(length, parts) for parts in range(1, min(length, most) + 1)}
    return sorted(sizes | {1}, reverse=True)


def _tap_blocks(taps: Taps) -> list[tuple[int, int, int]]:
    """All taps, then fewer rows, columns, chunks: inner ones are cut only where outer ones are."""
    rows, columns, chunks = taps.counts
    blocks = [(r, columns, chunks) for r in _splits(rows)]
    blocks += [(1, c, chunks) for c in _splits(columns)[1:]]
    return blocks + [(1, 1, k) for k in _splits(chunks)[1:]]


def _best(s: Situation, room: int, split: Split, weights_outer: bool) -> Iterator[Tiling]:
    """The best tiling of one order, if there is one. All candidates at once, as arrays."""
    shape, task = s.shape, s.task
    height, most = s.part(split)
    width = s.size[1]
    if weights_outer and not s.y_stays and most > 1:
        return  # channels of a pixel leave together
    options = [
        _splits(height), _splits(width), _splits(most), range(len(_tap_blocks(s.taps)))
    ]  # fmt: skip
    axes = np.meshgrid(*(np.array(o, np.int64) for o in options), indexing="ij")
    rows, columns, groups, part = (a.ravel() for a in axes)
    blocks = np.array(_tap_blocks(s.taps))[part]
    words = blocks.prod(axis=1)
    tap_parts = np.prod([-(-n // blocks[:, k]) for k, n in enumerate(s.taps.counts)], axis=0)
    group_parts = -(-most // groups)
    parts = tap_parts * group_parts
    has_weights = task.weights is not None
    held = np.minimum(parts, s.resident)
    fits = (groups * words * held <= shape.weight_words) | (not has_weights)
    fits &= groups * np.minimum(group_parts, 2) <= shape.parameter_words
    fits &= (tap_parts == 1) | (rows * columns * groups <= shape.psum_words)
    fits &= (tap_parts == 1) | (task.operand is not Operand.WINDOW)

    buffers = _buffers(s, split, rows, columns)
    need = sum(buffers[name] for name in ("x_bytes", "y_bytes", "second_bytes"))
    fits &= need <= room
    if not fits.any():
        return
    spatial = -(-height // rows) * -(-width // columns)
    cycles, read = _cost(s, split, rows, columns, spatial, parts, weights_outer, buffers)
    if has_weights:
        own = len(s.shares(split)) if split is Split.OUTPUTS else 1
        late = np.maximum(0, groups * words - shape.weight_words // EARLY) * own
        cycles = cycles + late * shape.weight_bytes / shape.bus_bytes
    cycles, read = np.where(fits, cycles, np.inf), np.where(fits, read, np.inf)
    n = np.lexsort((np.asarray(need), read, cycles))[0]
    size = {name: int(values[n]) for name, values in buffers.items()}
    part_rows, part_columns, chunks = (int(b) for b in blocks[n])
    yield Tiling(
        split, int(rows[n]), int(columns[n]), int(groups[n]), (part_rows, part_columns, chunks),
        weights_outer, **size, cycles=float(cycles[n]), read_bytes=float(read[n]),
    )  # fmt: skip


def _buffers(
    s: Situation, split: Split, rows: np.ndarray, columns: np.ndarray
) -> dict[str, np.ndarray]:
    """Rings and buffers, in each unit, of tensors that do not stay; bytes of a bank."""
    _, width, channels = s.x.shape
    down, across = s.task.stride
    strips = -(-s.size[1] // columns)
    x_columns = np.minimum(width, (columns - 1) * across + s.reach[1])
    span = (rows - 1) * down + s.reach[0]
    # With one strip a tile shares rows with the one above; behind a strip comes the next one.
    fresh = np.where(strips > 1, span, rows * down)
    ring = _whole(span + (s.resident - 1) * fresh)
    ring = np.where(strips > 1, ring, np.minimum(ring, _whole(np.array(x_rows(s, split)))))
    y_rows = _whole(rows)
    pixel = s.y.shape[2] * s.y.size
    zero = np.zeros_like(rows)
    kept = s.resident * y_rows // BANKS * columns
    second = kept * s.second.shape[2] if s.second is not None and not s.second_stays else zero
    return {
        "x_ring": ring,
        "x_columns": x_columns,
        "y_rows": y_rows,
        "x_bytes": zero if s.x_stays else ring // BANKS * x_columns * channels,
        "y_bytes": zero if s.y_stays else kept * pixel,
        "second_bytes": second,
    }


def x_rows(s: Situation, split: Split) -> int:
    """Rows of the ifmap that a unit needs, at most."""
    return min(s.x.shape[0], (s.part(split)[0] - 1) * s.task.stride[0] + s.reach[0])


def _whole(rows: np.ndarray) -> np.ndarray:
    return -(-rows // BANKS) * BANKS


def _cost(
    s: Situation, split: Split, rows: np.ndarray, columns: np.ndarray, spatial: np.ndarray,
    parts: np.ndarray, weights_outer: bool, buffers: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Cycles, roughly, and bytes read from external memory.

    The steps are those of the unit that has most; all units' bytes go over the one port.
    """
    shape, task = s.shape, s.task
    height, groups = s.part(split)
    units, width = len(s.shares(split)), s.size[1]
    by_rows = units if split is Split.ROWS else 1
    down, across = task.stride
    strips = -(-width // columns)
    if task.operand is Operand.WINDOW:
        work = height * groups * (width * across + strips * 2)
    else:
        work = np.full_like(rows, height * width * groups * s.taps.words)
    if task.tables is not None:
        work = np.maximum(work, height * width * groups * min(shape.pe, 4))
    work = work + spatial * parts * OVERHEAD
    row_bytes = strips * buffers["x_columns"] * s.x.shape[2]
    # Rows at the border of two units' parts are read by both.
    twice = (by_rows - 1) * max(0, s.reach[0] - down)
    x = 0 if s.x_stays else row_bytes * (s.x.shape[0] + twice)
    if weights_outer:
        x = x * parts
    weights = s.groups * s.taps.words * shape.weight_bytes if task.weights is not None else 0
    again = np.where((parts > 1) & (not weights_outer), spatial, 1)
    second = 0 if s.second is None or s.second_stays else s.second.bytes
    read = x + weights * again + second + 0 * rows
    span = (rows - 1) * down + s.reach[0]
    begin = 0 if s.x_stays else np.minimum(span, s.x.shape[0]) * buffers["x_columns"] * s.x.shape[2]
    end = 0 if s.y_stays else rows * columns * s.y.shape[2] * s.y.size
    bus = shape.bus_bytes
    written = 0 if s.y_stays else s.y.bytes
    if split is Split.OUTPUTS:
        # Each unit's channels of a pixel are a row of their own in external memory.
        part = beats(groups * shape.pe * s.y.size, bus) + 1
        written = max(written, height * width * units * part * bus)
        work = work + spatial * columns * units * STORE_OVERHEAD
    read_too = 0
    if shape.tiles > 1:
        # The program of one unit comes while it works; that of several is as long for each.
        transfers = 3 if split is Split.ROWS else 2 + columns
        tile = parts * COMPUTE.size // 8 + transfers * TRANSFER.size // 8
        read_too = spatial * units * tile
    moved = np.maximum(read + read_too, written) / bus
    cycles = np.maximum(work, moved) + (begin + end) * by_rows / bus
    return cycles.astype(np.float64), np.asarray(read, np.float64)


def refuse(situation: Situation, room: int) -> UserError:
    """The error where no tiling fits."""
    shape = situation.shape
    return UserError(
        f"not even its smallest tile fits the buffers ({room * BANKS} bytes of feature maps, "
        f"{shape.weight_words} words of weights, {shape.psum_words} of psums)",
        layer=situation.task.name,
        hint="give more with --buffer-kib",
    )
