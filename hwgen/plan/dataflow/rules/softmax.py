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
    def table_bits(self) -> int:
        """Bits that are stored of the exponential of each difference."""
        raise AssertionError(f"{self.kind} has no table")

    @property
    def bounds(self) -> dict[str, int]:
        _, interval = self.cycles
        return super().bounds | {"compute": self.input.pixels * interval}

    @property
    def burst(self) -> int:
        return self.output.channels

    @property
    def memory_bits(self) -> int:
        table = self.table_bits << self.input.bits
        return super().memory_bits + self.input.channels * self.input.bits + table

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
    delay: ClassVar[int] = latency.SOFTMAX
    every: ClassVar[int] = 1

    @property
    def requant_multipliers(self) -> int:
        return 1

    @property
    def cycles(self) -> tuple[int, int]:
        return latency.softmax(self.input.channels)

    @property
    def table_bits(self) -> int:
        return 31


@dataclass(frozen=True)
class SoftmaxTableUnit(VectorUnit):
    """Softmax over the channels in float32. See gateware SoftmaxTable.

    steps : of the output, of which each exponential has its part; None: as many as it has codes,
    and the sum is inverted.
    """

    kind: ClassVar[str] = "softmax_table"
    delay: ClassVar[int] = latency.SOFTMAX_TABLE
    every: ClassVar[int] = latency.SOFTMAX_TABLE_EVERY

    steps: int | None

    @property
    def cycles(self) -> tuple[int, int]:
        return latency.softmax_table(self.input.channels, self.steps is None)

    @property
    def table_bits(self) -> int:
        if self.steps is None:
            return 32
        # Two words: with the steps a significand is longer, but for their factors of two.
        odd = self.steps // (self.steps & -self.steps)
        return 2 * (33 + (odd.bit_length() if odd > 1 else 0))


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
        return SoftmaxTableUnit(**self.common(stage, place), steps=stage.op.steps)
