"""The jobs of a task: tiles in their order, what each needs, what is stored once it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ....contract.engine import BANKS, EngineShape
from ....contract.isa import Operand, Target
from ....numeric import ceil_div
from ..mapping.descriptor_fields import Values
from ..mapping.on_chip import runs
from ..mapping.placement import Placement
from ..mapping.problem import Split
from ..mapping.tile import Range, Tile, View
from ..mapping.tiling import parameters_stay, weights_stay
from ..network.tasks import Stored
from . import image
from .tile_order import OrderedTile, tile_order


@dataclass
class Load:
    """What a job needs. after : the job that must be in the program before it; -1: none.

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
class TileJob:
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
        padded = ceil_div(len(data), self._align) * self._align
        self._parts.append(np.pad(data, (0, padded - len(data))))
        self._size += padded
        return place

    def bytes(self) -> np.ndarray:
        """The bytes of all blocks."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0, np.uint8)


@dataclass
class Layout:
    """Where everything lies, as far as the program is made.

    tensors : offsets in external memory, of tensors and of rows that units read of others.
    first_jobs : of each task. last_jobs : of the task that makes a tensor. came : rows of
    others that a unit has got, by the tensor on chip and the unit.
    """

    placement: Placement
    constants: Constants
    tensors: Mapping[str, int]
    first_jobs: list[int] = field(default_factory=list)
    last_jobs: dict[str, int] = field(default_factory=dict)
    came: dict[tuple[str, int], set[int]] = field(default_factory=dict)

    def view(self, tensor: Stored, unit: int) -> View:
        """The view of a tensor that stays on chip."""
        region, rows = self.placement.regions[tensor.name], self.placement.on_chip[tensor.name]
        _, width, channels = tensor.shape
        return View(
            region.start, tensor.row_bytes, rows.ring, rows.held[unit][0], (0, width),
            (0, channels),
        )  # fmt: skip


@dataclass
class _Ring:
    """The rows of the ifmap in a unit, or in all of them where all are given the same.

    Places in the ring are taken one after the other, whatever strip or pass rows belong to:
    counter : those taken. first : the row that lies in place 0. loaded : the row behind the last
    one that is there. strip : what the rows belong to. round : of the last tile. begun : the places
    at which the rows of the last rounds begin, of as many as are held. held, slabs : of an ifmap
    in slabs the rows and channels that are there, and the first job of each slab.
    """

    counter: int = 0
    first: int = 0
    loaded: int = 0
    strip: tuple[Range, int | None] | None = None
    round: int = -1
    begun: list[int] = field(default_factory=list)
    held: tuple[Range, Range] | None = None
    slabs: list[int] = field(default_factory=list)


class TaskJobs:
    """The jobs of one task, whose first has the number ``first_job`` in the program."""

    def __init__(self, layout: Layout, number: int, first_job: int) -> None:
        self.layout, self.number, self.first_job = layout, number, first_job
        self.s = problem = layout.placement.problems[number]
        self.tiling = tiling = layout.placement.tilings[number]
        self.taps = problem.taps_in(tiling.stationarity)
        self.shares = problem.shares(tiling.split)
        self._blocks: dict[tuple[Range, tuple], int] = {}
        task, shape = problem.task, problem.shape
        if task.weights is not None:
            self._words = image.weight_words(task, self.taps, shape, problem.one_lane)
        self._parameters = image.parameter_words(task.requant, task.outputs, shape)
        # Blocks that are used again for the next tile of pixels stay where that is possible.
        whole = tiling.taps == self.taps.counts
        _, cout_blocks = problem.part(tiling.split)
        all_cout_blocks, outer = tiling.cout_blocks == cout_blocks, tiling.weights_outer
        self._weights_stay = weights_stay(
            problem, cout_blocks * self.taps.words, whole, all_cout_blocks, outer
        )
        self._parameters_stay = parameters_stay(problem, cout_blocks, all_cout_blocks, outer)
        self._parameter_place: dict[Range, int] = {}
        self._tables = image.table_bytes(task)
        self._table_place: int | None = None
        # Units that are given the same part of the ifmap have the same places in their rings.
        own_slab = problem.slabs and task.operand is Operand.DEPTHWISE
        self._alone = tiling.split is Split.ROWS or own_slab
        units = len(self.shares)
        self._rings = [_Ring() for _ in range(units)] if self._alone else [_Ring()] * units
        self._all = (1 << units) - 1
        self._round_jobs: list[int] = []

    def jobs(self) -> Iterator[TileJob]:
        """The jobs in their order."""
        order = list(tile_order(self.s, self.tiling))
        keys = [self._keys(ordered) for ordered in order]
        users: dict[tuple[Target, tuple], int] = {}
        for ordered, mine in zip(order, keys, strict=True):
            for block in mine.items():
                users[block] = users.get(block, 0) | 1 << ordered.unit
        for n, (ordered, mine) in enumerate(zip(order, keys, strict=True)):
            if ordered.round == len(self._round_jobs):
                self._round_jobs.append(self.first_job + n)
            ring, loads = self._rings[ordered.unit], []
            new, ring.round = ordered.round != ring.round, ordered.round
            x = self._x(ordered, ring, self.first_job + n, new, loads)
            second = self._second(ordered, new, loads)
            y = self._y(ordered)
            loads += [self._constants(ordered, block, users[block]) for block in mine.items()]
            for load in loads:
                load.task = self.number
            job = TileJob(self.number, ordered.unit, ordered.tile, (x, y, second), loads, mine)
            if ordered.last:
                job.stores += self._stores(ordered, y)
            yield job

    def _receivers(self, ordered: OrderedTile) -> int:
        """The units that a part of the ifmap for a tile goes to."""
        return 1 << ordered.unit if self._alone else self._all

    def _x(self, ordered: OrderedTile, ring: _Ring, job: int, new: bool, loads: list[Load]) -> View:
        """The view of the ifmap; rows that are not there yet are loaded."""
        s, t, tile = self.s, self.tiling, ordered.tile
        if s.x_on_chip:
            return self._on_chip(s.x, ordered, s.needs(tile)[0], loads)
        if s.slabs:
            return self._slab(ordered, ring, job, loads)
        width = s.x.shape[1]
        rows, columns, all_channels = s.needs(tile)
        whole = t.x_ring >= s.x_rows(t.split) and columns == (0, width)
        strip = (columns, None if whole or not t.weights_outer else ordered.block)
        if strip != ring.strip:
            ring.strip, ring.first, ring.loaded = strip, rows[0] - ring.counter, rows[0]
        region = self.layout.placement.regions[f"x{self.number}"]
        view = View(
            region.start, t.x_columns * s.x.pixel, t.x_ring, ring.first, columns, all_channels
        )
        if new:
            ring.begun = [*ring.begun, rows[0] - ring.first][-s.resident :]
        begin, end = max(rows[0], ring.loaded), rows[1]
        if new and end > begin:
            values = self._rows(s.x, view, (begin, end), columns)
            after = self._after(s.x, self._round_jobs, ordered.round, region.begin)
            loads.append(Load(Target.FEATURES, values, self._receivers(ordered), after))
            # Rows between tiles are left out, not their places.
            ring.counter, ring.loaded = end - ring.first, end
            assert ring.counter - min(ring.begun) <= t.x_ring, "rows in use would be overwritten"
        return view

    def _on_chip(
        self, tensor: Stored, ordered: OrderedTile, rows: Range, loads: list[Load]
    ) -> View:
        """The view of a tensor on chip; rows that another unit computed are loaded."""
        layout, unit = self.layout, ordered.unit
        view = layout.view(tensor, unit)
        came = layout.came.setdefault((tensor.name, unit), set())
        for run in layout.placement.on_chip[tensor.name].of_others(unit, rows):
            for new in runs(row for row in range(*run) if row not in came):
                came.update(range(*new))
                values = self._rows(tensor, view, new, view.columns)
                after = layout.last_jobs[tensor.name]
                loads.append(Load(Target.FEATURES, values, 1 << unit, after))
        return view

    def _slab(self, ordered: OrderedTile, ring: _Ring, job: int, loads: list[Load]) -> View:
        """The view of a slab of the ifmap, which is loaded unless the tile before had it too."""
        s, t = self.s, self.tiling
        rows, columns, channels = s.needs(ordered.tile)
        new = (rows, channels) != ring.held
        if new:
            ring.held = rows, channels
            ring.slabs.append(job)
        number = len(ring.slabs) - 1
        region = self.layout.placement.regions[f"x{self.number}"]
        span = ceil_div(t.taps[0], BANKS) * BANKS
        depth = t.x_bytes // (t.x_ring // BANKS)
        first = rows[0] - number % (t.x_ring // span) * span
        view = View(region.start, depth, t.x_ring, first, columns, channels)
        if new:
            after = self._after(s.x, ring.slabs, number, region.begin)
            values = self._rows(s.x, view, rows, columns)
            loads.append(Load(Target.FEATURES, values, self._receivers(ordered), after))
        return view

    def _after(self, tensor: Stored, users: list[int], number: int, begin: int) -> int:
        """The job after which what a user (a round of tiles, a slab) needs may be loaded.

        The tensor must be complete; its buffer exists from task ``begin`` on, and then is taken
        over from an earlier user. users : the first job of each.
        """
        complete = self.layout.last_jobs.get(tensor.place, -1)
        if number >= self.s.resident:
            return max(complete, users[number - self.s.resident + 1] - 1)
        return max(complete, self.layout.first_jobs[begin] - 1)

    def _rows(
        self, tensor: Stored, view: View, rows: Range, columns: Range, channels: Range | None = None
    ) -> Values:
        """A transfer of rows of a tensor that lies in external memory.

        channels : that are moved, by default those of the view. Where they are not all, a row is
        one pixel.
        """
        pixel, held = tensor.pixel, tensor.span(view.depth)
        first, last = channels or view.channels
        place = self.layout.tensors[tensor.place]
        start = columns[0] * pixel + tensor.span(first)
        column, skip = columns[0] - view.columns[0], tensor.span(first - view.channels[0])
        return {
            "address": place + rows[0] * tensor.row_bytes + start,
            "pitch": tensor.row_bytes,
            "rows": rows[1] - rows[0],
            "bytes": (columns[1] - columns[0]) * tensor.span(last - first),
            "base": view.base + column * held + skip,
            "bank_pitch": view.pitch,
            "ring": view.ring,
            "first": view.ring_row(rows[0]),
            "external": 1,
        }

    def _buffer(self, kind: str, ordered: OrderedTile, tensor: Stored) -> View:
        """One of the buffers of tiles."""
        region, t = self.layout.placement.regions[f"{kind}{self.number}"], self.tiling
        height, _ = self.s.part(t.split)
        rounds = ceil_div(height, t.rows) * ceil_div(self.s.size[1], t.columns)
        resident = min(self.s.resident, rounds)
        return View(
            region.start, t.columns * tensor.pixel, t.y_rows * resident,
            ordered.tile.rows[0] - ordered.round % resident * t.y_rows, ordered.tile.columns,
            (0, tensor.shape[2]),
        )  # fmt: skip

    def _y(self, ordered: OrderedTile) -> View:
        if self.s.y_on_chip:
            return self.layout.view(self.s.y, ordered.unit)
        return self._buffer("y", ordered, self.s.y)

    def _second(self, ordered: OrderedTile, new: bool, loads: list[Load]) -> View | None:
        second = self.s.second
        if second is None:
            return None
        if self.s.second_on_chip:
            return self._on_chip(second, ordered, ordered.tile.rows, loads)
        view = self._buffer("second", ordered, second)
        if new:
            after = self._after(second, self._round_jobs, ordered.round, self.number)
            values = self._rows(second, view, ordered.tile.rows, ordered.tile.columns)
            loads.append(Load(Target.FEATURES, values, self._receivers(ordered), after))
        return view

    def _stores(self, ordered: OrderedTile, view: View) -> list[Values]:
        """Stores of a tile's pixels with all channels of the unit.

        Whole pixels leave by rows, others each column by itself; of a tensor on chip only the rows
        that other units need leave.
        """
        task, y, tile = self.s.task, self.s.y, ordered.tile
        if self.s.y_on_chip:
            shared = self.layout.placement.on_chip[y.name].for_others(ordered.unit, tile.rows)
            return [self._rows(y, view, rows, tile.columns) for rows in shared]
        if not self.s.by_columns(self.tiling.split):
            return [self._rows(y, view, tile.rows, tile.columns)]
        pe = self.s.shape.pe
        first, last = self.shares[ordered.unit][1]
        channels = (task.channel + first * pe, task.channel + min(task.outputs, last * pe))
        columns = range(*tile.columns)
        return [self._rows(y, view, tile.rows, (c, c + 1), channels) for c in columns]

    def _keys(self, ordered: OrderedTile) -> dict[Target, tuple]:
        """Keys of the blocks of constants that a tile reads."""
        task, cout_blocks, taps = self.s.task, ordered.tile.cout_blocks, ordered.tile.taps
        keys: dict[Target, tuple] = {}
        if task.weights is not None:
            stay = 0 if self._weights_stay else ordered.round
            keys[Target.WEIGHTS] = (self.number, cout_blocks, taps, stay)
        if not ordered.tile.no_writeback and task.softmax is None:
            stay = 0 if self._parameters_stay else ordered.round
            blocks = (0, 1) if self.s.one_word else cout_blocks
            keys[Target.PARAMETERS] = (self.number, blocks, stay)
        if self._tables is not None:
            keys[Target.TABLES] = (self.number,)
        return keys

    def _constants(self, ordered: OrderedTile, block: tuple[Target, tuple], units: int) -> Load:
        """The load of a block of constants."""
        (target, key), shape = block, self.s.shape
        cout_blocks, taps = ordered.tile.cout_blocks, ordered.tile.taps
        count, word = cout_blocks[1] - cout_blocks[0], 0
        if target is Target.WEIGHTS:
            words = count * int(np.prod([b - a for a, b in taps]))
            word = self.s.weight_word_bytes(cout_blocks)
            place, size = self._block(cout_blocks, taps, word), words * word
        elif target is Target.PARAMETERS:
            cout_blocks = key[1]
            count, word = cout_blocks[1] - cout_blocks[0], self.s.parameter_word_bytes(cout_blocks)
            if cout_blocks not in self._parameter_place:
                data = self._parameters[cout_blocks[0] : cout_blocks[1], :word].reshape(-1)
                self._parameter_place[cout_blocks] = self.layout.constants.add(data)
            place, words = self._parameter_place[cout_blocks], count
            size = count * word
        else:
            assert self._tables is not None
            if self._table_place is None:
                self._table_place = self.layout.constants.add(self._tables)
            place, words, size = self._table_place, 2, len(self._tables)
        values = {"address": place, "rows": 1, "bytes": size, "word_beats": word // shape.bus_bytes}
        values["one_lane"] = int(target is Target.WEIGHTS and self.s.one_lane)
        return Load(target, values, units, key=key, words=words)

    def _block(self, cout_blocks: Range, taps: tuple, word_bytes: int) -> int:
        if (cout_blocks, taps) not in self._blocks:
            data = image.weight_block(self._words, cout_blocks, taps, word_bytes)
            self._blocks[cout_blocks, taps] = self.layout.constants.add(data)
        return self._blocks[cout_blocks, taps]
