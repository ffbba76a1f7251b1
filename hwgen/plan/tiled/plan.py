"""Plan of the tiled architecture: an engine, and the program that carries out a network on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from ...descriptors import (
    LEVELS,
    OUTPUT_LEVELS,
    SOFTMAX_CHANNELS,
    TABLE_WORDS,
    TILES,
    EngineShape,
    Op,
    Target,
)
from ...errors import UserError
from ...ir import Graph
from .buffers import BufferTraffic, traffic_of
from .cycles import Memory, times
from .cycles.pipeline import TABLE_PARTS
from .lower import work_of
from .options import AUTO, buffer_bytes
from .orders import Order
from .placement import Placement, place
from .program import Program, Writer
from .softmax import softmax_cycles
from .tasks import Task, Work
from .tiling import Tiling
from .turns import turns

ARCH = "tiled"
SCHEMA = 1
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Estimate:
    """Cycles of a run, and of each task from the end of the one before it to its own."""

    cycles: int
    tasks: tuple[int, ...]


@dataclass(frozen=True)
class Traffic:
    """Bytes between external memory and the buffers, for one task or all of them.

    What is read are whole beats, those that a row only begins or ends in included; what is written
    are the bytes of ofmaps, though they take whole beats of time.
    """

    weights: int = 0
    parameters: int = 0
    ifmaps: int = 0
    ofmaps: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, eq=False)
class TiledPlan:
    """A network on an engine.

    resident : tiles held in each buffer. keep : False: every tensor goes to external memory, where
    it can be seen. preferred : order of the tiles' loops where a task can have it; None: the best.
    used : tile units that have work, the first ones.
    """

    graph: Graph
    shape: EngineShape
    resident: int
    work: Work
    placement: Placement
    keep: bool = True
    preferred: Order | None = None
    used: int = 1

    @cached_property
    def program(self) -> Program:
        """Descriptors and the image of external memory."""
        return Writer(self.work, self.placement, replace(self.shape, tiles=self.used)).program()

    def outside(self) -> TiledPlan:
        """The same network on the same engine, with every tensor in external memory."""
        return _planned(
            self.graph, self.shape, self.resident, keep=False, preferred=self.preferred,
            units=self.used,
        )  # fmt: skip

    @property
    def tasks(self) -> list[Task]:
        """In the order in which they are carried out; descriptors number them as layers."""
        return self.work.tasks

    @property
    def multipliers(self) -> int:
        """Lanes of the array."""
        return self.shape.pe * self.shape.simd * self.shape.tiles

    @property
    def requant_multipliers(self) -> int:
        """A requantizer for each output channel, and those behind the tables."""
        return (self.shape.pe + self.shape.pe // TABLE_PARTS) * self.shape.tiles

    @property
    def memory_bits(self) -> int:
        """Of all buffers."""
        beside = 2 * TABLE_WORDS * 4 + SOFTMAX_CHANNELS
        return 8 * (buffer_bytes(self.shape) + beside) * self.shape.tiles

    @property
    def tiles(self) -> int:
        """Of all tasks."""
        return sum(d["op"] == Op.COMPUTE for d in self.program.descriptors)

    @cached_property
    def unit_steps(self) -> np.ndarray[Any, Any]:
        """Steps (tasks, tile units) of the arrays: a step is a cycle where nothing waits. Of a
        softmax the cycles of its lane."""
        counts = np.zeros((len(self.tasks), self.shape.tiles), np.int64)
        for d in self.program.descriptors:
            if d["op"] == Op.COMPUTE:
                counts[d["layer"], d["unit"]] += self._steps_of(d)
        return counts

    def _steps_of(self, d: dict[str, int]) -> int:
        if not d.get("softmax"):
            return prod(d[f"loop{n}_count"] for n in range(LEVELS))
        words = [d[f"out{n}_count"] for n in range(OUTPUT_LEVELS)]
        return softmax_cycles(words, d["groups"], self.tasks[d["layer"]].outputs)

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """Steps that each task takes in the tile unit that has most of them."""
        return tuple(self.unit_steps.max(axis=1).tolist())

    @property
    def interval_bound(self) -> int:
        """Steps of all tasks in the tile unit that has most of them."""
        return int(self.unit_steps.sum(axis=0).max())

    @cached_property
    def traffic(self) -> tuple[Traffic, ...]:
        """Of each task. The second operand of a sum is an ifmap too; tables are parameters."""
        kinds = {
            Target.FEATURES: "ifmaps",
            Target.WEIGHTS: "weights",
            Target.PARAMETERS: "parameters",
            Target.TABLES: "parameters",
        }
        found = [Traffic() for _ in self.tasks]
        for d in self.program.descriptors:
            if d["op"] != Op.COMPUTE:
                loads = d["op"] == Op.LOAD
                kind = kinds[Target(d["target"])] if loads else "ofmaps"
                moved = self._beats(d) * self.shape.bus_bytes if loads else d["rows"] * d["bytes"]
                found[d["layer"]] += Traffic(**{kind: moved})
        return tuple(found)

    @cached_property
    def buffer_traffic(self) -> tuple[BufferTraffic, ...]:
        """Words between the buffers and the array, of each task: what the hardware counts."""
        found = [BufferTraffic() for _ in self.tasks]
        for d in self.program.descriptors:
            if d["op"] == Op.COMPUTE:
                found[d["layer"]] += traffic_of(d, self.shape)
        return tuple(found)

    def task_words(self, words: list[dict[str, list[int]]]) -> tuple[BufferTraffic, ...]:
        """The same, from the words that the tiles of each unit moved in a run, in their order."""
        found = [BufferTraffic() for _ in self.tasks]
        tile = [0] * self.shape.tiles
        for d in self.program.descriptors:
            if d["op"] == Op.COMPUTE:
                unit = d["unit"]
                moved = {name: counts[tile[unit]] for name, counts in words[unit].items()}
                found[d["layer"]] += BufferTraffic(**moved)
                tile[unit] += 1
        return tuple(found)

    def estimate(self, memory: Memory | None = None) -> Estimate:
        """The cycles with an external memory, by default a quick one (see cycles.Memory)."""
        given, program = memory or Memory(), self.program
        if given not in self._estimates:
            run = times(program.descriptors, program.start, self.shape, given)
            finished = self.task_cycles(run.finished[Op.COMPUTE])
            self._estimates[given] = Estimate(run.total, finished)
        return self._estimates[given]

    @property
    def program_bytes(self) -> int:
        """Of all descriptors, which a run reads once."""
        return self.program.end - self.program.start

    @cached_property
    def beats(self) -> tuple[int, int]:
        """Beats of external memory that a run reads, those of the program too, and writes."""
        moved = sum(self.traffic, Traffic())
        read = moved.weights + moved.parameters + moved.ifmaps + self.program_bytes
        stores = (d for d in self.program.descriptors if d["op"] == Op.STORE)
        return read // self.shape.bus_bytes, sum(self._beats(d) for d in stores)

    def _beats(self, transfer: dict[str, int]) -> int:
        """Beats of all rows of a transfer, each of which is moved on its own."""
        bus = self.shape.bus_bytes
        rows = transfer["address"] + np.arange(transfer["rows"]) * transfer.get("pitch", 0)
        return int((-(-(rows % bus + transfer["bytes"]) // bus)).sum())

    @cached_property
    def _estimates(self) -> dict[Memory, Estimate]:
        """Those that were asked for: the model takes seconds for a large network."""
        return {}

    def task_cycles(self, finished: Sequence[int]) -> tuple[int, ...]:
        """Cycles of each task, from the cycles in which all tiles of a run were finished."""
        computes = [d["layer"] for d in self.program.descriptors if d["op"] == Op.COMPUTE]
        ends = [0] * len(self.tasks)
        for layer, cycle in zip(computes, finished, strict=True):
            ends[layer] = cycle
        return tuple(b - a for a, b in pairwise([0, *ends]))

    def layers(self) -> list[dict[str, Any]]:
        """How each task is tiled, as JSON values."""
        estimate = self.estimate()
        rows = []
        for n, (task, s, t) in enumerate(
            zip(self.tasks, self.placement.situations, self.placement.tilings, strict=True)
        ):
            rows.append(
                {
                    "name": task.name,
                    "layers": list(task.layers),
                    "macs": task.macs,
                    "operand": _operand(s.task),
                    "ifmap": {"name": task.x, "stays": s.x_stays},
                    "ofmap": {"name": task.y, "stays": s.y_stays},
                    "tile": {
                        "rows": t.rows,
                        "columns": t.columns,
                        "outputs": min(task.outputs, t.groups * self.shape.pe),
                        "taps": list(t.taps),
                    },
                    "split": str(t.split),
                    "units": len(s.shares(t.split)),
                    "tiles": sum(1 for _ in turns(s, t)),
                    "order": order(t),
                    "stationary": t.order.value,
                    "bytes": asdict(self.traffic[n]),
                    "buffer_bytes": self.buffer_traffic[n].bytes(self.shape),
                    "interval_bound": self.steps[n],
                    "interval_estimate": estimate.tasks[n],
                }
            )
        return rows

    def unused(self, multipliers: int | None, interval: int | None) -> str | None:
        """A sentence where a budget is beyond the largest array. There is no ``interval``."""
        if multipliers is None or multipliers < 2 * self.multipliers:
            return None
        units = "the largest array has" if self.shape.tiles == 1 else "the largest arrays have"
        return f"--multipliers {multipliers:,}: {units} {self.multipliers:,}; see --tiles"

    def to_json(self) -> dict[str, Any]:
        """The choices of the plan, which with the graph give it again, and what follows of them."""
        return {
            "schema": SCHEMA,
            "arch": ARCH,
            "engine": asdict(self.shape),
            "resident": self.resident,
            "units": self.used,
            "order": AUTO if self.preferred is None else self.preferred.value,
            "stays": sorted(self.placement.stays),
            "layers": self.layers(),
        }


def _operand(task: Task) -> str:
    return task.operand.name.lower() if task.softmax is None else "softmax"


def order(tiling: Tiling) -> str:
    """What of a task is the outer loop."""
    return "weights outer" if tiling.weights_outer else "pixels outer"


def plan_tiled(
    graph: Graph,
    shape: EngineShape,
    resident: int,
    progress: Progress | None = None,
    preferred: Order | None = None,
    units: int | None = None,
) -> TiledPlan:
    """Plan a legal graph on an engine. units : tile units that are given work; None: as many as
    make it the quickest. Raises UserError for what the engine can not carry out."""
    return _planned(graph, shape, resident, progress, preferred=preferred, units=units)


def _planned(
    graph: Graph,
    shape: EngineShape,
    resident: int,
    progress: Progress | None = None,
    keep: bool = True,
    preferred: Order | None = None,
    units: int | None = None,
) -> TiledPlan:
    work, plans, refused = work_of(graph), [], None
    for used in [n for n in TILES if n <= shape.tiles] if units is None else [units]:
        try:
            part = replace(shape, tiles=used)
            placement = place(work, part, resident, progress, keep, preferred)
        except UserError as error:
            refused = error
            continue
        plans.append(TiledPlan(graph, shape, resident, work, placement, keep, preferred, used))
    if not plans:
        assert refused is not None
        raise refused
    # Where transfers are the bound, fewer units are quicker: they exchange less.
    return min(plans, key=lambda plan: plan.estimate().cycles) if len(plans) > 1 else plans[0]
