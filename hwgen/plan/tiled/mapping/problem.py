"""What a tiling is chosen for: a task, its tensors, and what of it each tile unit does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from itertools import pairwise

from ....contract.engine import EngineShape
from ....contract.isa import RECORD, Operand
from ....numeric import ceil_div
from ..network.tasks import Stored, Task
from .stationarity import Stationarity, scatters
from .tile import Range, Taps, Tile, taps_of

LARGEST_SLAB = 256
"""Elements of a slab of a vector."""


class Split(StrEnum):
    """What of a task is dealt out to the tile units, a contiguous range for each."""

    ROWS = "rows"
    """Rows of the ofmap; each unit loads the rows of the ifmap that it needs."""
    OUTPUTS = "outputs"
    """Blocks of output channels; all units are given the same rows of the ifmap."""


@dataclass(frozen=True)
class MappingProblem:
    """What a tiling is chosen for: a task, its tensors, and which of them stay on chip.

    resident : tiles held in each buffer: with 2, one is filled while the other is used. slabs :
    tiles hold a part of the ifmap's rows or channels, not all of what their windows span.
    stationarity : to take, where the task can have it; None: the best one. borders : bytes of
    on-chip tensors that units read, but others compute. early : a block of weights of at most one
    part in so many of their memory is taken to find a place while the task before is at work, so
    that nobody waits for it.
    """

    task: Task
    shape: EngineShape
    x: Stored
    y: Stored
    second: Stored | None
    x_on_chip: bool
    y_on_chip: bool
    second_on_chip: bool
    resident: int = 2
    slabs: bool = False
    stationarity: Stationarity | None = None
    borders: int = 0
    early: int = 4

    def taps_in(self, stationarity: Stationarity) -> Taps:
        """How the taps are folded."""
        apart = self.slabs or scatters(stationarity, self.size)
        return taps_of(self.task, self.x, self.shape, apart)

    @cached_property
    def one_word(self) -> bool:
        """Whether all blocks of output channels have the same parameters."""
        return self.task.requant.alike

    @property
    def one_lane(self) -> bool:
        """Whether only lane 0 has weights."""
        depthwise = self.task.weights is not None and self.task.operand is Operand.DEPTHWISE
        return depthwise and self.shape.takes_one_lane

    def weight_word_bytes(self, cout_blocks: Range) -> int:
        """Bytes of a word of these blocks' weights in external memory; 0 where there are none."""
        if self.task.weights is None:
            return 0
        shape = self.shape
        bits = shape.lane_bits if self.one_lane else shape.simd * shape.weight_bits
        return self._beats(ceil_div(self._outputs(cout_blocks) * bits, 8))

    def parameter_word_bytes(self, cout_blocks: Range) -> int:
        """Bytes of a word of these blocks' parameters in external memory."""
        rows, records = divmod(self._outputs(cout_blocks), self.shape.requantizers)
        row, record = self.shape.parameter_row_bytes, RECORD.size // 8
        return rows * row + self._beats(records * record)

    def _outputs(self, cout_blocks: Range) -> int:
        """Output channels of each of these blocks: in one that stands alone no more than it has."""
        first, last = cout_blocks
        pe = self.shape.pe
        return min(pe, self.task.outputs - first * pe) if last - first == 1 else pe

    def _beats(self, size: int) -> int:
        """Bytes of the whole beats that hold so many."""
        return ceil_div(size, self.shape.bus_bytes) * self.shape.bus_bytes

    @property
    def cout_blocks(self) -> int:
        """Blocks of output channels, ``pe`` each."""
        return ceil_div(self.task.outputs, self.shape.pe)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the ofmap."""
        return self.y.shape[0], self.y.shape[1]

    @property
    def dilated_kernel(self) -> tuple[int, int]:
        """Rows and columns that a window spans."""
        return _dilated(self.task, 0), _dilated(self.task, 1)

    def needs(self, tile: Tile) -> tuple[Range, Range, Range]:
        """Rows, columns and channels of the ifmap that must be there for a tile."""
        if self.slabs:
            channels = 0, self.x.shape[2]
            if self.task.operand is Operand.DEPTHWISE:
                first, last = (g * self.shape.pe for g in tile.cout_blocks)
                channels = first, min(last, channels[1])
            return tile.taps[0], (0, 1), channels
        rows = _spanned(self.task, 0, tile.rows, self.x.shape[0])
        columns = _spanned(self.task, 1, tile.columns, self.x.shape[1])
        return rows, columns, (0, self.x.shape[2])

    @property
    def splits(self) -> tuple[Split, ...]:
        """What can be dealt out. A softmax takes all channels of a pixel, and of tensors on chip
        each unit has rows."""
        second_on_chip = self.second is not None and self.second_on_chip
        on_chip = self.x_on_chip or self.y_on_chip or second_on_chip
        if self.shape.tiles == 1 or self.task.softmax is not None or on_chip:
            return (Split.ROWS,)
        return tuple(Split)

    def shares(self, split: Split) -> list[tuple[Range, Range]]:
        """Rows of the ofmap and cout blocks of each unit with work: no more units than parts."""
        rows, cout_blocks, units = (0, self.size[0]), (0, self.cout_blocks), self.shape.tiles
        if split is Split.OUTPUTS:
            return [(rows, part) for part in parts_of(self.cout_blocks, units)]
        return [(part, cout_blocks) for part in row_parts(self.task, self.size[0], units)]

    def part(self, split: Split) -> tuple[int, int]:
        """Rows and cout blocks of the unit that has most work, which is the first."""
        (first, last), (begin, end) = self.shares(split)[0]
        return last - first, end - begin

    def x_rows(self, split: Split) -> int:
        """Rows of the ifmap that a unit needs, at most."""
        steps = self.part(split)[0] // self.task.repeat[0]
        return min(self.x.shape[0], (steps - 1) * self.task.stride[0] + self.dilated_kernel[0])

    def by_columns(self, split: Split) -> bool:
        """Whether results leave each column by itself: a unit has some channels of a pixel only."""
        some = self.part(split)[1] < self.cout_blocks or self.task.outputs < self.y.shape[2]
        return some and not self.y_on_chip

    def in_slabs(self) -> MappingProblem | None:
        """The same work with the ifmap as one column of pixels, of which each tile holds a slab.

        That is for tasks that make one pixel of the whole ifmap, which may be larger than the
        memory; None for others.
        """
        task, (rows, columns, channels) = self.task, self.x.shape
        whole = self.size == (1, 1) and task.kernel == (rows, columns) and task.dilation == (1, 1)
        if not whole or self.x_on_chip or any(any(pads) for pads in task.pads):
            return None
        pixels, depth = rows * columns, channels
        if pixels == 1 and task.operand is Operand.DENSE:
            depth = _slab(channels, self.shape.simd)
            pixels = channels // depth
        weights = task.weights
        if weights is not None:
            weights = weights.reshape(pixels, 1, -1, weights.shape[3])
        operand = Operand.DENSE if task.operand is Operand.DENSE else Operand.DEPTHWISE
        return replace(
            self,
            task=replace(task, kernel=(pixels, 1), operand=operand, weights=weights),
            x=replace(self.x, shape=(pixels, 1, depth)),
            slabs=True,
        )


def parts_of(length: int, most: int) -> list[Range]:
    """Contiguous parts whose sizes differ by one at most, the larger first: ``most`` of them, but
    none that is empty."""
    parts = min(length, most)
    small, more = divmod(length, parts)
    ends = [n * small + min(n, more) for n in range(parts + 1)]
    return list(pairwise(ends))


def row_parts(task: Task, height: int, units: int) -> list[Range]:
    """Rows of the ofmap, which has ``height``, of each unit that has work where they are dealt out:
    those that are the same pixels repeated stay together."""
    times = task.repeat[0]
    return [(times * a, times * b) for a, b in parts_of(height // times, units)]


def rows_needed(task: Task, rows: Range, height: int) -> Range:
    """Rows of the ifmap, which has ``height``, that these of the ofmap read, one at least."""
    return _spanned(task, 0, rows, height)


def _dilated(task: Task, axis: int) -> int:
    return (task.kernel[axis] - 1) * task.dilation[axis] + 1


def _spanned(task: Task, axis: int, out: Range, size: int) -> Range:
    """Rows or columns of the ifmap that these of the ofmap read, one at least."""
    times, stride, before = task.repeat[axis], task.stride[axis], task.pads[axis][0]
    begin = out[0] // times * stride - before
    end = (ceil_div(out[1], times) - 1) * stride - before + _dilated(task, axis)
    return max(0, min(size - 1, begin)), max(1, min(size, end))


def _slab(length: int, lanes: int) -> int:
    """Elements of equal slabs of a vector: a multiple of the lanes that divides it."""
    sizes = [n for n in range(lanes, LARGEST_SLAB + 1, lanes) if length % n == 0]
    return max(sizes, default=length)
