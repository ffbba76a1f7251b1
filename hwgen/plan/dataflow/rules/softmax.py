"""Softmax: its rule and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....ir import Graph, Node, ops
from ... import latency
from ...host import float_softmax
from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from ..units import Unit
from .rule import Place, Rule, Stage, pixels


@dataclass(frozen=True)
class SoftmaxUnit(Unit):
    """Softmax over the channels, one after the other. See gateware Softmax."""

    kind: ClassVar[str] = "softmax"

    @property
    def requant_multipliers(self) -> int:
        return 1

    @property
    def bounds(self) -> dict[str, int]:
        _, interval = latency.softmax(self.input.channels)
        return super().bounds | {"compute": self.input.pixels * interval}

    @property
    def burst(self) -> int:
        return self.output.channels

    @property
    def memory_bits(self) -> int:
        exponentials = 31 << self.input.bits
        return super().memory_bits + self.input.channels * self.input.bits + exponentials

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        out = sim.queue(f"{self.name}.fifo", self.fifo, self.output.beats, latency.SOFTMAX)
        gap, _ = latency.softmax(self.input.channels)
        sim.process(
            Kind.VECTOR, self.input.beats + self.output.beats, source.push, source.pop, out.push,
            out.pop, sim.work(self.name).waits, sim.state(1), self.input.channels, gap, out.depth,
            latency.SOFTMAX,
        )  # fmt: skip
        return out


class SoftmaxRule(Rule[ops.Softmax]):
    """A softmax over the channels, which come one by one."""

    def fixed_cycles(self, stage: Stage[ops.Softmax]) -> int:
        _, interval = latency.softmax(stage.input.channels)
        return pixels(stage.input) * interval

    def lanes(self, stage: Stage[ops.Softmax], place: Place, target: int) -> int:
        return 1

    def unit(self, stage: Stage[ops.Softmax], place: Place) -> Unit:
        return SoftmaxUnit(**self.common(stage, place))


class SoftmaxTableRule(Rule[ops.SoftmaxTable]):
    """A softmax in float32, refused: the unit has the integer one of TFLM."""

    def stage(self, node: Node, following: Node | None, graph: Graph) -> None:
        assert isinstance(node.op, ops.SoftmaxTable)
        raise float_softmax(node.op, node.name, graph, "dataflow")
