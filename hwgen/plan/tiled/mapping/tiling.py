"""How each task is cut into tiles: an exhaustive search over all tilings that fit the buffers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from ....contract.engine import BANKS
from ....contract.isa import COMPUTE, TRANSFER, Operand
from ....errors import UserError
from ....numeric import ceil_div
from ..network.softmax import softmax_cycles
from .problem import MappingProblem, Split
from .stationarity import (
    Candidates,
    Stationarity,
    bytes_needed,
    cycles_needed,
    psums_needed,
    scatters,
    suits,
)
from .tile import Taps

# The four constants below make the formula of _cost agree with the cycle model. Each was tried with
# other values on MNIST, the small ResNet, ResNet-8 and DS-CNN, on engines of 16x16, 8x8 with 48
# KiB, 4x4, and four units of 8x8 with 64 KiB; "the sum" is that of the cycles of these 16 plans.
OVERHEAD = 12
"""Cycles from a tile's last step to the first one of the next tile, in which nothing is multiplied.

The cycle model has 10 of them (TAP_FETCH + 2) where a tile gives results, 17 or 18 where its sums
stay in the psum memory, and 12 is between them. With 10 or 24 the sum differs by less than 0.1 %;
with 0 tiles become too small, and it grows by more than 7 %.
"""
ROUND_TRIP = 100
"""Cycles from the start of a load to the first tap that it brings, and from a tile's last step to
the end of its store, without the beats themselves.

The cycle model has 34 and 64 of them at least, where memory answers after 20 cycles. With 0 or 50
the sum differs by less than 0.1 %, with 200 it grows by 0.3 %.
"""
STORE_OVERHEAD = 8
"""Cycles in which a store that moves one column holds up the descriptors behind it: there are more
of them than their queue holds.

