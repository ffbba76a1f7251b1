"""The steps of a task: tiles in their order, what each needs, what is stored once it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ...descriptors import BANKS, TABLE_WORDS, EngineShape, Target
from . import image
from .loops import Range, Tile, Values, View, taps_of
from .placement import Placement
from .tasks import Stored
from .tiling import Split, Turn, turns, x_rows


@dataclass
class Load:
    """What a step needs. after : the step that must be in the program before it; -1: none.

    units : that it goes to, a bit for each. key, words : of a block of a memory that is shared out
    as the program is written; else ``values`` says where it goes.
    """

    target: Target
    values: Values
    units: int
    after: int = -1
    key: tuple = ()
    words: int = 0
    task: int = 0


@dataclass
class Step:
    """A tile of a unit, what it needs, and what is stored once it is done.

    keys : of the blocks of constants that it reads.
    """

    task: int
    unit: int
    tile: Tile
    views: tuple[View, View, View | None]
    loads: list[Load]
    keys: dict[Target, tuple]
    stores: list[Values] = field(default_factory=list)


class Constants:
    """Bytes that do not change, each block at a multiple of a beat."""

    def __init__(self, shape: EngineShape) -> None:
        self._parts: list[np.ndarray] = []
        self._size, self._align = 0, max(shape.bus_bytes, 32)

    def add(self, data: np.ndarray) -> int:
        """Where the bytes lie."""
        place = self._size
        padded = -(-len(data) // self._align) * self._align
        self._parts.append(np.pad(data, (0, padded - len(data))))
        self._size += padded
        return place

    def bytes(self) -> np.ndarray:
        """All of them."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0, np.uint8)


