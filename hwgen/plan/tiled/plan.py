"""Plan of the tiled architecture: an engine, and the program that carries out a network on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import Any, ClassVar

import numpy as np

from ...aliases import Progress
from ...contract.engine import TILES, EngineShape
from ...contract.features import Feature, asks, with_parts
from ...contract.isa import (
    LEVELS,
    OUTPUT_LEVELS,
    SOFTMAX_CHANNELS,
    TABLE_WORDS,
    Opcode,
    Operand,
    Target,
)
from ...errors import UserError
from ...ir import Graph
from ...numeric import ceil_div
from ...tables import html_table
from .bounds import Bounds, bounds_of
from .external_traffic import ExternalTraffic
from .mapping.buffer_traffic import BufferTraffic, traffic_of
from .mapping.placement import Placement, place
from .mapping.stationarity import Stationarity
from .mapping.tiling import Tiling
from .network.lower import task_graph_of
from .network.softmax import softmax_cycles
from .network.tasks import Task, TaskGraph
from .options import AUTO, buffer_bytes
from .schedule.program import Program, Writer
from .schedule.tile_order import tile_order
from .timing import MemoryTiming, Times, times

SCHEMA = 1
OPERANDS = {
    Operand.DENSE: "shared",
    Operand.DEPTHWISE: "own",
    Operand.DEPTHWISE_WINDOW: "window",
}
"""What plan files call operands."""


@dataclass(frozen=True)
class Estimate:
    """Cycles of a run, and of each task from the end of the one before it to its own."""

    cycles: int
    tasks: tuple[int, ...]


@dataclass(frozen=True, eq=False, repr=False)
class TiledPlan:
    """A network on an engine.

    resident : tiles held in each buffer. keep : False: every tensor goes to external memory, where
    it can be seen. preferred : stationarity where a task can have it; None: the best one.
    used : tile units that have task_graph, the first ones.
    """

    arch: ClassVar[str] = "tiled"

    graph: Graph
    shape: EngineShape
    resident: int
    task_graph: TaskGraph
    placement: Placement
    keep: bool = True
    preferred: Stationarity | None = None
    used: int = 1

    @cached_property
    def program(self) -> Program:
        """Descriptors and the image of external memory."""
        return Writer(
            self.task_graph, self.placement, replace(self.shape, tiles=self.used)
        ).program()

    def outside(self) -> TiledPlan:
        """The same network on the same engine, with every tensor in external memory."""
        return _planned(
            self.graph, self.shape, self.resident, keep=False, preferred=self.preferred,
            units=self.used,
        )  # fmt: skip

    @property
    def tasks(self) -> list[Task]:
        """The tasks in the order of their execution; descriptors number them as layers."""
        return self.task_graph.tasks

    @property
    def multipliers(self) -> int:
        """Lanes of the array."""
        return self.shape.pe * self.shape.simd * self.shape.tiles

    @property
    def requant_multipliers(self) -> int:
        """One for each requantizer."""
        return self.shape.requantizers * self.shape.tiles

    @property
    def memory_bits(self) -> int:
        """Bits of all buffers."""
        tables, softmax = (self.shape.has(f) for f in (Feature.TABLES, Feature.SOFTMAX))
        beside = tables * 2 * TABLE_WORDS * 4 + softmax * SOFTMAX_CHANNELS
        return 8 * (buffer_bytes(self.shape) + beside) * self.shape.tiles

    @property
    def tiles(self) -> int:
        """Tiles of all tasks."""
        return sum(d["op"] == Opcode.COMPUTE for d in self.program.descriptors)

    @cached_property
    def needs(self) -> tuple[Feature, ...]:
        """The features that the program makes use of, with all that they are made of."""
        tiles = [d for d in self.program.descriptors if d["op"] == Opcode.COMPUTE]
        asked = {f for f in Feature if any(asks(defaultdict(int, d), f) for d in tiles)}
        return tuple(feature for feature in Feature if feature in with_parts(asked))

    @property
    def could_leave_out(self) -> tuple[Feature, ...]:
        """The features that the engine has and the program makes no use of."""
        return tuple(f for f in Feature if self.shape.has(f) and f not in self.needs)

    @cached_property
    def unit_steps(self) -> np.ndarray[Any, Any]:
        """Steps (tasks, tile units) of the arrays: a step is a cycle where nothing waits. A
        softmax has the cycles of its lane."""
        counts = np.zeros((len(self.tasks), self.shape.tiles), np.int64)
        for d in self.program.descriptors:
            if d["op"] == Opcode.COMPUTE:
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
    def traffic(self) -> tuple[ExternalTraffic, ...]:
        """What each task moves. The second operand of a sum is an ifmap; tables are parameters."""
        kinds = {
            Target.FEATURES: "ifmaps",
            Target.WEIGHTS: "weights",
            Target.PARAMETERS: "parameters",
            Target.TABLES: "parameters",
        }
        found = [ExternalTraffic() for _ in self.tasks]
        for d in self.program.descriptors:
            if d["op"] != Opcode.COMPUTE:
                loads = d["op"] == Opcode.LOAD
                kind = kinds[Target(d["target"])] if loads else "ofmaps"
                moved = self._beats(d) * self.shape.bus_bytes if loads else d["rows"] * d["bytes"]
                found[d["layer"]] += ExternalTraffic(**{kind: moved})
        return tuple(found)

    @cached_property
    def bounds(self) -> tuple[Bounds, ...]:
        """Cycles that each task takes at least, by what it needs."""
        beats = [[0, 0] for _ in self.tasks]
        for d in self.program.descriptors:
            if d["op"] != Opcode.COMPUTE:
                beats[d["layer"]][d["op"] == Opcode.STORE] += self._beats(d)
        moved = [(read, written) for read, written in beats]
        return bounds_of(self.program.descriptors, self.shape, self.steps, moved)

    @property
    def memory_bound(self) -> int:
        """Cycles of the port to external memory: beats read or written, whichever are more."""
        return max(self.beats)

    @cached_property
    def buffer_traffic(self) -> tuple[BufferTraffic, ...]:
        """Words between the buffers and the array, of each task: what the hardware counts."""
        found = [BufferTraffic() for _ in self.tasks]
        for d in self.program.descriptors:
            if d["op"] == Opcode.COMPUTE:
                found[d["layer"]] += traffic_of(d, self.shape)
        return tuple(found)

    def task_words(self, words: list[dict[str, list[int]]]) -> tuple[BufferTraffic, ...]:
        """Words of each task, from those that each unit's tiles moved in a run, in their order."""
        found = [BufferTraffic() for _ in self.tasks]
        tile = [0] * self.shape.tiles
        for d in self.program.descriptors:
            if d["op"] == Opcode.COMPUTE:
                unit = d["unit"]
                moved = {name: counts[tile[unit]] for name, counts in words[unit].items()}
                found[d["layer"]] += BufferTraffic(**moved)
                tile[unit] += 1
        return tuple(found)

    def estimate(self, memory: MemoryTiming | None = None) -> Estimate:
        """The cycles with an external memory, by default a quick one (see timing.MemoryTiming)."""
        run = self.times(memory)
        return Estimate(run.total, self.task_cycles(run.finished[Opcode.COMPUTE]))

    def times(self, memory: MemoryTiming | None = None) -> Times:
        """When all descriptors begin and end with an external memory, by default a quick one."""
        given, program = memory or MemoryTiming(), self.program
        if given not in self._runs:
            self._runs[given] = times(program.descriptors, program.start, self.shape, given)
        return self._runs[given]

    @property
    def program_bytes(self) -> int:
        """Bytes of all descriptors, which a run reads once."""
        return self.program.end - self.program.start

    @cached_property
    def beats(self) -> tuple[int, int]:
        """Beats of external memory that a run reads, those of the program too, and writes."""
        moved = sum(self.traffic, ExternalTraffic())
        read = moved.weights + moved.parameters + moved.ifmaps + self.program_bytes
        stores = (d for d in self.program.descriptors if d["op"] == Opcode.STORE)
        return read // self.shape.bus_bytes, sum(self._beats(d) for d in stores)

    def _beats(self, transfer: dict[str, int]) -> int:
        """Beats of all rows of a transfer, each of which is moved on its own."""
        bus = self.shape.bus_bytes
        rows = transfer["address"] + np.arange(transfer["rows"]) * transfer.get("pitch", 0)
        return int(ceil_div(rows % bus + transfer["bytes"], bus).sum())

    @cached_property
    def _runs(self) -> dict[MemoryTiming, Times]:
        """The runs that were asked for: the model takes seconds for a large network."""
        return {}

    def task_cycles(self, finished: Sequence[int]) -> tuple[int, ...]:
        """Cycles of each task, from the cycles in which all tiles of a run were finished."""
        computes = [d["layer"] for d in self.program.descriptors if d["op"] == Opcode.COMPUTE]
        ends = [0] * len(self.tasks)
        for layer, cycle in zip(computes, finished, strict=True):
            ends[layer] = cycle
        return tuple(b - a for a, b in pairwise([0, *ends]))

    def layers(self) -> list[dict[str, Any]]:
        """How each task is tiled, as JSON values."""
        estimate = self.estimate()
        rows = []
        for n, (task, s, t) in enumerate(
            zip(self.tasks, self.placement.problems, self.placement.tilings, strict=True)
        ):
            rows.append(
                {
                    "name": task.name,
                    "layers": list(task.layers),
                    "macs": task.macs,
                    "operand": _operand(s.task),
                    "ifmap": {"name": task.x, "stays": s.x_on_chip},
                    "ofmap": {"name": task.y, "stays": s.y_on_chip},
                    "tile": {
                        "rows": t.rows,
                        "columns": t.columns,
                        "outputs": min(task.outputs, t.cout_blocks * self.shape.pe),
                        "taps": list(t.taps),
                    },
                    "split": str(t.split),
                    "units": len(s.shares(t.split)),
                    "tiles": sum(1 for _ in tile_order(s, t)),
                    "order": order(t),
                    "stationary": t.stationarity.value,
                    "bytes": asdict(self.traffic[n]),
                    "buffer_bytes": self.buffer_traffic[n].bytes(self.shape),
                    "bounds": asdict(self.bounds[n]),
                    "binds": self.bounds[n].binds,
                    "interval_bound": self.steps[n],
                    "interval_estimate": estimate.tasks[n],
                }
            )
        return rows

    def __repr__(self) -> str:
        shape = self.shape
        units = "" if shape.tiles == 1 else f"{shape.tiles} x "
        return (
            f"<TiledPlan {self.graph.name!r}: {units}{shape.pe}x{shape.simd} multipliers, "
            f"a frame in {self.estimate().cycles:,} cycles>"
        )

    def _repr_html_(self) -> str:
        keys = ("name", "macs", "tiles", "interval_bound", "interval_estimate")
        rows = [[row[key] for key in keys] for row in self.layers()]
        return html_table(repr(self), ["layer", "MACs", "tiles", "steps", "cycles"], rows)

    def unused(self, multipliers: int | None) -> str | None:
        """A sentence where a budget is beyond the largest array."""
        if multipliers is None or multipliers < 2 * self.multipliers:
            return None
        units = "the largest array has" if self.shape.tiles == 1 else "the largest arrays have"
        return f"--multipliers {multipliers:,}: {units} {self.multipliers:,}; see --tiles"

    def to_json(self) -> dict[str, Any]:
        """The choices of the plan, which with the graph give it again, and what follows of them."""
        return {
            "schema": SCHEMA,
            "arch": self.arch,
            "engine": self.shape.to_json(),
            "resident": self.resident,
            "units": self.used,
            "order": AUTO if self.preferred is None else self.preferred.value,
            "stays": sorted(self.placement.on_chip),
            "layers": self.layers(),
        }


