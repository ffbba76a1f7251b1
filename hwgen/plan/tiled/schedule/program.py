"""Tiles in their order become a program of descriptors, with the image of external memory.

Descriptors stand in an order in which they could also be carried out one after the other. What a
tile needs is loaded a few tiles ahead of it, as far as buffers are free.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ....contract.engine import BANKS, EngineShape
from ....contract.isa import COMPUTE, MOST_TILES, TRANSFER, Opcode, Target
from ....numeric import ceil_div
from ..mapping.descriptor_fields import Values, compute
from ..mapping.placement import Placement
from ..mapping.problem import MappingProblem
from ..mapping.tile import Range, View
from ..network.tasks import Stored, TaskGraph
from .scoreboard import Scoreboard, Span
from .tile_jobs import Constants, Layout, Load, TaskJobs, TileJob

AHEAD = 2
"""Tiles of a unit ahead of which their operands are loaded."""
AMONG_FEATURES = 0.5
"""Part of the port's time left that other constants take while feature maps are loaded, which the
array may be waiting for. VWW takes 44,488 cycles on 16x16 with all of it, 44,049 with a half."""
PART_BEATS = 128
"""Beats of the parts, at least, in which large blocks of weights come ahead of their time, and at
any time where there are several units, which all wait for constants."""
EXTERNAL_PIECE = 64


@dataclass(frozen=True)
class Program:
    """A program and its memory.

    memory : image of external memory, inputs and everything that is computed zero. start : of the
    program in it; end : behind the program. writable : from there on the engine writes. tensors :
    offsets of tensors that lie in external memory. borders : from there on it has rows of tensors
    that stay on chip, which tile units read of others; shared : offsets of these tensors, of which
    no other rows are there. descriptors : as they stand in the program,
    op by name ``op``.
    """

    memory: np.ndarray
    start: int
    end: int
    writable: int
    tensors: dict[str, int]
    borders: int
    shared: dict[str, int]
    descriptors: list[Values]


class Writer:
    """Makes the program of a placement."""

    def __init__(self, task_graph: TaskGraph, placement: Placement, shape: EngineShape) -> None:
        self.task_graph, self.placement, self.shape = task_graph, placement, shape
        own = [t for t in task_graph.stored.values() if t.of is None]
        # Outputs lie one behind the other, and so do inputs, which are stored first.
        ends = task_graph.results if len(task_graph.results) > 1 else ()
        order = dict.fromkeys((*task_graph.sources, *ends, *(t.name for t in own)))
        external = [task_graph.stored[n] for n in order if n not in placement.on_chip]
        self.tensors, self._borders = _places(external, 0)
        on_chip = [t for t in own if t.name in placement.on_chip]
        self.shared, self._data_bytes = _places(on_chip if shape.tiles > 1 else [], self._borders)
        self.layout = Layout(placement, Constants(shape), self.tensors | self.shared)

    def program(self) -> Program:
        """All descriptors and the memory."""
        jobs = self._jobs()
        emission = _Emission(self.placement, self.shape, self._data_bytes, jobs)
        descriptors = emission.descriptors()
        constants = self.layout.constants.bytes()
        start = len(constants)
        blobs = []
        length = sum(
            (COMPUTE if d["op"] == Opcode.COMPUTE else TRANSFER).size // 8 for d in descriptors
        )
        end = start + length + TRANSFER.size // 8
        writable = ceil_div(end, 4096) * 4096
        for d in descriptors:
            if d.pop("external", 0):
                d["address"] += writable
            record = COMPUTE if d["op"] == Opcode.COMPUTE else TRANSFER
            blobs.append(record.pack(d))
        code = b"".join(blobs) + TRANSFER.pack({"op": Opcode.END})
        memory = np.zeros(writable + self._data_bytes, np.uint8)
        memory[:start] = constants
        memory[start : start + len(code)] = np.frombuffer(code, np.uint8)
        tensors, shared = (
            {name: place + writable for name, place in places.items()}
            for places in (self.tensors, self.shared)
        )
        borders = self._borders + writable
        return Program(memory, start, end, writable, tensors, borders, shared, descriptors)

    def _jobs(self) -> list[TileJob]:
        jobs: list[TileJob] = []
        for n, problem in enumerate(self.placement.problems):
            self.layout.first_jobs.append(len(jobs))
            jobs += TaskJobs(self.layout, n, len(jobs)).jobs()
            self.layout.last_jobs[problem.y.name] = len(jobs) - 1
        return jobs


def _places(tensors: list[Stored], start: int) -> tuple[dict[str, int], int]:
    """Offsets of tensors one after the other, by name, and the end."""
    found, end = {}, start
    for tensor in tensors:
        found[tensor.name] = end
        end += ceil_div(tensor.bytes, EXTERNAL_PIECE) * EXTERNAL_PIECE
    return found, end


@dataclass(frozen=True)
class _Block:
    """Words ``start .. end - 1`` of a memory of some units, a bit for each."""

    start: int
    end: int
    units: int


class _Blocks:
    """A memory of words shared out among blocks that live for a while, in turn around it.

    Each unit has such a memory; a block is at the same place in all units that hold it.
    """

    def __init__(self, words: int) -> None:
        self.words = words
        self.used: dict[tuple, _Block] = {}
        self._next = [0] * MOST_TILES

    def take(self, key: tuple, words: int, units: int) -> int | None:
        """A place for a block; None where there is none."""
        held = [block for block in self.used.values() if block.units & units]
        mine = [n for n in range(MOST_TILES) if units >> n & 1]
        turn = max(self._next[n] for n in mine)
        places = {turn, 0, *(block.end for block in held)}
        for start in sorted(places, key=lambda p: (p < turn, p)):
            end = start + words
            free = all(end <= block.start or block.end <= start for block in held)
            if free and end <= self.words:
                self.used[key] = _Block(start, end, units)
                for n in mine:
                    self._next[n] = end
                return start
        return None

    def give(self, key: tuple) -> None:
        """Its place is free again."""
        del self.used[key]


class _Emission:
    """Writes descriptors: before each tile the loads of the tiles that follow it."""

    def __init__(
        self, placement: Placement, shape: EngineShape, data_bytes: int, jobs: list[TileJob]
    ) -> None:
        self.placement, self.jobs, self.shape = placement, jobs, shape
        words = {Target.WEIGHTS: shape.weight_words, Target.PARAMETERS: shape.parameter_words,
                 Target.TABLES: 2}  # fmt: skip
        self.blocks = {target: _Blocks(size) for target, size in words.items()}
        self.last = {
            (target, key): n for n, job in enumerate(jobs) for target, key in job.keys.items()
        }
        sizes = {target.name: size for target, size in words.items()}
        sizes |= {f"bank{n}": shape.bank_bytes for n in range(BANKS)}
        # Units have memories of their own, of the same sizes.
        sizes = {_of(n, name): size for n in range(shape.tiles) for name, size in sizes.items()}
        sizes["external"] = data_bytes + EXTERNAL_PIECE
        # Rows follow each other at any byte: larger pieces would belong to two of them.
        pieces = dict.fromkeys(sizes, 1) | {"external": EXTERNAL_PIECE}
        self.board = Scoreboard(sizes, pieces)
        self.queues = self._queues()
        self.parts: dict[tuple, int] = {}  # words written of blocks that are not complete
        self.free = 0.0
        self.written = -1
        self.out: list[Values] = []

    def descriptors(self) -> list[Values]:
        """All descriptors in their order."""
        time = self._time()
        for n, job in enumerate(self.jobs):
            self._loads(n, near=True)
            self._compute(n, job)
            for values in job.stores:
                spans = list(self._feature_spans(values, 1 << job.unit))
                external = list(_external_spans(values))
                self._write(Opcode.STORE, values | {"unit": job.unit}, job.task, spans, external)
            self.free = min(time[n], self.free + time[n])
            self._loads(n, near=False)
            self._give(n, job)
        return self.out

    def _loads(self, n: int, near: bool) -> None:
        """Loads before a job: of what is needed soon; or, as far as there is time, of the rest."""
        soon = n + AHEAD * self.shape.tiles
        open_ = list(self.queues)
        while open_ := [queue for queue in open_ if queue]:
            queue = min(open_, key=lambda q: q[0][0])
            first, load = queue[0]
            if near and first > soon:
                return
            if not near and self.free <= 0:
                return
            if not self._load(load, near, must=first <= n):
                open_ = [q for q in open_ if q is not queue]
            elif load.key not in self.parts:
                queue.popleft()

    def _queues(self) -> list[deque[tuple[int, Load]]]:
        """Loads with the first job that needs them, in the order in which they are written."""
        loads, seen = [], set()
        for n, job in enumerate(self.jobs):
            for load in job.loads:
                if (load.target, load.key) not in seen:
                    loads.append((n, load))
                if load.key:
                    seen.add((load.target, load.key))
        return [deque(item for item in loads if item[1].target is target) for target in Target]

    def _time(self) -> list[float]:
        """Beats that the port has time for beside features and descriptors, for each job."""
        jobs = Counter(job.task for job in self.jobs)
        time = []
        for job in self.jobs:
            features = [d.values for d in job.loads if d.target is Target.FEATURES]
            moved = sum(values["rows"] * values["bytes"] for values in features)
            moved += (COMPUTE.size + (len(job.stores) + len(job.loads)) * TRANSFER.size) // 8
            cycles = self.placement.tilings[job.task].cycles / jobs[job.task]
            left = max(0.0, cycles - moved / self.shape.bus_bytes)
            time.append(left if not features else left * AMONG_FEATURES)
        return time

    def _load(self, load: Load, near: bool, must: bool) -> bool:
        """Emit a load; False where it has to wait for tiles that come first."""
        if load.after > self.written:
            assert not must
            return False
        values = load.values | {"target": load.target, "units": load.units}
        task = load.task
        if load.target is Target.FEATURES:
            spans = list(self._feature_spans(values, load.units))
            self._write(Opcode.LOAD, values, task, list(_external_spans(values)), spans)
            return True
        blocks = self.blocks[load.target]
        if load.key in self.parts:
            place = blocks.used[load.key].start
        else:
            place = blocks.take(load.key, load.words, load.units)
        if place is None:
            if must:
                raise AssertionError(f"no place for {load.words} words of {load.target.name}")
            return False
        # Other loads come between the parts of a large block.
        word, done = values["bytes"] // load.words, self.parts.pop(load.key, 0)
        count = load.words - done
        if load.target is Target.WEIGHTS and (self.shape.tiles > 1 or not near):
            beats = PART_BEATS if near else max(PART_BEATS, int(self.free))
            count = min(count, max(1, beats * self.shape.bus_bytes // word))
        if done + count < load.words:
            self.parts[load.key] = done + count
        values["address"] += done * word
        values["bytes"] = count * word
        values["base"] = place + done if load.target is not Target.TABLES else 0
        self.free -= count * word / self.shape.bus_bytes
        names = [_of(n, load.target.name) for n in self._units(load.units)]
        self._write(
            Opcode.LOAD, values, task, [], [Span(name, place + done, count) for name in names]
        )
        return True

    def _units(self, units: int) -> list[int]:
        return [n for n in range(self.shape.tiles) if units >> n & 1]

    def _compute(self, n: int, job: TileJob) -> None:
        s = self.placement.problems[job.task]
        places = {
            name.name.lower(): self.blocks[name].used[key].start for name, key in job.keys.items()
        }
        places.setdefault("weights", 0)
        places["psums"] = 0
        taps = s.taps_in(job.tile.stationarity)
        values = compute(s.task, job.tile, taps, self.shape, s.x, s.y, job.views, s.second, places)
        values["unit"] = job.unit
        reads = list(self._tile_spans(s, job))
        for target, key in job.keys.items():
            block = self.blocks[target].used[key]
            reads.append(Span(_of(job.unit, target.name), block.start, block.end - block.start))
        writes = [] if job.tile.no_writeback else list(self._result_spans(s, job))
        self._write(Opcode.COMPUTE, values, job.task, reads, writes)
        self.written = n

    def _give(self, n: int, job: TileJob) -> None:
        """Constants that were needed last have no place any more."""
        for target, key in job.keys.items():
            if self.last[target, key] == n:
                self.blocks[target].give(key)

    def _tile_spans(self, s: MappingProblem, job: TileJob) -> Iterator[Span]:
        tile, (x, _, second) = job.tile, job.views
        rows, columns, _ = s.needs(tile)
        yield from _row_spans(job.unit, x, s.x, rows, columns)
        if second is not None and s.second is not None and not tile.no_writeback:
            yield from _row_spans(job.unit, second, s.second, tile.rows, tile.columns)

    def _result_spans(self, s: MappingProblem, job: TileJob) -> Iterator[Span]:
        return _row_spans(job.unit, job.views[1], s.y, job.tile.rows, job.tile.columns)

    def _feature_spans(self, values: Values, units: int) -> Iterator[Span]:
        for row in range(values["rows"]):
            ring = (values["first"] + row) % values["ring"]
            place = values["base"] + ring // BANKS * values["bank_pitch"]
            for n in self._units(units):
                yield Span(_of(n, f"bank{ring % BANKS}"), place, values["bytes"])

    def _write(
        self, op: Opcode, values: Values, task: int, reads: list[Span], writes: list[Span]
    ) -> None:
        values = values | {"op": op, "layer": task} | self.board.issue(op, reads, writes)
        for name in ("wait_load", "wait_compute", "wait_store"):
            values[name] %= 1 << 16
        self.out.append(values)


def _of(unit: int, memory: str) -> str:
    """The name of a unit's memory."""
    return f"{memory} of {unit}"


def _row_spans(
    unit: int, view: View, tensor: Stored, rows: Range, columns: Range
) -> Iterator[Span]:
    pixel = tensor.span(view.depth)
    start = view.base + (columns[0] - view.columns[0]) * pixel
    size = (columns[1] - columns[0]) * pixel
    for row in range(*rows):
        ring = view.ring_row(row)
        bank = _of(unit, f"bank{ring % BANKS}")
        yield Span(bank, start + ring // BANKS * view.pitch, size)


def _external_spans(values: Values) -> Iterator[Span]:
    if values["bytes"] == values["pitch"]:
        yield Span("external", values["address"], values["rows"] * values["bytes"])
        return
    for row in range(values["rows"]):
        yield Span("external", values["address"] + row * values["pitch"], values["bytes"])
