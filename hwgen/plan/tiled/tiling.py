"""How each task is cut into tiles: an exhaustive search over all tilings that fit the buffers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...descriptors import BANKS, EngineShape, Operand
from ...errors import UserError
from .loops import Range, Taps, Tile, beats, taps_of
from .tasks import Stored, Task

OVERHEAD = 12
"""Cycles about a tile in which nothing is multiplied."""
EARLY = 4
"""A block of weights of at most one part in so many of their memory usually finds a place while the
task before is at work, so that nobody waits for it."""


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


@dataclass(frozen=True)
class Tiling:
    """rows, columns, groups : of a tile. taps : (kernel rows, kernel columns, chunks) of a tile.

    weights_outer : all pixels for one block of weights, then the next block; else all blocks for
    one tile of pixels. x_ring, y_rows : rows of the ifmap's ring, and of a tile's ofmap buffer, a
    multiple of the banks. feature_bytes : of a bank that the task's own buffers take.
    """

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


def choose(situation: Situation, room: int) -> Tiling | None:
    """The tiling of the fewest cycles, then of the least traffic, whose buffers fit ``room`` bytes
    of a bank; None where there is none."""
    found = [t for weights_outer in (False, True) for t in _best(situation, room, weights_outer)]
    return min(found, key=lambda t: (t.cycles, t.read_bytes, t.feature_bytes), default=None)


def tiles(situation: Situation, tiling: Tiling) -> Iterator[Tile]:
    """The tiles of a task in their order."""
    height, width = situation.size
    spatial = [
        (rows, columns)
        for columns in _ranges(width, tiling.columns)
        for rows in _ranges(height, tiling.rows)
    ]
    blocks = _ranges(situation.groups, tiling.groups)
    parts = tap_ranges(situation.taps, tiling.taps)

    def of(rows: Range, columns: Range, groups: Range) -> Iterator[Tile]:
        for n, taps in enumerate(parts):
            yield Tile(rows, columns, groups, taps, keep=n > 0, hold=n < len(parts) - 1)

    if tiling.weights_outer:
        for groups in blocks:
            for rows, columns in spatial:
                yield from of(rows, columns, groups)
    else:
        for rows, columns in spatial:
            for groups in blocks:
                yield from of(rows, columns, groups)


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


def _best(s: Situation, room: int, weights_outer: bool) -> Iterator[Tiling]:
    """The best tiling of one order, if there is one. All candidates at once, as arrays."""
    shape, task = s.shape, s.task
    height, width = s.size
    if weights_outer and not s.y_stays and s.groups > 1:
        return  # channels of a pixel leave together
    options = [
        _splits(height), _splits(width), _splits(s.groups), range(len(_tap_blocks(s.taps)))
    ]  # fmt: skip
    axes = np.meshgrid(*(np.array(o, np.int64) for o in options), indexing="ij")
    rows, columns, groups, part = (a.ravel() for a in axes)
    blocks = np.array(_tap_blocks(s.taps))[part]
    words = blocks.prod(axis=1)
    tap_parts = np.prod([-(-n // blocks[:, k]) for k, n in enumerate(s.taps.counts)], axis=0)
    group_parts = -(-s.groups // groups)
    parts = tap_parts * group_parts
    has_weights = task.weights is not None
    held = np.minimum(parts, s.resident)
    fits = (groups * words * held <= shape.weight_words) | (not has_weights)
    fits &= groups * np.minimum(group_parts, 2) <= shape.parameter_words
    fits &= (tap_parts == 1) | (rows * columns * groups <= shape.psum_words)
    fits &= (tap_parts == 1) | (task.operand is not Operand.WINDOW)

    buffers = _buffers(s, rows, columns)
    need = sum(buffers[name] for name in ("x_bytes", "y_bytes", "second_bytes"))
    fits &= need <= room
    if not fits.any():
        return
    spatial = -(-height // rows) * -(-width // columns)
    cycles, read = _cost(s, rows, columns, spatial, parts, weights_outer, buffers)
    if has_weights:
        late = np.maximum(0, groups * words - shape.weight_words // EARLY)
        cycles = cycles + late * shape.weight_bytes / shape.bus_bytes
    cycles, read = np.where(fits, cycles, np.inf), np.where(fits, read, np.inf)
    n = np.lexsort((np.asarray(need), read, cycles))[0]
    size = {name: int(values[n]) for name, values in buffers.items()}
    part_rows, part_columns, chunks = (int(b) for b in blocks[n])
    yield Tiling(
        int(rows[n]), int(columns[n]), int(groups[n]), (part_rows, part_columns, chunks),
        weights_outer, **size, cycles=float(cycles[n]), read_bytes=float(read[n]),
    )  # fmt: skip


def _buffers(s: Situation, rows: np.ndarray, columns: np.ndarray) -> dict[str, np.ndarray]:
    """Rings and buffers of tensors that do not stay; bytes of a bank."""
    height, width, channels = s.x.shape
    down, across = s.task.stride
    strips = -(-s.size[1] // columns)
    x_columns = np.minimum(width, (columns - 1) * across + s.reach[1])
    span = (rows - 1) * down + s.reach[0]
    # With one strip a tile shares rows with the one above; behind a strip comes the next one.
    fresh = np.where(strips > 1, span, rows * down)
    ring = _whole(span + (s.resident - 1) * fresh)
    ring = np.where(strips > 1, ring, np.minimum(ring, _whole(np.array(height))))
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


def _whole(rows: np.ndarray) -> np.ndarray:
    return -(-rows // BANKS) * BANKS


def _cost(
    s: Situation, rows: np.ndarray, columns: np.ndarray, spatial: np.ndarray, parts: np.ndarray,
    weights_outer: bool, buffers: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Cycles, roughly, and bytes read from external memory."""
    shape, task = s.shape, s.task
    height, width = s.size
    down, across = task.stride
    strips = -(-width // columns)
    if task.operand is Operand.WINDOW:
        work = height * s.groups * (width * across + strips * 2)
    else:
        work = np.full_like(rows, height * width * s.groups * s.taps.words)
    if task.tables is not None:
        work = np.maximum(work, height * width * s.groups * min(shape.pe, 4))
    work = work + spatial * parts * OVERHEAD
    row_bytes = strips * buffers["x_columns"] * s.x.shape[2]
    x = 0 if s.x_stays else row_bytes * s.x.shape[0] * np.where(strips > 1, 1, 1)
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
    cycles = np.maximum(np.maximum(work, read / bus), written / bus) + (begin + end) / bus
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
