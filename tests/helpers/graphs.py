"""Random small graphs with random plans of them, reproducible from a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from unittest.mock import patch

from hwgen.errors import UserError
from hwgen.ir import Graph, ops
from hwgen.passes.shift import common_shift
from hwgen.plan.dataflow.assembly import assemble
from hwgen.plan.dataflow.buffers import size_buffers
from hwgen.plan.dataflow.plan import DataflowPlan
from hwgen.plan.dataflow.planner import plan_dataflow
from hwgen.plan.dataflow.rules import Folding, MacRule, Stage, conv2d
from hwgen.plan.dataflow.stages import stages_of
from hwgen.plan.dataflow.units import ForkUnit

from .random_graphs import GRAPHS
from .random_ports import random_ports_graph

KINDS = GRAPHS | {"ports": random_ports_graph}
"""Kinds of random cases; the case of a seed never changes."""


def mac_stages(graph: Graph) -> list[Stage]:
    """The stages that multiply."""
    return [s for s in stages_of(graph) if isinstance(s.rule, MacRule)]


def random_folding(rng: Random, stage: Stage, most: int = 64) -> Folding:
    """Any folding of at most so many multipliers (if possible), also ones that do not divide."""
    op = stage.op
    assert isinstance(op, (ops.Conv2D, ops.Dense)) and isinstance(stage.rule, MacRule)
    outputs = op.weights.shape[-1]
    taps = op.weights.size // outputs
    for _ in range(50):
        pe = rng.choice([1, outputs, rng.randint(1, outputs)])
        simd = rng.randint(1, rng.choice([1, taps, min(taps, 8)]))
        if op.accumulator is not None:
            simd = min(op.accumulator.group, taps)
        pixels = 1
        if isinstance(op, ops.Conv2D) and pe == outputs and rng.random() < 0.5:
            pixels = rng.randint(1, min(8, stage.output.hwc[1]))
        if stage.rule.reads_ring(stage):
            return rng.choice([f for f in stage.rule.foldings(stage) if f.multipliers <= most])
        if pe * simd * pixels <= most:
            return stage.rule.folding(stage, pe, simd, pixels)
    return min(stage.rule.foldings(stage))


@dataclass(frozen=True)
class Case:
    """A graph, a plan of it and how it was planned. ``sized``: the interval rule holds."""

    seed: int
    graph: Graph
    plan: DataflowPlan
    mode: str
    frames: int

    @property
    def sized(self) -> bool:
        """Whether its buffers are meant to reach the bound."""
        return self.mode != "capacities"

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, planned by {self.mode}, {self.frames} frames"]
        lines += [f"  {x.name} {x.shape} {x.type}" for x in self.graph.inputs]
        for node in self.graph.nodes:
            tensor = self.graph.tensors[node.name]
            hints = {
                key: value
                for key, value in vars(node.op).items()
                if key not in ("weights", "mult", "bias") and value is not None
            }
            lines.append(f"  {node.name} -> {tensor.shape} {tensor.type} {hints}")
        lines.append(f"  outputs {self.graph.outputs}")
        lines += [f"  {unit.choices()}" for unit in self.plan.units]
        return "\n".join(lines)


def random_capacities(rng: Random, plan: DataflowPlan) -> DataflowPlan:
    """The plan with any working capacities, mostly small ones."""
    units = []
    for unit in plan.units:
        for name in unit.capacities:
            low, high = unit.smallest(name), unit.generous(name)
            value = low if rng.random() < 0.4 else rng.randint(low, max(low, high))
            unit = unit.with_capacity(name, value)
        units.append(unit)
    changed = replace(plan, units=tuple(units))
    if changed.interval(4) < float("inf"):
        return changed
    # A queue of a fork may be too short for any beat to get round: that is what its depth is for.
    forks = {unit.name: unit for unit in plan.units if isinstance(unit, ForkUnit)}
    return replace(plan, units=tuple(forks.get(unit.name, unit) for unit in units))


def random_case(seed: int, kind: str = "chain") -> Case:
    """The case of a seed; ``kind`` as in KINDS. All windows of a "wide" one are read as wide."""
    rng = Random(seed)
    if kind != "wide":
        return _random_case(rng, seed, kind)
    with patch.object(conv2d, "WIDE", 0), patch.object(conv2d, "WIDE_DEPTHWISE", 0):
        return _random_case(rng, seed, kind)


def _random_case(rng: Random, seed: int, kind: str) -> Case:
    graph = common_shift(KINDS[kind](rng))
    frames = rng.randint(2, 4)
    macs = mac_stages(graph)
    mode = rng.choice(["budget", "interval", "generous", "capacities", "capacities", "sized"])
    if mode == "budget" and macs:
        least = sum(min(f.multipliers for f in s.rule.foldings(s)) for s in macs)
        plan = plan_dataflow(graph, multipliers=least + rng.choice([0, rng.randint(0, 60)]))
    elif mode == "interval" and macs:
        plan = _planned_for(graph, _possible_interval(rng, graph))
    else:
        stages = stages_of(graph)
        chosen = {stage.name: random_folding(rng, stage) for stage in macs}
        lanes = {x.name: rng.randint(1, x.hwc[2]) for x in graph.inputs}
        plan = assemble(graph, stages, chosen, lanes if rng.random() < 0.7 else None)
        if mode == "capacities":
            plan = random_capacities(rng, plan)
        elif mode != "generous":
            mode, plan = "sized", size_buffers(plan)
    return Case(seed, graph, plan, mode, frames)


def _planned_for(graph: Graph, interval: int) -> DataflowPlan:
    """The plan for an interval, or for twice, four times as many cycles: joins may need more."""
    for _ in range(8):
        try:
            return plan_dataflow(graph, interval=interval)
        except UserError as error:
            if "below what the streams allow" not in error.reason:
                raise
            interval *= 2
    raise AssertionError("no interval will do")


def _possible_interval(rng: Random, graph: Graph) -> int:
    """An interval of a random budget, a little more at times."""
    macs = mac_stages(graph)
    cycles = [max(random_folding(rng, stage).cycles for stage in macs)]
    for stage in stages_of(graph):
        cycles.append(stage.rule.fixed_cycles(stage))
        for tensor in (stage.input, stage.output):
            pixels = tensor.hwc[0] * tensor.hwc[1]
            serial = isinstance(stage.op, ops.ArgMax) and tensor is stage.input
            cycles.append(pixels * (tensor.hwc[2] if serial else 1))
    return max(cycles) + rng.choice([0, 0, 1, rng.randint(0, 50)])
