"""Tiles in their order become a program of descriptors, with the image of external memory.

Descriptors stand in an order in which they could also be carried out one after the other. What a
tile needs is loaded a few tiles ahead of it, as far as buffers are free.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ...descriptors import BANKS, COMPUTE, TRANSFER, EngineShape, Op, Target
from . import image
from .loops import Range, Tile, Values, View, beats, compute
from .placement import Placement
from .scoreboard import Scoreboard, Span
from .tasks import Stored, Work
from .tiling import Situation, Tiling, parameters_stay, tiles, weights_stay

AHEAD = 2
"""Tiles ahead of which their operands are loaded."""
EXTERNAL_PIECE = 64


@dataclass
class Load:
    """What a step needs. after : the step that must be in the program before it; -1: none.

    key, words : of a block of a memory that is shared out as the program is written; else
    ``values`` says where it goes.
    """

    target: Target
    values: Values
    after: int = -1
    key: tuple = ()
    words: int = 0
    task: int = 0


@dataclass
class Step:
    """A tile, what it needs, and what is stored once it is done."""

    task: int
    tile: Tile
    views: tuple[View, View, View | None]
    loads: list[Load]
    keys: dict[Target, tuple]
    stores: list[Values] = field(default_factory=list)


@dataclass(frozen=True)
class Program:
    """A program and its memory.

    memory : image of external memory, inputs and everything that is computed zero. start : of the
    program in it; end : behind the program. writable : from there on the engine writes. tensors :
    offsets of tensors that lie in external memory. descriptors : as they stand in the program, op
    by name ``op``.
    """

    memory: np.ndarray
    start: int
    end: int
    writable: int
    tensors: dict[str, int]
    descriptors: list[Values]


class Writer:
    """Makes the program of a placement."""

    def __init__(self, work: Work, placement: Placement, shape: EngineShape) -> None:
        self.work, self.placement, self.shape = work, placement, shape
        self.constants = _Constants(shape)
        external = [t for t in work.stored.values() if t.name not in placement.stays]
        self.tensors, size = {}, 0
        for tensor in external:
            self.tensors[tensor.name] = size
            size += -(-tensor.bytes // EXTERNAL_PIECE) * EXTERNAL_PIECE
        self._data_bytes = size
        self.first_steps: list[int] = []
        self.last_steps: dict[str, int] = {}

    def program(self) -> Program:
        """All descriptors and the memory."""
        steps = self._steps()
        descriptors = _Emission(self, steps).descriptors()
        constants = self.constants.bytes()
        start = len(constants)
        blobs = []
        length = sum(
            (COMPUTE if d["op"] == Op.COMPUTE else TRANSFER).size // 8 for d in descriptors
        )
        end = start + length + TRANSFER.size // 8
        writable = -(-end // 4096) * 4096
        for d in descriptors:
            if d.pop("external", 0):
                d["address"] += writable
            record = COMPUTE if d["op"] == Op.COMPUTE else TRANSFER
            blobs.append(record.pack(d))
        code = b"".join(blobs) + TRANSFER.pack({"op": Op.END})
        memory = np.zeros(writable + self._data_bytes, np.uint8)
        memory[:start] = constants
        memory[start : start + len(code)] = np.frombuffer(code, np.uint8)
        tensors = {name: place + writable for name, place in self.tensors.items()}
        return Program(memory, start, end, writable, tensors, descriptors)

    def _steps(self) -> list[Step]:
        steps: list[Step] = []
        for n, (s, t) in enumerate(
            zip(self.placement.situations, self.placement.tilings, strict=True)
        ):
            self.first_steps.append(len(steps))
            steps += _TaskSteps(self, n, s, t, len(steps)).steps()
            self.last_steps[s.y.name] = len(steps) - 1
        return steps

    def view(self, tensor: Stored) -> View:
        """Of a tensor that stays on chip."""
        region = self.placement.regions[tensor.name]
        ring = -(-tensor.shape[0] // BANKS) * BANKS
        _, width, channels = tensor.shape
        return View(region.start, tensor.row_bytes, ring, 0, (0, width), (0, channels))


class _Constants:
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


class _TaskSteps:
    """The steps of one task."""

    def __init__(
        self, writer: Writer, number: int, situation: Situation, tiling: Tiling, first_step: int
    ) -> None:
        self.writer, self.number, self.s, self.tiling = writer, number, situation, tiling
        self.first_step = first_step
        self.taps = situation.taps_in(tiling.order)
        self._blocks: dict[tuple[Range, tuple], tuple[int, int]] = {}
        task, shape = situation.task, situation.shape
        if task.weights is not None:
            self._words = image.weight_words(task, self.taps, shape)
        self._parameters = image.parameter_words(task.requant, task.outputs, shape)
        self._tables = image.table_bytes(task)
        # Blocks that are used again for the next tile of pixels stay where that is possible.
        whole = tiling.taps == self.taps.counts
        all_groups = tiling.groups == situation.groups
        self._weights_stay = weights_stay(
            situation, situation.groups * self.taps.words, whole, all_groups, tiling.weights_outer
        )
        self._parameters_stay = parameters_stay(situation, all_groups, tiling.weights_outer)
        self._parameter_place: dict[Range, int] = {}
        self._table_place: int | None = None
        # Ring positions are taken one after the other, whatever strip or pass rows belong to.
        self._counter, self._first, self._loaded = 0, 0, (0, 0)
        self._strip: tuple[Range, Range | None] | None = None
        self._tile_steps: list[int] = []
        self._piece_steps: list[int] = []
        self._piece_held: tuple[Range, Range] | None = None

    def steps(self) -> Iterator[Step]:
        """In their order."""
        spatial, seen = -1, None
        for n, tile in enumerate(tiles(self.s, self.tiling)):
            new = (tile.rows, tile.columns) != seen
            if new:
                spatial += 1
                seen = (tile.rows, tile.columns)
                self._tile_steps.append(self.first_step + n)
            loads: list[Load] = []
            x = self._x(tile, spatial, self.first_step + n, new, loads)
            second = self._second(tile, spatial, new, loads)
            y = self._y(tile, spatial)
            keys = self._constants(tile, spatial, loads)
            for load in loads:
                load.task = self.number
            step = Step(self.number, tile, (x, y, second), loads, keys)
            if not self.s.y_stays and self._last_of_pixels(tile):
                step.stores.append(self._store(tile, y))
            yield step

    def _last_of_pixels(self, tile: Tile) -> bool:
        return not tile.hold and tile.groups[1] == self.s.groups

    def _x(self, tile: Tile, spatial: int, step: int, new: bool, loads: list[Load]) -> View:
        """The view of the ifmap; rows that are not there yet are loaded."""
        s, t = self.s, self.tiling
        if s.x_stays:
            return self.writer.view(s.x)
        if s.pieces:
            return self._piece(tile, step, loads)
        height, width, channels = s.x.shape
        rows, columns, all_channels = s.needs(tile)
        whole = t.x_ring >= height and columns == (0, width)
        strip = (columns, None if whole or not t.weights_outer else tile.groups)
        if strip != self._strip:
            self._strip = strip
            self._first, self._loaded = rows[0] - self._counter, (rows[0], rows[0])
        region = self.writer.placement.regions[f"x{self.number}"]
        view = View(
            region.start, t.x_columns * channels, t.x_ring, self._first, columns, all_channels
        )
        begin, end = max(rows[0], self._loaded[1]), rows[1]
        if new and end > begin:
            after = self._after(s.x, self._tile_steps, region.begin)
            values = self._rows(s.x, view, (begin, end), columns)
            loads.append(Load(Target.FEATURES, values, after))
            self._counter = end - self._first  # rows between tiles are left out, not their places
            self._loaded = (self._loaded[0], end)
        return view

    def _piece(self, tile: Tile, step: int, loads: list[Load]) -> View:
        """The view of a piece of the ifmap, which is loaded unless the tile before had it too."""
        s = self.s
        rows, columns, channels = s.needs(tile)
        new = (rows, channels) != self._piece_held
        if new:
            self._piece_held = rows, channels
            self._piece_steps.append(step)
        number = len(self._piece_steps) - 1
        region = self.writer.placement.regions[f"x{self.number}"]
        (block, _, _), ring = self.tiling.taps, self.tiling.x_ring
        span = -(-block // BANKS) * BANKS
        depth = self.tiling.x_bytes // (ring // BANKS)
        first = rows[0] - number % (ring // span) * span
        view = View(region.start, depth, ring, first, columns, channels)
        if new:
            after = self._after(s.x, self._piece_steps, region.begin)
            loads.append(Load(Target.FEATURES, self._rows(s.x, view, rows, columns), after))
        return view

    def _after(self, tensor: Stored, users: list[int], begin: int) -> int:
        """The step after which what the last user needs of a tensor may be loaded.

        The tensor must be complete; its buffer exists from task ``begin`` on, and then is taken
        over from an earlier user. users : the first step of each.
        """
        complete = self.writer.last_steps.get(tensor.name, -1)
        if len(users) > self.s.resident:
            return max(complete, users[-self.s.resident] - 1)
        return max(complete, self.writer.first_steps[begin] - 1)

    def _rows(self, tensor: Stored, view: View, rows: Range, columns: Range) -> Values:
        """A transfer of rows of a tensor that lies in external memory.

        Where the view has some channels only, a row is one pixel.
        """
        pixel, held = tensor.shape[2] * tensor.size, view.depth * tensor.size
        place = self.writer.tensors[tensor.name]
        first = columns[0] * pixel + view.channels[0] * tensor.size
        return {
            "address": place + rows[0] * tensor.row_bytes + first,
            "pitch": tensor.row_bytes,
            "rows": rows[1] - rows[0],
            "bytes": (columns[1] - columns[0]) * held,
            "base": view.base + (columns[0] - view.columns[0]) * held,
            "bank_pitch": view.pitch,
            "ring": view.ring,
            "first": view.ring_row(rows[0]),
            "external": 1,
        }

    def _buffer(self, kind: str, tile: Tile, spatial: int, tensor: Stored) -> View:
        """One of the buffers of tiles."""
        region = self.writer.placement.regions[f"{kind}{self.number}"]
        rows, (height, width) = self.tiling.y_rows, self.s.size
        tiles_of_pixels = beats(height, self.tiling.rows) * beats(width, self.tiling.columns)
        resident = min(self.s.resident, tiles_of_pixels)
        return View(
            region.start, self.tiling.columns * tensor.shape[2] * tensor.size, rows * resident,
            tile.rows[0] - spatial % resident * rows, tile.columns, (0, tensor.shape[2]),
        )  # fmt: skip

    def _y(self, tile: Tile, spatial: int) -> View:
        if self.s.y_stays:
            return self.writer.view(self.s.y)
        return self._buffer("y", tile, spatial, self.s.y)

    def _second(self, tile: Tile, spatial: int, new: bool, loads: list[Load]) -> View | None:
        second = self.s.second
        if second is None:
            return None
        if self.s.second_stays:
            return self.writer.view(second)
        view = self._buffer("second", tile, spatial, second)
        if new:
            after = self._after(second, self._tile_steps, self.number)
            values = self._rows(second, view, tile.rows, tile.columns)
            loads.append(Load(Target.FEATURES, values, after))
        return view

    def _store(self, tile: Tile, view: View) -> Values:
        return self._rows(self.s.y, view, tile.rows, tile.columns)

    def _constants(self, tile: Tile, spatial: int, loads: list[Load]) -> dict[Target, tuple]:
        """Keys of the blocks of constants that a tile reads, with the loads that bring them."""
        task, shape = self.s.task, self.s.shape
        keys: dict[Target, tuple] = {}
        groups, taps = tile.groups, tile.taps
        if task.weights is not None:
            key = (self.number, groups, taps, 0 if self._weights_stay else spatial)
            words = (groups[1] - groups[0]) * int(np.prod([b - a for a, b in taps]))
            keys[Target.WEIGHTS] = key
            place = self._block(groups, taps)
            loads.append(
                Load(Target.WEIGHTS, _linear(place, words * shape.weight_bytes), -1, key, words)
            )
        if not tile.hold and task.softmax is None:
            key = (self.number, groups, 0 if self._parameters_stay else spatial)
            count = groups[1] - groups[0]
            keys[Target.PARAMETERS] = key
            if groups not in self._parameter_place:
                data = self._parameters[groups[0] : groups[1]].reshape(-1)
                self._parameter_place[groups] = self.writer.constants.add(data)
            values = _linear(self._parameter_place[groups], count * shape.parameter_bytes)
            loads.append(Load(Target.PARAMETERS, values, -1, key, count))
        if self._tables is not None:
            key = (self.number,)
            keys[Target.TABLES] = key
            if self._table_place is None:
                self._table_place = self.writer.constants.add(self._tables)
            values = _linear(self._table_place, len(self._tables))
            loads.append(Load(Target.TABLES, values, -1, key, 2))
        return keys

    def _block(self, groups: Range, taps: tuple) -> int:
        if (groups, taps) not in self._blocks:
            data = image.weight_block(self._words, groups, taps)
            self._blocks[groups, taps] = (self.writer.constants.add(data), len(data))
        return self._blocks[groups, taps][0]


def _linear(place: int, size: int) -> Values:
    return {"address": place, "rows": 1, "bytes": size}


class _Blocks:
    """A memory of words shared out among blocks that live for a while, in turn around it."""

    def __init__(self, words: int) -> None:
        self.words = words
        self.used: dict[tuple, Range] = {}
        self._next = 0

    def take(self, key: tuple, words: int) -> int | None:
        """A place for a block; None where there is none."""
        for start in sorted({self._next, 0, *(end for _, end in self.used.values())},
                            key=lambda p: (p < self._next, p)):  # fmt: skip
            free = all(start + words <= a or b <= start for a, b in self.used.values())
            if free and start + words <= self.words:
                self.used[key] = (start, start + words)
                self._next = start + words
                return start
        return None

    def give(self, key: tuple) -> None:
        """Its place is free again."""
        del self.used[key]


class _Emission:
    """Writes descriptors: before each tile the loads of the tiles that follow it."""

    def __init__(self, writer: Writer, steps: list[Step]) -> None:
        shape = writer.shape
        self.writer, self.steps, self.shape = writer, steps, shape
        self.blocks = {
            Target.WEIGHTS: _Blocks(shape.weight_words),
            Target.PARAMETERS: _Blocks(shape.parameter_words),
            Target.TABLES: _Blocks(2),
        }
        self.last = {
            (target, key): n for n, step in enumerate(steps) for target, key in step.keys.items()
        }
        names = {Target.WEIGHTS: shape.weight_words, Target.PARAMETERS: shape.parameter_words,
                 Target.TABLES: 2}  # fmt: skip
        sizes = {target.name: size for target, size in names.items()}
        sizes |= {f"bank{n}": shape.bank_bytes for n in range(BANKS)}
        sizes["external"] = writer._data_bytes + EXTERNAL_PIECE
        # Rows follow each other at any byte: larger pieces would belong to two of them.
        pieces = dict.fromkeys(sizes, 1) | {"external": EXTERNAL_PIECE}
        self.board = Scoreboard(sizes, pieces)
        self.written = -1
        self.out: list[Values] = []

    def descriptors(self) -> list[Values]:
        """All of them in order."""
        queue = deque((n, load) for n, step in enumerate(self.steps) for load in step.loads)
        for n, step in enumerate(self.steps):
            while queue and queue[0][0] <= n + AHEAD:
                if not self._load(queue[0][1], must=queue[0][0] <= n):
                    break
                queue.popleft()
            self._compute(n, step)
            for values in step.stores:
                spans = list(self._feature_spans(values, values["bytes"]))
                external = list(_external_spans(values))
                self._write(Op.STORE, values, step.task, spans, external)
        return self.out

    def _load(self, load: Load, must: bool) -> bool:
        """Emit a load; False where it has to wait for tiles that come first."""
        if load.after > self.written:
            assert not must
            return False
        values = dict(load.values)
        task = load.task
        values["target"] = load.target
        if load.target is Target.FEATURES:
            spans = list(self._feature_spans(values, values["bytes"]))
            self._write(Op.LOAD, values, task, list(_external_spans(values)), spans)
            return True
        blocks = self.blocks[load.target]
        if load.key in blocks.used:
            return True
        place = blocks.take(load.key, load.words)
        if place is None:
            if must:
                raise AssertionError(f"no place for {load.words} words of {load.target.name}")
            return False
        values["base"] = place if load.target is not Target.TABLES else 0
        self._write(Op.LOAD, values, task, [], [Span(load.target.name, place, load.words)])
        return True

    def _compute(self, n: int, step: Step) -> None:
        writer = self.writer
        s = writer.placement.situations[step.task]
        places = {
            name.name.lower(): self.blocks[name].used[key][0] for name, key in step.keys.items()
        }
        places.setdefault("weights", 0)
        places["psums"] = 0
        values = compute(s.task, step.tile, self.shape, s.x, s.y, step.views, s.second, places)
        reads = list(self._tile_spans(s, step))
        for target, key in step.keys.items():
            start, end = self.blocks[target].used[key]
            reads.append(Span(target.name, start, end - start))
        writes = [] if step.tile.hold else list(self._result_spans(s, step))
        self._write(Op.COMPUTE, values, step.task, reads, writes)
        self.written = n
        for target, key in step.keys.items():
            if self.last[target, key] == n:
                self.blocks[target].give(key)

    def _tile_spans(self, s: Situation, step: Step) -> Iterator[Span]:
        tile, (x, _, second) = step.tile, step.views
        rows, columns, _ = s.needs(tile)
        yield from self._row_spans(x, s.x, rows, columns)
        if second is not None and s.second is not None and not tile.hold:
            yield from self._row_spans(second, s.second, tile.rows, tile.columns)

    def _result_spans(self, s: Situation, step: Step) -> Iterator[Span]:
        yield from self._row_spans(step.views[1], s.y, step.tile.rows, step.tile.columns)

    def _row_spans(self, view: View, tensor: Stored, rows: Range, columns: Range) -> Iterator[Span]:
        pixel = view.depth * tensor.size
        start = view.base + (columns[0] - view.columns[0]) * pixel
        size = (columns[1] - columns[0]) * pixel
        for row in range(*rows):
            ring = view.ring_row(row)
            yield Span(f"bank{ring % BANKS}", start + ring // BANKS * view.pitch, size)

    def _feature_spans(self, values: Values, size: int) -> Iterator[Span]:
        for row in range(values["rows"]):
            ring = (values["first"] + row) % values["ring"]
            place = values["base"] + ring // BANKS * values["bank_pitch"]
            yield Span(f"bank{ring % BANKS}", place, size)

    def _write(
        self, op: Op, values: Values, task: int, reads: list[Span], writes: list[Span]
    ) -> None:
        values = values | {"op": op, "layer": task} | self.board.issue(op, reads, writes)
        for name in ("wait_load", "wait_compute", "wait_store"):
            values[name] %= 1 << 16
        self.out.append(values)


def _external_spans(values: Values) -> Iterator[Span]:
    if values["bytes"] == values["pitch"]:
        yield Span("external", values["address"], values["rows"] * values["bytes"])
        return
    for row in range(values["rows"]):
        yield Span("external", values["address"] + row * values["pitch"], values["bytes"])
