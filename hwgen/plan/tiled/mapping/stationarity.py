"""Stationarity: which operand stays at the array while the others pass, by the order of loops.

What it needs and costs is given for arrays of candidates at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ....aliases import Array
from ....contract.engine import EngineShape
from ....contract.isa import Operand
from ..network.tasks import Stored, Task
from ..timing.pipeline import Pipeline


class Stationarity(StrEnum):
    """What stays at the array, which is an order of a tile's loops.

    OUTPUT : the sum, all its taps one after the other. WEIGHT : a word of weights, all pixels of
    the tile one after the other. INPUT : an ifmap word, for everything in the tile that it adds to.
    """

    OUTPUT = "output"
    WEIGHT = "weight"
    INPUT = "input"


def suits(stationarity: Stationarity, task: Task, size: tuple[int, int]) -> bool:
    """Whether a task with an ofmap of these rows and columns can have it.

    A window that steps by more than one pixel takes other taps at every pixel: then no loops give
    what an ifmap value adds to.
    """
    if stationarity is Stationarity.OUTPUT:
        return True
    if task.weights is None or task.operand is Operand.DEPTHWISE_WINDOW or task.repeat != (1, 1):
        return False
    steady = all(s == 1 or k == 1 for s, k in zip(task.stride, task.kernel, strict=True))
    return stationarity is Stationarity.WEIGHT or steady or size == (1, 1)


def scatters(stationarity: Stationarity, size: tuple[int, int]) -> bool:
    """Whether loops over the pixels of the ifmap add to the sums of many outputs."""
    return stationarity is Stationarity.INPUT and size != (1, 1)


def margins(task: Task) -> tuple[int, int]:
    """Rows and columns that a tile's ifmap has more than its ofmap, at a step of one pixel."""
    (rows, columns), (down, across) = task.kernel, task.dilation
    return (rows - 1) * down, (columns - 1) * across


@dataclass(frozen=True)
class Candidates:
    """Tilings of one task, as arrays of their numbers.

    y, size : the ofmap, and the rows and columns of it that a tile unit makes.
    unit_cout_blocks, words : blocks of output channels that it makes, and words of weights of one.
    rows, columns, cout_blocks : of a tile. spatial : rows and columns of tiles. tap_parts : into
    how many tiles the taps are cut; cout_parts : the cout blocks. cin_blocks : words of weights of
    a place of the kernel. tap_rows : rows of the ifmap that a step takes.
    """

    task: Task
    shape: EngineShape
    y: Stored
    size: tuple[int, int]
    unit_cout_blocks: int
    words: int
    cin_blocks: int
    tap_rows: int
    rows: Array
    columns: Array
    cout_blocks: Array
    spatial: tuple[Array, Array]
    tap_parts: Array
    cout_parts: Array

    @property
    def pixels(self) -> int:
        """Pixels of the ofmap that a tile unit makes."""
        return self.size[0] * self.size[1]

    @property
    def tiles(self) -> Array:
        """Tiles of pixels."""
        return self.spatial[0] * self.spatial[1]

    @property
    def steps(self) -> int:
        """Steps of the array, where every step is useful."""
        return self.pixels * self.unit_cout_blocks * self.words

    @property
    def rate(self) -> int:
        """Cycles that a word of results takes."""
        return Pipeline.of(self.shape).cycles(self.y.wide, self.task.tables is not None)

    @property
    def scanned(self) -> Array:
        """Pixels of the ifmaps of all tiles."""
        (height, width), (down, across) = self.size, margins(self.task)
        return (height + self.spatial[0] * down) * (width + self.spatial[1] * across)


def psums_needed(stationarity: Stationarity, c: Candidates) -> Array:
    """Words of psums that are held at a time."""
    tile = c.rows * c.columns
    if scatters(stationarity, c.y.shape[:2]):
        down, across = margins(c.task)
        return (c.rows + down) * (c.columns + across) * c.cout_blocks
    if stationarity is Stationarity.INPUT:
        return tile * c.cout_blocks
    within = tile if stationarity is Stationarity.WEIGHT and c.words > 1 else 0 * tile
    return np.where(c.tap_parts > 1, tile * c.cout_blocks, within)


def cycles_needed(stationarity: Stationarity, c: Candidates) -> Array:
    """Cycles of the array, without those between tiles."""
    rate, results = c.rate, c.pixels * c.unit_cout_blocks
    zero = 0 * c.rows
    if stationarity is Stationarity.OUTPUT or (
        c.words == 1 and stationarity is Stationarity.WEIGHT
    ):
        return zero + max(c.steps, results * rate)
    if stationarity is Stationarity.WEIGHT:
        return zero + c.steps + results * (rate - 1)  # with the last words sums are finished
    if scatters(stationarity, c.y.shape[:2]):
        taps = c.words // c.cin_blocks
        steps = c.scanned * c.unit_cout_blocks * c.words
        return steps + results * np.maximum(0, rate - taps)
    return zero + c.steps + results * (rate - 1)


def bytes_needed(stationarity: Stationarity, c: Candidates) -> Array:
    """Bytes between the buffers and the array, padding counted as if it were read."""
    steps, results, zero = c.steps, c.pixels * c.unit_cout_blocks, 0 * c.rows
    ifmaps, weights = zero + steps * c.tap_rows, zero + steps
    psums = results * (c.tap_parts - 1)
    if stationarity is Stationarity.WEIGHT or c.words == 1:
        weights = c.tiles * c.unit_cout_blocks * c.words
        psums = zero + results * (c.words - 1)
    elif scatters(stationarity, c.y.shape[:2]):
        cout_blocks = c.cout_parts if c.task.operand is Operand.DENSE else c.unit_cout_blocks
        ifmaps = c.scanned * c.cin_blocks * cout_blocks
        weights = c.scanned * c.unit_cout_blocks * c.words
        psums = c.scanned * c.unit_cout_blocks * (c.words - 1)
    elif stationarity is Stationarity.INPUT:
        ifmaps = c.words * c.tap_rows * c.cout_parts
        psums = np.where(c.cout_blocks > 1, results * (c.words - 1), psums)
    stored = c.shape.weight_word_bytes if c.task.weights is not None else 0
    return ifmaps * c.shape.word + weights * stored + psums * 2 * c.shape.psum_word_bytes
