"""Units where streams part and meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ..events import Process, Queue, Simulation
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
        queues = [sim.queue(f"{self.name}.fifo{n}", depth, 0) for n, depth in enumerate(self.fifos)]
        sim.processes.append(self._take(sim, sources[0], queues))
        return queues

    def _take(self, sim: Simulation, source: Queue, queues: list[Queue]) -> Process:
        work = sim.work(self.name)
        time = -1
        for n in range(sim.frames * self.input.beats):
            while len(source.push) <= n:
                yield
            begin = max(time + 1, source.push[n] + 1)
            work.starved += begin - time - 1
            time = begin
            for queue in queues:
                if n >= queue.depth:
                    while len(queue.pop) <= n - queue.depth:
                        yield
                    time = max(time, queue.pop[n - queue.depth] + 1)
            work.blocked += time - begin
            source.pop.append(time)
            for queue in queues:
                queue.push.append(time)


@dataclass(frozen=True)
class JoinUnit(Unit):
    """Common to units with several inputs. ``inputs`` : all of them; ``input`` is the first."""

    inputs: tuple[StreamShape, ...]

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {"input": max(stream.beats for stream in self.inputs)}

    def run(self, sim: Simulation, sources: list[Queue]) -> list[Queue]:
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.delay)
        sim.processes.append(self._take(sim, sources, out))
        return [out]

    def order(self) -> list[tuple[int, ...]]:
        """The inputs of which each output beat of a frame takes one."""
        raise AssertionError(f"{self.kind} has no order")

    delay: ClassVar[int] = 0
    waits: ClassVar[bool] = False
    """Whether the first beat of a frame waits for the input even where it takes nothing."""

    def _take(self, sim: Simulation, sources: list[Queue], out: Queue) -> Process:
        work = sim.work(self.name)
        order = self.order()
        time, n = -1, 0
        for _ in range(sim.frames):
            for beat, taken in enumerate(order):
                begin = time + 1
                for source in (0,) if self.waits and beat == 0 else taken:
                    queue = sources[source]
                    while len(queue.push) <= len(queue.pop):
                        yield
                    begin = max(begin, queue.push[len(queue.pop)] + 1)
                work.starved += begin - time - 1
                time = begin
                if n >= out.depth:
                    while len(out.pop) <= n - out.depth:
                        yield
                    time = max(time, out.pop[n - out.depth] + 1)
                work.blocked += time - begin
                for source in taken:
                    sources[source].pop.append(time)
                out.push.append(time + self.delay)
                n += 1


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
