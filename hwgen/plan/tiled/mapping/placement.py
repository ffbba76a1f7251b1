"""Which tensors stay on chip, how every task is tiled, and where all buffers lie."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ....aliases import Progress
from ....contract.engine import BANKS, EngineShape
from ....contract.isa import COMPUTE, Operand
from ..network.tasks import Stored, Task, TaskGraph
from .on_chip import OnChipTensor, borders, can_be_on_chip, on_chip_tensor
from .problem import MappingProblem
from .stationarity import Stationarity
from .tile import suits_window
from .tiling import Tiling, choose, refuse


@dataclass(frozen=True)
class Region:
    """Bytes ``start .. start + size - 1`` of every bank, from one task to another one."""

    name: str
    size: int
    begin: int
    end: int
    start: int = 0

    def meets(self, other: Region) -> bool:
        """Whether both are there at some time."""
        return self.begin <= other.end and other.begin <= self.end


@dataclass(frozen=True)
class Placement:
    """The decisions for all tasks.

    on_chip : tensors that stay on chip, by name. regions : by name: that of such a tensor, or
    ``x``, ``y``, ``second`` with the number of the task.
    """

    problems: tuple[MappingProblem, ...]
    tilings: tuple[Tiling, ...]
    on_chip: dict[str, OnChipTensor]
    regions: dict[str, Region]


def place(
    task_graph: TaskGraph,
    shape: EngineShape,
    resident: int,
    progress: Progress | None = None,
    keep: bool = True,
    stationarity: Stationarity | None = None,
    early: int = 4,
) -> Placement:
    """The placement: tensors stay on chip one after the other, as long as that saves time.

    Without ``keep`` none does: every tensor can then be seen outside. stationarity : for
    all tasks that can have it; None: the best one for each. early : see MappingProblem. Raises
    UserError where a task does not fit at all.
    """
    say = progress or (lambda text: None)
    search = _Search(task_graph, shape, resident, stationarity, early)
    best = search.placement(frozenset())
    if best is None:
        raise search.error
    cycles = _cycles(best)
    if not keep:
        return best
    outside = task_graph.outside
    candidates = [
        t for t in task_graph.stored.values()
        if t.name not in outside
        and search.bank_bytes(t) <= shape.bank_bytes
        and t.row_bytes <= COMPUTE.most("x_pitch") and can_be_on_chip(t, task_graph, shape.tiles)
    ]  # fmt: skip
    candidates.sort(key=lambda t: -t.bytes)
    for tensor in candidates:
        trial = search.placement(frozenset(best.on_chip) | {tensor.name})
        if trial is not None and _cycles(trial) <= cycles:
            best, cycles = trial, _cycles(trial)
            say(f"{tensor.name} stays on chip")
    return best


def _cycles(placement: Placement) -> float:
    return sum(tiling.cycles for tiling in placement.tilings)


class _Search:
    def __init__(
        self,
        task_graph: TaskGraph,
        shape: EngineShape,
        resident: int,
        stationarity: Stationarity | None,
        early: int,
    ) -> None:
        self.task_graph, self.shape, self.resident = task_graph, shape, resident
        self.stationarity, self.early = stationarity, early
        self.error = AssertionError("nothing was tried")
        self._chosen: dict[tuple, tuple[MappingProblem, Tiling] | None] = {}
        self._tensors: dict[str, OnChipTensor] = {}
        self._lives = {}
        for name in task_graph.stored:
            written = [n for n, task in enumerate(task_graph.tasks) if task.y == name]
            read = [n for n, task in enumerate(task_graph.tasks) if name in inputs_of(task)]
            if written or read:
                self._lives[name] = (min(written + read), max(written + read))

    def on_chip_tensor(self, name: str) -> OnChipTensor:
        """How a tensor lies on chip."""
        if name not in self._tensors:
            tensor = self.task_graph.stored[name]
            self._tensors[name] = on_chip_tensor(tensor, self.task_graph, self.shape.tiles)
        return self._tensors[name]

    def bank_bytes(self, tensor: Stored) -> int:
        """Bytes of a bank that a tensor takes on chip."""
        return self.on_chip_tensor(tensor.name).ring // BANKS * tensor.row_bytes

    def placement(self, on_chip: frozenset[str]) -> Placement | None:
        """Place all with these tensors on chip; None where something does not fit."""
        task_graph, limit = self.task_graph, self.shape.bank_bytes
        tensors = [
            Region(name, self.bank_bytes(task_graph.stored[name]), *self._lives[name])
            for name in on_chip
        ]
        problems, tilings, regions = [], [], list(tensors)
        used = []
        for n, task in enumerate(task_graph.tasks):
            kept = sum(r.size for r in tensors if r.begin <= n <= r.end)
            s = self._problem(task, on_chip)
            chosen = self._choose(n, s, limit - kept)
            if chosen is None:
                self.error = refuse(s, limit - kept)
                return None
            s, tiling = chosen
            problems.append(s)
            tilings.append(tiling)
            used.append(kept + tiling.feature_bytes)
        for n, tiling in enumerate(tilings):
            # The first rows come while the task before is still at work, where there is room.
            early = n > 0 and used[n - 1] + tiling.x_bytes <= limit
            if early:
                used[n - 1] += tiling.x_bytes
            regions += [
                Region(f"x{n}", tiling.x_bytes, n - early, n),
                Region(f"y{n}", tiling.y_bytes, n, n),
                Region(f"second{n}", tiling.second_bytes, n, n),
            ]
        packed = pack([r for r in regions if r.size], limit)
        if packed is None:
            # Without early rows nothing needs to lie beside the task before.
            regions = [
                Region(r.name, r.size, r.end, r.end) if r.name[0] == "x" and r.name[1:].isdigit()
                else r
                for r in regions
            ]  # fmt: skip
            packed = pack([r for r in regions if r.size], limit)
        if packed is None:
            return None
        kept = {name: self.on_chip_tensor(name) for name in on_chip}
        return Placement(tuple(problems), tuple(tilings), kept, packed)

    def _problem(self, task: Task, on_chip: frozenset[str]) -> MappingProblem:
        stored = self.task_graph.stored
        second = task.second
        crossing = sum(
            borders(task, stored[name], self.on_chip_tensor(name), self.task_graph)
            for name in dict.fromkeys(inputs_of(task))
            if name in on_chip
        )
        if suits_window(task, self.shape):
            task = replace(task, operand=Operand.DEPTHWISE_WINDOW)
        return MappingProblem(
            task, self.shape, stored[task.x], stored[task.y],
            None if second is None else stored[second], task.x in on_chip, task.y in on_chip,
            second is None or second in on_chip, self.resident, stationarity=self.stationarity,
            borders=crossing, early=self.early,
        )  # fmt: skip

    def _choose(self, n: int, s: MappingProblem, room: int) -> tuple[MappingProblem, Tiling] | None:
        key = (n, s.x_on_chip, s.y_on_chip, s.second_on_chip, room)
        if key not in self._chosen:
            self._chosen[key] = choose(s, room)
        return self._chosen[key]


def inputs_of(task: Task) -> tuple[str, ...]:
    """Stored tensors that a task reads."""
    return (task.x,) if task.second is None else (task.x, task.second)


def pack(regions: list[Region], limit: int) -> dict[str, Region] | None:
    """Each region as low as those placed before it allow, the largest first; None: no room."""
    placed: list[Region] = []
    for region in sorted(regions, key=lambda r: (-r.size, r.begin, r.name)):
        start = 0
        for other in sorted((o for o in placed if o.meets(region)), key=lambda o: o.start):
            if start + region.size <= other.start:
                break
            start = max(start, other.start + other.size)
        if start + region.size > limit:
            return None
        placed.append(Region(region.name, region.size, region.begin, region.end, start))
    return {region.name: region for region in placed}
