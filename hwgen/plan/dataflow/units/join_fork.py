"""Units where streams part and meet."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from .base import CAPACITY, StreamShape, Unit


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

    @classmethod
    def choice_schema(cls) -> dict[str, Any]:
        # How many readers there are, the network says.
        return super().choice_schema() | {
            "patternProperties": {"^fifo[0-9]+$": CAPACITY},
            "$comment": "fifo and a number",
        }

    @classmethod
    def stated_capacities(cls) -> tuple[str, ...]:
        return ()

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
        readers = [place for q in queues for place in (q.push, q.pop, q.depth)]
        waits = sim.work(self.name).waits
        sim.process(Kind.FORK, beats, source.push, source.pop, waits, len(queues), *readers)
        return queues


@dataclass(frozen=True)
class JoinUnit(Unit):
    """Common to units with several inputs. ``inputs`` : all of them; ``input`` is the first."""

    inputs: tuple[StreamShape, ...]

    def input_of(self, source: int) -> StreamShape:
        return self.inputs[source]

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {"input": max(stream.beats for stream in self.inputs)}

    def run(self, sim: Simulation, sources: list[Queue]) -> list[Queue]:
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.output.beats, self.delay)
        order = self.order()
        taken = [sum(1 << source for source in inputs) for inputs in order]
        waited = [1, *taken[1:]] if self.waits else taken
        inputs = [place for q in sources for place in (q.push, q.pop)]
        sim.process(
            Kind.JOIN, self.output.beats, out.push, out.pop, sim.work(self.name).waits,
            sim.table(taken), sim.table(waited), len(order), out.depth, self.delay, len(sources),
            *inputs,
        )  # fmt: skip
        return [out]

    def order(self) -> list[tuple[int, ...]]:
        """The inputs of which each output beat takes one, over and over: for all beats of a frame
        where its first one ``waits``."""
        raise AssertionError(f"{self.kind} has no order")

    delay: ClassVar[int] = 0
    waits: ClassVar[bool] = False
    """Whether the first beat of a frame waits for the input even where it takes nothing."""
