"""Dense: its rule and its unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ....ir import ops
from ..events.recurrences import Kind
from ..events.simulation import Queue, Simulation
from ..units import MacUnit, Unit
from .mac import MacRule
from .rule import Place, Stage


@dataclass(frozen=True)
class DenseUnit(MacUnit):
    """Input-stationary matrix product, drain. See gateware Dense."""

    kind: ClassVar[str] = "dense"
    capacities: ClassVar[tuple[str, ...]] = ("shadow", "fifo")

    @property
    def compute(self) -> int:
        return self.tap_folds * self.out_folds

    @property
    def memory_bits(self) -> int:
        psums = self.out_folds * self.pe * self.acc_bits if self.out_folds > 1 else 0
        return super().memory_bits + psums

    def generous(self, field: str) -> int:
        if field == "shadow":
            return self.out_folds + self.mac_latency + 2
        return super().generous(field)

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        shadow = sim.queue(f"{self.name}.shadow", self.shadow, self.out_folds, self.mac_latency)
        sim.process(
            Kind.MULTIPLY, self.tap_folds - 1 + self.out_folds, source.push, source.pop,
            shadow.push, shadow.pop, sim.work(self.name).waits, sim.state(1), self.tap_folds,
            self.out_folds, shadow.depth, self.mac_latency,
        )  # fmt: skip
        return self.drain(sim, shadow)


class DenseRule(MacRule[ops.Dense]):
    """A matrix product of a vector: a beat has the taps that are multiplied at a time."""

    def lanes(self, stage: Stage[ops.Dense], place: Place, target: int) -> int:
        assert place.folding is not None
        return place.folding.simd

    def unit(self, stage: Stage[ops.Dense], place: Place) -> Unit:
        return DenseUnit(**self.array(stage, place))
