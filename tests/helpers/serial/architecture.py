"""What the third architecture is to everybody else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from amaranth.sim import Simulator
from markupsafe import Markup

from hwgen.aliases import Arrays, Progress
from hwgen.archs.package import Package
from hwgen.archs.protocol import Architecture, Description, Table
from hwgen.emit.parts import Parts, dump_json
from hwgen.emit.verilog import to_verilog
from hwgen.errors import OptionError, UserError, naming
from hwgen.flow.comparison import (
    Verification,
    VerifyRequest,
    common_results,
    first_difference,
    frames_of,
)
from hwgen.flow.engine import SimulationRun
from hwgen.ir import Graph, execute, ops
from hwgen.plan.options import Options, option
from hwgen.plan.plan_file import plan_schema
from hwgen.report.tiles import Tile

from .top import SerialTop

_PLAN = plan_schema("serial", 1, {"unit": {"type": "string"}})


@dataclass(frozen=True)
class SerialPlan:
    """The plan: there is nothing to choose but the name of the only unit."""

    arch: ClassVar[str] = "serial"

    graph: Graph
    unit: str
    multipliers: int = 1
    requant_multipliers: int = 1

    @property
    def layer(self) -> tuple[ops.Dense, ops.Requantize]:
        dense, requant = (node.op for node in self.graph.nodes)
        assert isinstance(dense, ops.Dense) and isinstance(requant, ops.Requantize)
        return dense, requant

    @property
    def memory_bits(self) -> int:
        return self.graph.inputs[0].size * self.graph.inputs[0].type.width

    @property
    def interval_bound(self) -> int:
        inputs, outputs = self.layer[0].weights.shape
        return inputs + outputs * (inputs + 1)

    def to_json(self) -> dict[str, Any]:
        return {"schema": 1, "arch": self.arch, "unit": self.unit}


@dataclass(frozen=True)
class SerialOptions(Options):
    """unit : the name of the only unit."""

    unit: str | None = option("name of the only unit", metavar="NAME")


class Serial(Architecture[SerialPlan]):
    name: ClassVar[str] = SerialPlan.arch
    Options: ClassVar[type[Options]] = SerialOptions
    simulators: ClassVar[tuple[str, ...]] = ("python",)

    def check(self, options: SerialOptions) -> None:
        if options.unit == "":
            raise OptionError("--unit: give a name")

    def plan(
        self, graph: Graph, options: SerialOptions, progress: Progress | None = None
    ) -> SerialPlan:
        kinds = [type(node.op) for node in graph.nodes]
        if kinds != [ops.Dense, ops.Requantize]:
            raise UserError("the serial architecture carries out one dense layer")
        return SerialPlan(graph, options.unit or "serial")

    def from_json(
        self,
        graph: Graph,
        choices: dict[str, Any],
        progress: Progress | None = None,
        file: Path | None = None,
    ) -> SerialPlan:
        with naming(file):
            _PLAN.check(choices)
        return self.plan(graph, SerialOptions(unit=choices["unit"]))

    def parts(
        self, plan: SerialPlan, inputs: Arrays, outputs: Arrays, progress: Progress | None
    ) -> Parts:
        top = SerialTop(*plan.layer, plan.graph.inputs[0].type)
        cycles = {"interval": plan.interval_bound, "latency": plan.interval_bound}
        text = dump_json(plan.to_json() | {"estimate": cycles})
        return Parts(to_verilog(top, "top", progress), {"plan.json": text})

    def default_simulator(self) -> str:
        return "python"

    def verify(self, package: Package, request: VerifyRequest) -> Verification:
        graph, plan = package.graph, package.plan
        x, result = graph.inputs[0], graph.tensors[graph.outputs[0]]
        given = frames_of(package, request)
        frames = given[x.name]
        began = time.monotonic()
        got, ends = simulated(plan, frames.reshape(len(frames), -1))
        golden = execute(graph, {x.name: frames})[result.name]
        run = SimulationRun({}, [], ends, time.monotonic() - began)
        found = Verification(
            "python", len(frames), first_difference(result.name, golden, got.reshape(golden.shape)),
            run, ends[1] - ends[0], ends[0], {result.name: got},
        )  # fmt: skip
        kept = None if request.inputs is None else given
        package.write_result("verify", common_results(package, found, kept))
        return found

    def report(self, package: Package, verified: dict[str, Any]) -> dict[str, Any]:
        plan = package.plan
        cycles = verified.get("cycles", {}).get("interval")
        return {"layers": [{"name": plan.unit, "op": "dense", "interval_measured": cycles}]}

    def summary(self, report: dict[str, Any], package: Package) -> list[Tile]:
        return [Tile(str(report["cycles"]["interval_measured"]), "cycles a frame")]

    def sections(self, report: dict[str, Any], package: Package) -> list[Markup]:
        return [Markup("<h2>The multiplier of {}</h2>").format(package.plan.unit)]

    def describe(self, plan: SerialPlan) -> Description:
        table = Table("units", ["unit", "cycles"], [[plan.unit, plan.interval_bound]])
        return Description([f"serial plan: {plan.unit}"], [table], plan.to_json())


def simulated(plan: SerialPlan, frames: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Outputs (frames, outputs), and the cycle in which each frame ends."""
    top = SerialTop(*plan.layer, plan.graph.inputs[0].type)
    outputs = plan.layer[0].weights.shape[1]
    values: list[int] = []
    ends: list[int] = []

    async def bench(context) -> None:
        cycle = 0
        for frame in frames:
            for element in frame:
                context.set(top.x, int(element))
                context.set(top.x_valid, 1)
                await context.tick()
                cycle += 1
            context.set(top.x_valid, 0)
            while len(values) % outputs or len(values) // outputs == len(ends):
                if context.get(top.y_valid):
                    values.append(context.get(top.y))
                await context.tick()
                cycle += 1
            ends.append(cycle)

    simulator = Simulator(top)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(values).reshape(len(frames), outputs), ends
