"""The geometry of a tile: how its taps are folded on the array, and where its tensors lie."""

from __future__ import annotations

from dataclasses import dataclass

from ....contract.engine import BANKS, EngineShape
from ....contract.features import Feature
from ....contract.isa import WINDOW_TAPS, Operand, row_lanes
from ....numeric import ceil_div
from ..network.tasks import Stored, Task
from .stationarity import Stationarity

Range = tuple[int, int]


@dataclass(frozen=True)
class Taps:
    """The words of weights of a cout block: (kernel rows, kernel columns, cin blocks).

    across : bytes from one step of the kernel's columns to the next; 1 column where a row of the
    kernel is contiguous in memory, and its cin blocks go over all of its columns. lanes : bytes of
    a row that a word takes; rows : of the kernel, one below the other, that it takes them of.
    """

    counts: tuple[int, int, int]
    across: int
    lanes: int = 1
    rows: int = 1

    @property
    def words(self) -> int:
        """Number of these words."""
        return self.counts[0] * self.counts[1] * self.counts[2]


def taps_of(task: Task, x: Stored, shape: EngineShape, apart: bool = False) -> Taps:
    """How a task's taps are folded on the array.

    ``apart`` : words of weights are those of one place of the kernel, always. Else a kernel whose
    rows are short shares the lanes among as many of its rows as make its words the fewest.
    """
    rows, columns = task.kernel
    if task.operand is Operand.DEPTHWISE_WINDOW:
        return Taps((1, 1, 1), 0)
    across = task.dilation[1] * x.pixel
    if task.operand is Operand.DEPTHWISE:
        return Taps((rows, columns, 1), across)
    if columns > 1 and (task.dilation[1] > 1 or apart):
        return Taps((rows, columns, ceil_div(x.depth, shape.simd)), across, shape.simd)
    one_row = apart or task.dilation[0] > 1 or not shape.has(Feature.TAP_ROWS)
    most = 1 if one_row else min(BANKS, rows)
    folded = []
    for at_once in range(1, most + 1):
        lanes = row_lanes(shape.simd, at_once - 1)
        if lanes * shape.stored_bits % 8 == 0:
            blocks = ceil_div(columns * x.depth, lanes)
            folded.append(Taps((ceil_div(rows, at_once), 1, blocks), 0, lanes, at_once))
    return min(folded, key=lambda taps: taps.words)


def suits_window(task: Task, shape: EngineShape) -> bool:
    """Whether a depthwise task can take a window a cycle."""
    return (
        shape.has(Feature.WINDOW)
        and task.operand is Operand.DEPTHWISE
        and task.weights is not None
        and max(task.kernel) <= WINDOW_TAPS
        and max(task.dilation) == 1
        and task.stride[1] <= WINDOW_TAPS
    )


@dataclass(frozen=True)
class View:
    """Where rows of a tensor lie in the feature memory.

    base : of ring row 0, in its bank; pitch : bytes from row to row of a bank; ring : rows held;
    first : the tensor's row that lies in ring row 0; columns, channels : of the tensor, those that
    are there.
    """

    base: int
    pitch: int
    ring: int
    first: int
    columns: Range
    channels: Range

    @property
    def depth(self) -> int:
        """Channels that are there."""
        return self.channels[1] - self.channels[0]

    def ring_row(self, row: int) -> int:
        """The ring row of one of the tensor's rows, which may lie outside it."""
        return (row - self.first) % self.ring


@dataclass(frozen=True)
class Tile:
    """A part of a task: output rows and columns, blocks of output channels, taps.

    taps : ranges of kernel rows, kernel columns and cin blocks. accumulate : sums begin with those
    of the tile before. no_writeback : they are left to the tile behind, and give no results.
    """

    rows: Range
    columns: Range
    cout_blocks: Range
    taps: tuple[Range, Range, Range]
    accumulate: bool = False
    no_writeback: bool = False
    stationarity: Stationarity = Stationarity.OUTPUT
