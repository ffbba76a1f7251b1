"""Plan of the dataflow architecture: units in stream order with all their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ...ir import Graph
from ...tables import html_table
from .events.simulation import FRAMES, Timing
from .folding import useful_multipliers
from .network import INPUT_FIFO, Run, interval_of, run_units
from .ports import Port, frame_begins, frame_ends
from .stages import stages_of
from .units import Unit

SCHEMA = 1


@dataclass(frozen=True)
class Passages:
    """Cycles of the first and of the last beat of each frame, in a run of the event model.

    first, ends : the first beat into the accelerator, and the last one out of it, at whichever
    port. taken, given : of the beats that each unit takes from its (first) source, and of those
    that are taken from it.
    """

    first: tuple[int, ...]
    ends: tuple[int, ...]
    taken: dict[str, list[tuple[int, int]]]
    given: dict[str, list[tuple[int, int]]]


@dataclass(frozen=True, repr=False)
class DataflowPlan:
    """Units of a network in topological order.

    ``inputs`` and ``outputs`` are the streams at the ports, in the order of the network's.
    """

    arch: ClassVar[str] = "dataflow"

    graph: Graph
    inputs: tuple[Port, ...]
    units: tuple[Unit, ...]
    outputs: tuple[Port, ...]

    @property
    def interval_bound(self) -> int:
        """Largest number of beats a frame takes at any resource of any unit."""
        own = [max(unit.bounds.values()) for unit in self.units]
        return max([*(port.shape.beats for port in self.inputs), *own])

    @property
    def multipliers(self) -> int:
        """MAC lanes of all units."""
        return sum(unit.multipliers for unit in self.units)

    @property
    def requant_multipliers(self) -> int:
        """Multipliers of all requantizers."""
        return sum(unit.requant_multipliers for unit in self.units)

    @property
    def memory_bits(self) -> int:
        """Bits of all buffers and parameter memories."""
        held = (INPUT_FIFO * x.shape.lanes * x.shape.bits for x in self.inputs)
        return sum(held) + sum(unit.memory_bits for unit in self.units)

    def timing(self, frames: int = FRAMES) -> Timing:
        """Run the event model. Raises Deadlock when a buffer is too small."""
        run = run_units(self.units, frames)
        sim, events, (first, ends) = run.sim, run.events, self._frames(run)
        until = ends[-1] + 1
        return Timing(
            tuple(ends),
            tuple(first),
            {name: int(level(events, until)) for name, level in sim.levels.items()},
            {name: work.starved(events) for name, work in sim.activity.items()},
            {name: work.blocked(events) for name, work in sim.activity.items()},
            {x.bus: run.first[x.stream] for x in self.inputs}
            | {y.bus: run.ends[y.stream] for y in self.outputs},
        )

    def _frames(self, run: Run) -> tuple[list[int], list[int]]:
        """When each frame begins and ends in a run."""
        first = frame_begins(run.first[port.stream] for port in self.inputs)
        return first, frame_ends(run.ends[port.stream] for port in self.outputs)

    def interval(self, frames: int) -> float:
        """Interval after so many frames, infinite where a buffer is too small to go on."""
        return interval_of(self.units, frames)

    def passages(self, frames: int) -> Passages:
        """When each frame passes each unit. Raises Deadlock when a buffer is too small."""
        run = run_units(self.units, frames)
        streams = {port.stream: f"{port.stream}.fifo" for port in self.inputs}
        for unit in self.units:
            several = len(unit.streams) > 1
            names = [f"{unit.name}.fifo{n if several else ''}" for n in range(len(unit.streams))]
            streams |= dict(zip(unit.streams, names, strict=True))

        def ends_of(stream: str, beats: int) -> list[tuple[int, int]]:
            taken = run.events.entries(run.sim.queues[streams[stream]].pop)
            return [(int(row[0]), int(row[-1])) for row in taken.reshape(frames, beats)]

        taken = {u.name: ends_of(u.sources[0], u.input.beats) for u in self.units}
        given = {u.name: ends_of(u.streams[0], u.output.beats) for u in self.units}
        first, ends = self._frames(run)
        return Passages(tuple(first), tuple(ends), taken, given)

    def __repr__(self) -> str:
        return (
            f"<DataflowPlan {self.graph.name!r}: {len(self.units)} units, {self.multipliers} "
            f"multipliers, at best a frame every {self.interval_bound:,} cycles>"
        )

    def _repr_html_(self) -> str:
        rows = [
            [unit.name, unit.kind, f"{unit.pe}x{unit.simd}" if unit.pe else "", unit.macs,
             max(unit.bounds.values())]
            for unit in self.units
        ]  # fmt: skip
        return html_table(repr(self), ["unit", "kind", "PE x SIMD", "MACs", "cycles"], rows)

    def unused(self, multipliers: int | None, interval: int | None) -> str | None:
        """A sentence where a budget, or an interval, is beyond what this network can use."""
        if multipliers is not None and multipliers > self.multipliers:
            _, most = useful_multipliers(stages_of(self.graph))
            if multipliers > most:
                return f"--multipliers {multipliers:,}: {most:,} are the most that can be used here"
        if interval is not None and interval > self.interval_bound:
            fewest, _ = useful_multipliers(stages_of(self.graph))
            if self.multipliers == fewest:
                return (
                    f"--interval {interval:,}: {self.interval_bound:,} cycles are kept with the "
                    f"fewest multipliers that this network needs, {fewest:,}"
                )
        return None

    def to_json(self) -> dict[str, Any]:
        """The choices of the plan; with the graph they give the plan again."""
        return {
            "schema": SCHEMA,
            "arch": self.arch,
            "input_lanes": self._input_lanes(),
            "units": [unit.choices() for unit in self.units],
        }

    def _input_lanes(self) -> int | dict[str, int]:
        """Lanes of the only input, or of each one by its name."""
        lanes = {port.tensor: port.shape.lanes for port in self.inputs}
        return lanes if len(lanes) > 1 else self.inputs[0].shape.lanes
