"""What all units of the dataflow architecture have, as data.

Each unit reads one stream and writes one. ``bounds`` are the beats a frame takes at each of its
resources; the largest over all units is the interval bound of the accelerator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ....numeric import ceil_div
from ....validation import constant, fields, integer, list_of
from ... import latency
from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from ..events.times import Words

CAPACITY = integer(1, 1 << 20)
"""Entries of a buffer in a plan file, and of whatever is counted as lanes."""


@dataclass(frozen=True)
class StreamShape:
    """How a tensor is streamed: pixels of ``channels`` elements of ``bits``, ``lanes`` a beat."""

    pixels: int
    channels: int
    lanes: int
    bits: int

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return self.pixels * ceil_div(self.channels, self.lanes)


@dataclass(frozen=True)
class Unit:
    """What all units have: a name, the graph's layers they carry out, their streams.

    sources : names of the streams they read. fifo : entries of the output FIFO.
    """

    kind: ClassVar[str]
    capacities: ClassVar[tuple[str, ...]] = ("fifo",)
    """Fields that the event model sizes."""

    name: str
    layers: tuple[str, ...]
    sources: tuple[str, ...]
    input: StreamShape
    output: StreamShape
    fifo: int

    def input_of(self, source: int) -> StreamShape:
        """The stream that is one of the ``sources``."""
        return self.input

    @property
    def bounds(self) -> dict[str, int]:
        """Beats of a frame at each resource."""
        return {"input": self.input.beats, "output": self.output.beats}

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a frame."""
        return 0

    @property
    def pe(self) -> int:
        """Outputs at a time, 0 where there are no multipliers."""
        return 0

    @property
    def simd(self) -> int:
        """Products summed at a time, 0 where there are no multipliers."""
        return 0

    @property
    def multipliers(self) -> int:
        """MAC lanes."""
        return 0

    @property
    def requant_multipliers(self) -> int:
        """Multipliers of the requantizers."""
        return 0

    @property
    def busy(self) -> int:
        """Cycles a frame in which the unit takes or makes something."""
        return self.bounds.get("compute", self.input.beats)

    @property
    def memory_bits(self) -> int:
        """Bits of buffers and parameter memories."""
        return self.fifo * self.output.lanes * self.output.bits

    def smallest(self, field: str) -> int:
        """Least capacity that can work at all."""
        return 1

    def generous(self, field: str) -> int:
        """A capacity beyond which more does not help.

        Behind a pool or a stride results come in bursts, a row at a time.
        """
        return latency.requantizer(True, self.output.channels) + 6 + self.burst

    @property
    def burst(self) -> int:
        """Beats that leave faster than the frame's average."""
        return 0

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams they give: their own where it is one."""
        return (self.name,)

    def capacity(self, field: str) -> int:
        """One of the capacities."""
        return getattr(self, field)

    def with_capacity(self, field: str, value: int) -> Unit:
        """The unit with one capacity changed."""
        return replace(self, **{field: bool(value) if field == "parallel" else value})

    @classmethod
    def stated_capacities(cls) -> tuple[str, ...]:
        """The capacities that every unit of this kind has."""
        return cls.capacities

    @classmethod
    def choice_schema(cls) -> dict[str, Any]:
        """The schema of what a plan file states of a unit of this kind, see ``choices``."""
        sizes = dict.fromkeys(cls.stated_capacities(), CAPACITY)
        if "parallel" in sizes:
            sizes["parallel"] = {"type": "boolean"}
        free = {"layers": list_of({"type": "string"}), "lanes": CAPACITY}
        needed = {"name": {"type": "string"}, "kind": constant(cls.kind), **sizes}
        return fields(needed | free, required=list(needed))

    def choices(self) -> dict[str, Any]:
        """What a plan file states of this unit."""
        out: dict[str, Any] = {"name": self.name, "kind": self.kind, "layers": list(self.layers)}
        out["lanes"] = self.output.lanes
        for field in self.capacities:
            out[field] = self.capacity(field)
        return out

    def run(self, sim: Simulation, sources: list[Queue]) -> list[Queue]:
        """Add this unit's processes to a simulation; returns a queue for each of ``streams``."""
        return [self.simulate(sim, *sources)]

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        """Do the same for a unit with one input and one output."""
        raise AssertionError(f"{self.kind} has no event model")


@dataclass(frozen=True)
class BeatUnit(Unit):
    """Common to units that take a beat a cycle and answer some of them a fixed time later."""

    delay: int

    def generous(self, field: str) -> int:
        """Room for every beat on its way."""
        return max(super().generous(field), self.delay + 6 + self.burst)

    def completes(self) -> Sequence[bool] | Words:
        """Tell for each input beat whether it gives an output beat, over and over."""
        return [True]

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.output.beats, self.delay)
        completes = self.completes()
        sim.process(
            Kind.TAKE, self.input.beats, source.push, source.pop, out.push, out.pop,
            sim.work(self.name).waits, sim.table(completes), len(completes), out.depth, self.delay,
        )  # fmt: skip
        return out
