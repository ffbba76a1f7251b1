"""Softmax: its rules and its units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....errors import UserError
from ....ir import Graph, Node, ops
from ... import latency
from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from ..units import Unit
from .rule import OpT, Place, Rule, Stage, pixels

MAX_OUT = 16
"""Bits of a result in float32."""


@dataclass(frozen=True)
class VectorUnit(Unit):
    """A unit that takes the channels of a pixel one after the other, and gives as many."""

    power_bits: ClassVar[int]
    """Bits of an exponential, of which it has a table."""
    delay: ClassVar[int]
    """Cycles from asking for a result to its queue."""
    every: ClassVar[int]
    """Cycles from a result to the next."""

    @property
    def cycles(self) -> tuple[int, int]:
        """Cycles from taking a vector's last element to asking for its first result, and those of a
        vector."""
        raise AssertionError(f"{self.kind} has no cycles")

    @property
    def exponentials(self) -> int:
        """Words of its table."""
        return 1 << self.input.bits

    @property
    def bounds(self) -> dict[str, int]:
        _, interval = self.cycles
        return super().bounds | {"compute": self.input.pixels * interval}

    @property
    def burst(self) -> int:
        return self.output.channels

    @property
    def memory_bits(self) -> int:
        stored = self.input.channels * self.input.bits + self.exponentials * self.power_bits
        return super().memory_bits + stored

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.output.beats, self.delay)
        gap, _ = self.cycles
        sim.process(
            Kind.VECTOR, self.input.beats + self.output.beats, source.push, source.pop, out.push,
            out.pop, sim.work(self.name).waits, sim.state(1), self.input.channels, gap, self.every,
            out.depth, self.delay,
        )  # fmt: skip
        return out


@dataclass(frozen=True)
class SoftmaxUnit(VectorUnit):
    """Softmax over the channels in fixed point. See gateware Softmax."""

    kind: ClassVar[str] = "softmax"
    power_bits: ClassVar[int] = 31
    delay: ClassVar[int] = latency.SOFTMAX
    every: ClassVar[int] = 1

    @property
    def requant_multipliers(self) -> int:
        return 1

    @property
    def cycles(self) -> tuple[int, int]:
        return latency.softmax(self.input.channels)


@dataclass(frozen=True)
class SoftmaxTableUnit(VectorUnit):
    """Softmax over the channels in float32. See gateware SoftmaxTable.

    inverse : exponentials are multiplied by the inverse of their sum; else dividends, of which the
    table has as many as exponentials, are divided by it.
    """

    kind: ClassVar[str] = "softmax_table"
    power_bits: ClassVar[int] = 32
    delay: ClassVar[int] = latency.SOFTMAX_TABLE
    every: ClassVar[int] = latency.SOFTMAX_TABLE_EVERY

    inverse: bool

    @property
    def cycles(self) -> tuple[int, int]:
        return latency.softmax_table(self.input.channels, self.inverse)

    @property
    def exponentials(self) -> int:
        return super().exponentials * (1 if self.inverse else 2)


class VectorRule(Rule[OpT]):
    """The channels come one by one."""

    def fixed_cycles(self, stage: Stage[OpT]) -> int:
        _, interval = self.cycles(stage)
        return pixels(stage.input) * interval

    def cycles(self, stage: Stage[OpT]) -> tuple[int, int]:
        """The same as those of the unit."""
        raise AssertionError(f"{type(self).__name__} has no cycles")

    def lanes(self, stage: Stage[OpT], place: Place, target: int) -> int:
        return 1


class SoftmaxRule(VectorRule[ops.Softmax]):
    """A softmax in fixed point."""

    def cycles(self, stage: Stage[ops.Softmax]) -> tuple[int, int]:
        return latency.softmax(stage.input.channels)

    def unit(self, stage: Stage[ops.Softmax], place: Place) -> Unit:
        return SoftmaxUnit(**self.common(stage, place))


class SoftmaxTableRule(VectorRule[ops.SoftmaxTable]):
    """A softmax in float32."""

    def stage(
        self, node: Node, following: Node | None, graph: Graph
    ) -> Stage[ops.SoftmaxTable] | None:
        width = graph.tensors[node.name].type.width
        if width > MAX_OUT:
            raise UserError(
                f"the dataflow architecture has a softmax in float32 of up to {MAX_OUT} bits, this "
                f"one gives {width}",
                layer=node.name,
                hint=f"give it a type of {MAX_OUT} bits",
            )
        return super().stage(node, following, graph)

    def cycles(self, stage: Stage[ops.SoftmaxTable]) -> tuple[int, int]:
        return latency.softmax_table(stage.input.channels, stage.op.steps is None)

    def unit(self, stage: Stage[ops.SoftmaxTable], place: Place) -> Unit:
        return SoftmaxTableUnit(**self.common(stage, place), inverse=stage.op.steps is None)
