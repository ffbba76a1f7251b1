"""Units where streams part and meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..events import Process, Queue, Simulation, Times, add, at, count, process
from .base import StreamShape, Unit


@dataclass(frozen=True)
class ForkUnit(Unit):
    """One stream for several readers. See gateware Fork.

    fifos : entries of each reader's queue; ``fifo`` is their sum.
    """

    kind: ClassVar[str] = "fork"

    fifos: tuple[int, ...]

    @property
    def capacities(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"fifo{n}" for n in range(len(self.fifos)))

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(f"{self.name}.{n}" for n in range(len(self.fifos)))

    def capacity(self, field: str) -> int:
        return self.fifos[int(field.removeprefix("fifo"))]

    def with_capacity(self, field: str, value: int) -> ForkUnit:
        index = int(field.removeprefix("fifo"))
        fifos = (*self.fifos[:index], value, *self.fifos[index + 1 :])
        return replace(self, fifos=fifos, fifo=sum(fifos))

    def generous(self, field: str) -> int:
        """One branch may have to wait for all of a frame on the other."""
        return self.output.beats + 4

    def run(self, sim: Simulation, sources: list[Queue]) -> list[Queue]:
        beats = self.input.beats
        queues = [
            sim.queue(f"{self.name}.fifo{n}", depth, beats, 0) for n, depth in enumerate(self.fifos)
        ]
        (source,) = sources
        pushes, pops = tuple(q.push for q in queues), tuple(q.pop for q in queues)
        depths, waits = np.array(self.fifos, np.int64), sim.work(self.name).waits
        sim.processes.append(
            _fork(source.push, source.pop, pushes, pops, depths, waits, sim.frames * beats)
        )
        return queues


@process
def _fork(
    pushed: Times, popped: Times, pushes: tuple[Times, ...], pops: tuple[Times, ...],
    depths: Times, work: Times, beats: int,
) -> Process:  # fmt: skip
    time = -1
    for n in range(beats):
        while count(pushed) <= n:
            yield 0
        begin = max(time + 1, at(pushed, n) + 1)
        work[0] += begin - time - 1
        time = begin
        for reader in range(len(pops)):
            if n >= depths[reader]:
                while count(pops[reader]) <= n - depths[reader]:
                    yield 0
                time = max(time, at(pops[reader], n - depths[reader]) + 1)
        work[1] += time - begin
        add(popped, time)
        for reader in range(len(pushes)):
            add(pushes[reader], time)


@dataclass(frozen=True)
class JoinUnit(Unit):
    """Common to units with several inputs. ``inputs`` : all of them; ``input`` is the first."""

    inputs: tuple[StreamShape, ...]

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {"input": max(stream.beats for stream in self.inputs)}

    def run(self, sim: Simulation, sources: list[Queue]) -> list[Queue]:
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.output.beats, self.delay)
        order = self.order()
        taken = np.zeros((len(order), len(sources)), np.bool_)
        for beat, inputs in enumerate(order):
            taken[beat, list(inputs)] = True
        waited = taken.copy()
        if self.waits:
            waited[0] = [True] + [False] * (len(sources) - 1)
        pushes, pops = tuple(q.push for q in sources), tuple(q.pop for q in sources)
        waits = sim.work(self.name).waits
        sim.processes.append(
            _join(pushes, pops, out.push, out.pop, waits, taken, waited, sim.frames, out.depth,
                  self.delay)
        )  # fmt: skip
        return [out]

    def order(self) -> list[tuple[int, ...]]:
        """The inputs of which each output beat of a frame takes one."""
        raise AssertionError(f"{self.kind} has no order")

    delay: ClassVar[int] = 0
    waits: ClassVar[bool] = False
    """Whether the first beat of a frame waits for the input even where it takes nothing."""


@process
def _join(
    pushes: tuple[Times, ...], pops: tuple[Times, ...], push: Times, pop: Times, work: Times,
    taken: Times, waited: Times, frames: int, depth: int, delay: int,
) -> Process:  # fmt: skip
    time = -1
    for n in range(frames * taken.shape[0]):
        beat = n % taken.shape[0]
        begin = time + 1
        for source in range(len(pushes)):
            if waited[beat, source]:
                while count(pushes[source]) <= count(pops[source]):
                    yield 0
                begin = max(begin, at(pushes[source], count(pops[source])) + 1)
        work[0] += begin - time - 1
        time = begin
        if n >= depth:
            while count(pop) <= n - depth:
                yield 0
            time = max(time, at(pop, n - depth) + 1)
        work[1] += time - begin
        for source in range(len(pops)):
            if taken[beat, source]:
                add(pops[source], time)
        add(push, time + delay)


@dataclass(frozen=True)
class AddUnit(JoinUnit):
    """Sum of streams. See gateware Add."""

    kind: ClassVar[str] = "add"
    delay: ClassVar[int] = 1

    def order(self) -> list[tuple[int, ...]]:
        return [tuple(range(len(self.inputs)))] * self.output.beats


@dataclass(frozen=True)
class ConcatUnit(JoinUnit):
    """Channels one input after the other. See gateware Concat."""

    kind: ClassVar[str] = "concat"

    def order(self) -> list[tuple[int, ...]]:
        beats = [stream.beats // stream.pixels for stream in self.inputs]
        pixel = [(source,) for source, count in enumerate(beats) for _ in range(count)]
        return pixel * self.output.pixels


__all__ = ["AddUnit", "ConcatUnit", "ForkUnit", "JoinUnit"]