@dataclass
class Layout:
    """Where everything lies, as far as the program is made.

    tensors : offsets of those in external memory. first_steps : of each task. last_steps : of the
    task that makes a tensor.
    """

    placement: Placement
    constants: Constants
    tensors: Mapping[str, int]
    first_steps: list[int] = field(default_factory=list)
    last_steps: dict[str, int] = field(default_factory=dict)

    def view(self, tensor: Stored) -> View:
        """Of a tensor that stays on chip."""
        region = self.placement.regions[tensor.name]
        ring = -(-tensor.shape[0] // BANKS) * BANKS
        return View(region.start, tensor.row_bytes, ring, 0, (0, tensor.shape[1]))


@dataclass
class _Ring:
    """The rows of the ifmap in a unit, or in all of them where all are given the same.

    Places in the ring are taken one after the other, whatever strip or pass rows belong to:
    counter : those taken. first : the row that lies in place 0. loaded : the row behind the last
    one that is there. strip : what the rows belong to. round : of the last tile.
    """

    counter: int = 0
    first: int = 0
    loaded: int = 0
    strip: tuple[Range, int | None] | None = None
    round: int = -1


class TaskSteps:
    """The steps of one task, whose first has the number ``first_step`` in the program."""

    def __init__(self, layout: Layout, number: int, first_step: int) -> None:
        self.layout, self.number, self.first_step = layout, number, first_step
        self.s = situation = layout.placement.situations[number]
        self.tiling = tiling = layout.placement.tilings[number]
        self.taps = taps_of(situation.task, situation.x, situation.shape)
        self.shares = situation.shares(tiling.split)
        self._blocks: dict[tuple[Range, tuple], int] = {}
        task, shape = situation.task, situation.shape
        if task.weights is not None:
            self._words = image.weight_words(task, situation.x, shape)
        self._parameters = image.parameter_words(task.requant, task.outputs, shape)
        # Blocks that are used again for the next tile of pixels stay where that is possible.
        whole = tiling.taps == self.taps.counts
        _, groups = situation.part(tiling.split)
        once = whole and (tiling.weights_outer or tiling.groups == groups)
        all_words = groups * self.taps.words
        self._weights_stay = once or all_words <= shape.weight_words // 2
        self._parameters_stay = (
            once or tiling.weights_outer or tiling.groups == groups
            or groups <= shape.parameter_words // 2
        )  # fmt: skip
        self._parameter_place: dict[Range, int] = {}
        self._tables: int | None = None
        by_rows = tiling.split is Split.ROWS
        rings = [_Ring() for _ in self.shares] if by_rows else [_Ring()] * len(self.shares)
        self._rings = rings
        self._all = (1 << len(self.shares)) - 1
        self._round_steps: list[int] = []

    def steps(self) -> Iterator[Step]:
        """In their order."""
        order = list(turns(self.s, self.tiling))
        keys = [self._keys(turn) for turn in order]
        users: dict[tuple[Target, tuple], int] = {}
        for turn, mine in zip(order, keys, strict=True):
            for block in mine.items():
                users[block] = users.get(block, 0) | 1 << turn.unit
        for n, (turn, mine) in enumerate(zip(order, keys, strict=True)):
            if turn.round == len(self._round_steps):
                self._round_steps.append(self.first_step + n)
            ring, loads = self._rings[turn.unit], []
            new, ring.round = turn.round != ring.round, turn.round
            x = self._x(turn, ring, new, loads)
            second = self._second(turn, new, loads)
            y = self._y(turn)
            loads += [self._constants(turn, block, users[block]) for block in mine.items()]
            for load in loads:
                load.task = self.number
            step = Step(self.number, turn.unit, turn.tile, (x, y, second), loads, mine)
            if not self.s.y_stays and turn.last:
                step.stores += self._stores(turn, y)
            yield step

    def _receivers(self, turn: Turn) -> int:
        """The units that an operand of a turn goes to."""
        return 1 << turn.unit if self.tiling.split is Split.ROWS else self._all

    def _x(self, turn: Turn, ring: _Ring, new: bool, loads: list[Load]) -> View:
        """The view of the ifmap; rows that are not there yet are loaded."""
        s, t, tile = self.s, self.tiling, turn.tile
        if s.x_stays:
            return self.layout.view(s.x)
        height, width, channels = s.x.shape
        (top, _), (left, _) = s.task.pads
        rows = needed(tile.rows, s.task.stride[0], top, s.reach[0], height)
        columns = needed(tile.columns, s.task.stride[1], left, s.reach[1], width)
        whole = t.x_ring >= x_rows(s, t.split) and columns == (0, width)
        strip = (columns, None if whole or not t.weights_outer else turn.block)
        if strip != ring.strip:
            ring.strip, ring.first, ring.loaded = strip, rows[0] - ring.counter, rows[0]
        region = self.layout.placement.regions[f"x{self.number}"]
        view = View(region.start, t.x_columns * channels, t.x_ring, ring.first, columns)
        begin, end = max(rows[0], ring.loaded), rows[1]
        if new and end > begin:
            values = self._rows(s.x, view, (begin, end), columns)
            after = self._after(s.x, turn.round, region.begin)
            loads.append(Load(Target.FEATURES, values, self._receivers(turn), after))
            # Rows between tiles are left out, not their places.
            ring.counter, ring.loaded = end - ring.first, end
        return view

    def _after(self, tensor: Stored, number: int, begin: int) -> int:
        """The step after which what a round of tiles needs of a tensor may be loaded.

        The tensor must be complete; its buffer exists from task ``begin`` on, and then is taken
        over from an earlier round.
        """
        complete = self.layout.last_steps.get(tensor.name, -1)
        if number >= self.s.resident:
            return max(complete, self._round_steps[number - self.s.resident + 1] - 1)
        return max(complete, self.layout.first_steps[begin] - 1)

    def _rows(
        self, tensor: Stored, view: View, rows: Range, columns: Range, channels: Range | None = None
    ) -> Values:
        """A transfer of rows of a tensor in external memory; of some channels of one column."""
        pixel = tensor.shape[2] * tensor.size
        place = self.layout.tensors[tensor.name]
        skip, size = 0, (columns[1] - columns[0]) * pixel
        if channels is not None:
            skip, size = (n * tensor.size for n in (channels[0], channels[1] - channels[0]))
        return {
            "address": place + rows[0] * tensor.row_bytes + columns[0] * pixel + skip,
            "pitch": tensor.row_bytes,
            "rows": rows[1] - rows[0],
            "bytes": size,
            "base": view.base + (columns[0] - view.columns[0]) * pixel + skip,
            "bank_pitch": view.pitch,
            "ring": view.ring,
            "first": view.ring_row(rows[0]),
            "external": 1,
        }

    def _buffer(self, kind: str, turn: Turn, pixel: int) -> View:
        """One of the buffers of tiles."""
        region = self.layout.placement.regions[f"{kind}{self.number}"]
        rows, resident = self.tiling.y_rows, self.s.resident
        return View(
            region.start, self.tiling.columns * pixel, rows * resident,
            turn.tile.rows[0] - turn.round % resident * rows, turn.tile.columns,
        )  # fmt: skip

    def _y(self, turn: Turn) -> View:
        if self.s.y_stays:
            return self.layout.view(self.s.y)
        return self._buffer("y", turn, self.s.y.shape[2] * self.s.y.size)

    def _second(self, turn: Turn, new: bool, loads: list[Load]) -> View | None:
        second = self.s.second
        if second is None:
            return None
        if self.s.second_stays:
            return self.layout.view(second)
        view = self._buffer("second", turn, second.shape[2])
        if new:
            after = self._after(second, turn.round, self.number)
            values = self._rows(second, view, turn.tile.rows, turn.tile.columns)
            loads.append(Load(Target.FEATURES, values, self._receivers(turn), after))
        return view

    def _stores(self, turn: Turn, view: View) -> list[Values]:
        """Of a tile's pixels with all channels of the unit: whole pixels leave by rows, others each
        column by itself."""
        task, y, tile = self.s.task, self.s.y, turn.tile
        pe = self.s.shape.pe
        first, last = self.shares[turn.unit][1]
        channels = (task.channel + first * pe, task.channel + min(task.outputs, last * pe))
        if channels == (0, y.shape[2]):
            return [self._rows(y, view, tile.rows, tile.columns)]
        columns = range(*tile.columns)
        return [self._rows(y, view, tile.rows, (c, c + 1), channels) for c in columns]

    def _keys(self, turn: Turn) -> dict[Target, tuple]:
        """Of the blocks of constants that a tile reads."""
        task, groups, taps = self.s.task, turn.tile.groups, turn.tile.taps
        keys: dict[Target, tuple] = {}
        if task.weights is not None:
            stay = 0 if self._weights_stay else turn.round
            keys[Target.WEIGHTS] = (self.number, groups, taps, stay)
        if not turn.tile.hold:
            stay = 0 if self._parameters_stay else turn.round
            keys[Target.PARAMETERS] = (self.number, groups, stay)
        if task.tables is not None:
            keys[Target.TABLES] = (self.number,)
        return keys

    def _constants(self, turn: Turn, block: tuple[Target, tuple], units: int) -> Load:
        """The load of a block of constants."""
        (target, key), shape = block, self.s.shape
        groups, taps = turn.tile.groups, turn.tile.taps
        count = groups[1] - groups[0]
        if target is Target.WEIGHTS:
            words = count * int(np.prod([b - a for a, b in taps]))
            place, size = self._block(groups, taps), words * shape.weight_bytes
        elif target is Target.PARAMETERS:
            if groups not in self._parameter_place:
                data = self._parameters[groups[0] : groups[1]].reshape(-1)
                self._parameter_place[groups] = self.layout.constants.add(data)
            place, words = self._parameter_place[groups], count
            size = count * shape.parameter_bytes
        else:
            if self._tables is None:
                assert self.s.task.tables is not None
                data = image.table_bytes(self.s.task.tables)
                self._tables = self.layout.constants.add(data)
            place, words, size = self._tables, 2, 2 * TABLE_WORDS * 4
        return Load(
            target, {"address": place, "rows": 1, "bytes": size}, units, key=key, words=words
        )

    def _block(self, groups: Range, taps: tuple) -> int:
        if (groups, taps) not in self._blocks:
            data = image.weight_block(self._words, groups, taps)
            self._blocks[groups, taps] = self.layout.constants.add(data)
        return self._blocks[groups, taps]


def needed(out: Range, stride: int, before: int, reach: int, size: int) -> Range:
    """Rows or columns of the ifmap that these of the ofmap read."""
    begin = out[0] * stride - before
    end = (out[1] - 1) * stride - before + reach
    return max(0, min(size - 1, begin)), max(1, min(size, end))