Without it DS-CNN takes 1.2 times as long on four units, since channels are dealt out where rows
should be; with 4 it still does, with 16 all plans are the same.
"""
SLACK = 0.01
"""Part of the cycles that a tiling may take more than the quickest one to move less."""
BUFFER_ENERGY = 6 / 200
"""Energy of a byte from a buffer, where one from external memory takes 1: Y.-H. Chen, J. Emer, V.
Sze, Eyeriss (ISCA 2016), table IV, 6 and 200 times that of a multiply-accumulate."""


@dataclass(frozen=True)
class Tiling:
    """split : what is dealt out to the units. rows, columns, cout_blocks : of a tile. taps :
    (kernel rows, kernel columns, cin blocks) of a tile.

    weights_outer : all pixels for one block of weights, then the next block; else all blocks for
    one tile of pixels. x_ring, y_rows : rows of the ifmap's ring, and of a tile's ofmap buffer, a
    multiple of the banks. feature_bytes : of a bank that the task's own buffers take.
    stationarity : of the tiles. buffer_bytes : between buffers and array, about. least : the cycles
    of the quickest of those that it was chosen among.
    """

    split: Split
    rows: int
    columns: int
    cout_blocks: int
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
    stationarity: Stationarity
    buffer_bytes: float
    least: float

    @property
    def feature_bytes(self) -> int:
        """Bytes of a bank."""
        return self.x_bytes + self.y_bytes + self.second_bytes

    @property
    def traffic(self) -> float:
        """Bytes of external memory that take as much energy as all that it moves."""
        return self.read_bytes + BUFFER_ENERGY * self.buffer_bytes


def choose(problem: MappingProblem, room: int) -> tuple[MappingProblem, Tiling] | None:
    """A tiling whose buffers fit ``room`` bytes of a bank, with the problem that it is for; None
    where there is none. Of those that take next to the fewest cycles (see SLACK) it is the one that
    moves least, outside and inside."""
    s, slabs = problem, problem.in_slabs()
    possible = [kind for kind in Stationarity if suits(kind, s.task, s.size)]
    for kinds in ([kind for kind in possible if kind is s.stationarity], possible):
        found = [
            (of, tiling)
            for of, outer in ((s, False), (s, True), (slabs, False))
            if of is not None
            for split, kind in product(of.splits, kinds)
            for tiling in _best(of, room, split, outer, kind)
        ]
        if found:
            most = (1 + SLACK) * min(tiling.least for _, tiling in found)
            quick = [f for f in found if f[1].cycles <= most]
            return min(quick, key=lambda f: (f[1].traffic, f[1].cycles, f[1].feature_bytes))
    return None


def _constants_read(s: MappingProblem, c: Candidates, weights_outer: bool) -> np.ndarray:
    """Bytes of weights and parameters, those that do not stay again for each round of tiles."""
    of_unit, all_cout_blocks = c.unit_cout_blocks, c.cout_parts == 1
    everything = 0, s.cout_blocks
    weights = s.cout_blocks * c.words * s.weight_word_bytes(everything)
    stay = weights_stay(s, of_unit * c.words, c.tap_parts == 1, all_cout_blocks, weights_outer)
    read = weights * np.where(stay, 1, c.tiles)
    stay = parameters_stay(s, of_unit, all_cout_blocks, weights_outer)
    words = 1 if s.one_word else s.cout_blocks
    return read + words * s.parameter_word_bytes(everything) * np.where(stay, 1, c.tiles)


def parameters_stay(
    s: MappingProblem, cout_blocks: int, all_cout_blocks: np.ndarray | bool, weights_outer: bool
) -> np.ndarray:
    """Whether parameters stay until no tile of pixels needs them. cout_blocks : of a unit."""
    stay = s.one_word or weights_outer or cout_blocks <= s.shape.parameter_words // 2
    return np.asarray(all_cout_blocks) | stay


def weights_stay(
    s: MappingProblem, words: int, all_taps: np.ndarray | bool, all_cout_blocks: np.ndarray | bool,
    weights_outer: bool,
) -> np.ndarray:  # fmt: skip
    """Whether a block of weights stays until no tile of pixels needs it any more.

    words : of weights, of all tiles of a unit. all_taps, all_cout_blocks : a tile has them.
    """
    once = np.asarray(all_taps) & (np.asarray(all_cout_blocks) | weights_outer)
    return once | (words <= s.shape.weight_words // 2)


def _splits(length: int, most: int = 64) -> list[int]:
    """Sizes of equal parts, each number of parts once: the largest first."""
    sizes = {ceil_div(length, parts) for parts in range(1, min(length, most) + 1)}
    return sorted(sizes | {1}, reverse=True)


def _tap_blocks(taps: Taps, whole_kernel: bool) -> list[tuple[int, int, int]]:
    """All taps, then fewer rows, columns, cin blocks: inner ones are cut only where outer ones are.

    ``whole_kernel`` : only cin blocks are cut.
    """
    rows, columns, cin_blocks = taps.counts
    if whole_kernel:
        return [(rows, columns, k) for k in _splits(cin_blocks)]
    blocks = [(r, columns, cin_blocks) for r in _splits(rows)]
    blocks += [(1, c, cin_blocks) for c in _splits(columns)[1:]]
    return blocks + [(1, 1, k) for k in _splits(cin_blocks)[1:]]


def _best(
    s: MappingProblem, room: int, split: Split, weights_outer: bool, stationarity: Stationarity
) -> Iterator[Tiling]:
    """The best tiling with one stationarity, if there is one. All candidates at once, as arrays."""
    shape, task = s.shape, s.task
    height, most = s.part(split)
    width = s.size[1]
    if weights_outer and not s.y_on_chip and most > 1:
        return  # channels of a pixel leave together
    taps = s.taps_in(stationarity)
    tap_blocks = _tap_blocks(taps, scatters(stationarity, s.size))
    spatial_options = (
        [times * n for n in _splits(size // times)]
        for size, times in zip((height, width), task.repeat, strict=True)
    )
    options = [*spatial_options, _splits(most), range(len(tap_blocks))]
    axes = np.meshgrid(*(np.array(o, np.int64) for o in options), indexing="ij")
    rows, columns, cout_blocks, part = (a.ravel() for a in axes)
    blocks = np.array(tap_blocks)[part]
    words = blocks.prod(axis=1)
    tap_parts = np.prod([ceil_div(n, blocks[:, k]) for k, n in enumerate(taps.counts)], axis=0)
    cout_parts = ceil_div(most, cout_blocks)
    parts = tap_parts * cout_parts
    has_weights = task.weights is not None
    held = np.minimum(parts, s.resident)
    fits = (cout_blocks * words * held <= shape.weight_words) | (not has_weights)
    if task.softmax is None:
        held = cout_blocks * np.minimum(cout_parts, 2)
        fits &= (held <= shape.parameter_words) | s.one_word
    else:
        fits &= cout_parts == 1
    strips = (ceil_div(height, rows), ceil_div(width, columns))
    candidates = Candidates(
        task, shape, s.y, (height, width), most, taps.words, taps.counts[2], taps.rows,
        rows, columns, cout_blocks, strips, tap_parts, cout_parts,
    )  # fmt: skip
    fits &= psums_needed(stationarity, candidates) <= shape.psum_words
    if stationarity is Stationarity.INPUT:
        fits &= cout_parts == 1  # else ifmap words came again for the other cout blocks
    fits &= (tap_parts == 1) | (task.operand is not Operand.DEPTHWISE_WINDOW)

    buffers = _buffers(s, split, rows, columns, weights_outer & (cout_parts > 1))
    if s.slabs:
        buffers |= _slabs(s, cout_blocks, blocks)
    need = sum(buffers[name] for name in ("x_bytes", "y_bytes", "second_bytes"))
    fits &= need <= room
    fits &= _describable(s, stationarity, candidates, blocks, buffers)
    if not fits.any():
        return
    if s.slabs:
        ifmap = _slabs_read(s, cout_blocks, blocks, cout_parts)
    else:
        ifmap = _ifmap_read(s, split, rows, columns, parts if weights_outer else 1, buffers)
    constants = _constants_read(s, candidates, weights_outer)
    cycles, read = _cost(s, split, stationarity, candidates, constants, ifmap)
    moved = bytes_needed(stationarity, candidates)
    if has_weights:
        own = len(s.shares(split)) if split is Split.OUTPUTS else 1
        late = np.maximum(0, cout_blocks * words - shape.weight_words // s.early) * own
        cycles = cycles + late * s.weight_word_bytes((0, s.cout_blocks)) / shape.bus_bytes
    cycles, read = np.where(fits, cycles, np.inf), np.where(fits, read, np.inf)
    traffic = np.where(cycles <= (1 + SLACK) * cycles.min(), read + BUFFER_ENERGY * moved, np.inf)
    n = np.lexsort((np.asarray(need), cycles, traffic))[0]
    size = {name: int(values[n]) for name, values in buffers.items()}
    kernel_rows, kernel_columns, cin_blocks = (int(b) for b in blocks[n])
    yield Tiling(
        split, int(rows[n]), int(columns[n]), int(cout_blocks[n]),
        (kernel_rows, kernel_columns, cin_blocks), weights_outer, **size,
        cycles=float(cycles[n]), read_bytes=float(read[n]), stationarity=stationarity,
        buffer_bytes=float(moved[n]), least=float(cycles.min()),
    )  # fmt: skip


def _buffers(
    s: MappingProblem, split: Split, rows: np.ndarray, columns: np.ndarray, again: np.ndarray
) -> dict[str, np.ndarray]:
    """Rings and buffers, in each unit, of tensors that do not stay; bytes of a bank.

    again : where all tiles of pixels come a second time, for other weights.
    """
    width = s.x.shape[1]
    down, across = s.task.stride
    strips = ceil_div(s.size[1], columns)
    steps_down, steps_across = rows // s.task.repeat[0], columns // s.task.repeat[1]
    x_columns = np.minimum(width, (steps_across - 1) * across + s.dilated_kernel[1])
    span = (steps_down - 1) * down + s.dilated_kernel[0]
    # With one strip a tile shares rows with the one above; behind a strip comes the next one. Rows
    # that no window reads have their places too.
    fresh = np.where(strips > 1, np.maximum(span, steps_down * down), steps_down * down)
    # Where the last tile is followed by the first one, these two share nothing.
    jump = np.where(again & (s.resident > 1), np.maximum(span - fresh, 0), 0)
    ring = _whole(span + (s.resident - 1) * fresh + jump)
    ring = np.where(strips > 1, ring, np.minimum(ring, _whole(np.array(s.x_rows(split)))))
    y_rows = _whole(rows)
    zero = np.zeros_like(rows)
    held = np.minimum(s.resident, ceil_div(s.part(split)[0], rows) * strips)
    kept = held * y_rows // BANKS * columns
    second = kept * s.second.pixel if s.second is not None and not s.second_on_chip else zero
    return {
        "x_ring": ring,
        "x_columns": x_columns,
        "y_rows": y_rows,
        "x_bytes": zero if s.x_on_chip else ring // BANKS * x_columns * s.x.pixel,
        "y_bytes": zero if s.y_on_chip else kept * s.y.pixel,
        "second_bytes": second,
    }


def _slabs(s: MappingProblem, cout_blocks: np.ndarray, blocks: np.ndarray) -> dict[str, np.ndarray]:
    """The ifmap's buffers where it is held in slabs: those of some rows and channels."""
    depth = _depth(s, cout_blocks)
    several = (blocks[:, 0] < s.task.kernel[0]) | (depth < s.x.shape[2])
    ring = _whole(blocks[:, 0]) * np.where(several, s.resident, 1)
    return {"x_ring": ring, "x_bytes": ring // BANKS * s.x.span(depth)}


def _depth(s: MappingProblem, cout_blocks: np.ndarray) -> np.ndarray:
    """Channels of a slab."""
    channels = s.x.shape[2]
    if s.task.operand is Operand.DEPTHWISE:
        return np.minimum(cout_blocks * s.shape.pe, channels)
    return np.full_like(cout_blocks, channels)


def _slabs_read(
    s: MappingProblem, cout_blocks: np.ndarray, blocks: np.ndarray, cout_parts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As _ifmap_read. Where all channels are summed, each block of weights takes every slab."""
    again = (blocks[:, 0] < s.task.kernel[0]) & (s.task.operand is Operand.DENSE)
    slab = blocks[:, 0] * s.x.span(_depth(s, cout_blocks))
    return s.x.bytes * np.where(again, cout_parts, 1), slab


def _ifmap_read(
    s: MappingProblem, split: Split, rows: np.ndarray, columns: np.ndarray, times: np.ndarray | int,
    buffers: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Bytes of the ifmap read in all, and before the first tile; ``times`` : how often."""
    if s.x_on_chip:
        return np.zeros_like(rows), np.zeros_like(rows)
    borders = len(s.shares(split)) - 1 if split is Split.ROWS else 0
    # Both units at a border read the rows that their windows share.
    height = s.x.shape[0] + borders * max(0, s.dilated_kernel[0] - s.task.stride[0])
    strips = ceil_div(s.size[1], columns)
    row_bytes = buffers["x_columns"] * s.x.pixel
    span = (rows // s.task.repeat[0] - 1) * s.task.stride[0] + s.dilated_kernel[0]
    whole = (buffers["x_ring"] >= s.x_rows(split)) & (buffers["x_columns"] == s.x.shape[1])
    read = strips * row_bytes * height * np.where(whole, 1, times)
    return read, np.minimum(span, s.x.shape[0]) * row_bytes


def _describable(
    s: MappingProblem,
    stationarity: Stationarity,
    c: Candidates,
    blocks: np.ndarray,
    buffers: dict[str, np.ndarray],
) -> np.ndarray:
    """Whether the fields of descriptors hold counts, steps back, rings and pitches."""
    (down, across), (kernel_rows, kernel_columns) = s.task.stride, s.dilated_kernel
    rows, columns = c.rows, c.columns
    back = (rows - 1) * down + kernel_rows
    scattered = scatters(stationarity, s.size)
    window = s.task.operand is Operand.DEPTHWISE_WINDOW or scattered
    across_steps = (columns - 1) * across + kernel_columns if window else columns
    down_steps = back if scattered else rows
    counts = np.max([down_steps, across_steps, c.cout_blocks, blocks.max(axis=1)], axis=0)
    rings = np.maximum(buffers["x_ring"], s.resident * buffers["y_rows"])
    pitch = buffers["x_columns"] * s.x.pixel * (not s.x_on_chip)
    pitch = np.maximum(pitch, columns * s.y.pixel * (not s.y_on_chip))
    return (
        (counts <= COMPUTE.most("loop0_count")) & (back <= COMPUTE.most("loop0_row"))
        & (rings <= COMPUTE.most("x_ring")) & (pitch <= COMPUTE.most("x_pitch"))
    )  # fmt: skip


def _whole(rows: np.ndarray) -> np.ndarray:
    return ceil_div(rows, BANKS) * BANKS


def _cost(
    s: MappingProblem, split: Split, stationarity: Stationarity, c: Candidates,
    constants: np.ndarray, ifmap: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Cycles, roughly, and bytes read from external memory.

    constants : bytes of weights and parameters that are read; ifmap : see _ifmap_read. The steps
    are those of the unit that has most; all units' bytes go over the one port.
    """
    shape, task = s.shape, s.task
    units, (height, width), cout_blocks = len(s.shares(split)), c.size, c.unit_cout_blocks
    at_once = units if split is Split.ROWS else 1
    rows, columns, (_, strips) = c.rows, c.columns, c.spatial
    spatial, parts = c.tiles, c.tap_parts * c.cout_parts
    if task.operand is Operand.DEPTHWISE_WINDOW:
        work = height * cout_blocks * (width * task.stride[1] + strips * 2)
        work = np.maximum(work, height * width * cout_blocks * c.rate)
    elif task.softmax is not None:
        work = np.full_like(rows, softmax_cycles([height, width], 1, task.outputs))
    else:
        work = cycles_needed(stationarity, c)
    work = work + spatial * parts * OVERHEAD
    second = 0 if s.second is None or s.second_on_chip else s.second.bytes
    program = units * spatial * parts * ((COMPUTE.size + 2 * TRANSFER.size) // 8)
    end = 0 if s.y_on_chip else rows * columns * s.y.pixel
    bus = shape.bus_bytes
    written = 0 if s.y_on_chip else s.y.bytes
    if s.by_columns(split):
        # A unit's channels of a pixel are a row of their own in external memory.
        part = ceil_div(s.y.span(cout_blocks * shape.pe), bus) + 1
        written = max(written, height * width * units * part * bus)
        work = work + spatial * columns * units * STORE_OVERHEAD
        program = program + units * spatial * (columns - 1) * (TRANSFER.size // 8)
    read = ifmap[0] + constants + second + program + s.borders
    # A buffer is free for another tile when it has been filled, used and, an ofmap's, stored.
    moved = np.maximum(ifmap[0] / spatial, end * at_once) / bus
    round_trips = work + spatial * (ROUND_TRIP + moved)
    rounds = round_trips * (not (s.x_on_chip and s.y_on_chip))
    cycles = np.maximum(np.maximum(work, rounds / s.resident), np.maximum(read, written) / bus)
    # Rows at borders are stored by one unit, then loaded by another one.
    exchange = 2 * s.borders / bus + ROUND_TRIP * (s.borders > 0)
    cycles = cycles + (ifmap[1] + end) * at_once / bus + exchange
    return cycles.astype(np.float64), np.asarray(read, np.float64)


def refuse(problem: MappingProblem, room: int) -> UserError:
    """The error where no tiling fits."""
    shape = problem.shape
    return UserError(
        f"not even its smallest tile fits the buffers ({max(0, room) * BANKS} bytes of feature "
        f"maps, {shape.weight_words} words of weights, {shape.psum_words} of psums)",
        layer=problem.task.name,
        hint="give more with --buffer-kib",
    )