def _operand(task: Task) -> str:
    return OPERANDS[task.operand] if task.softmax is None else "softmax"


def order(tiling: Tiling) -> str:
    """Say what of a task is the outer loop."""
    return "weights outer" if tiling.weights_outer else "pixels outer"


EARLY = (4, 16)
"""Values of MappingProblem.early, the second of which is tried where the array waits.

Finer blocks cost cycles between tiles, and save some where the weights of late layers hold up the
array: VWW takes 46,199 cycles with the first on 16x16, 44,488 with the second; for ResNet-8 it is
the other way round. With 1 the cycles of 16 plans (MNIST, the small ResNet, ResNet-8 and DS-CNN on
four engines) grow by 1.2 %, with 2 by 0.4 %; with 8 they differ by less than 0.1 %.
"""
WAITING = 0.05
"""Part of its bound that a plan takes longer from which on the array is said to wait."""


def plan_tiled(
    graph: Graph,
    shape: EngineShape,
    resident: int,
    progress: Progress | None = None,
    preferred: Stationarity | None = None,
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
    preferred: Stationarity | None = None,
    units: int | None = None,
) -> TiledPlan:
    task_graph, plans, refused = task_graph_of(graph, shape), [], None
    for used in [n for n in TILES if n <= shape.tiles] if units is None else [units]:
        part, say = replace(shape, tiles=used), progress
        for early in EARLY:
            try:
                placement = place(task_graph, part, resident, say, keep, preferred, early)
            except UserError as error:
                refused = error
                break
            plan = TiledPlan(graph, shape, resident, task_graph, placement, keep, preferred, used)
            plans.append(plan)
            if plan.estimate().cycles <= (1 + WAITING) * plan.interval_bound:
                break
            say = None
    if not plans:
        assert refused is not None
        raise refused
    # Where transfers are the bound, fewer units are quicker: they exchange less.
    return min(plans, key=lambda plan: plan.estimate().cycles) if len(plans) > 1 else plans[0]
