"""The dataflow architecture to everybody else: a unit for every layer, connected by streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from markupsafe import Markup

from ...aliases import Arrays, Progress
from ...emit.parts import Parts
from ...flow.comparison import Verification, VerifyRequest
from ...ir import Graph
from ...plan.dataflow.options import DataflowOptions
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.plan_file import dataflow_from_json
from ...plan.dataflow.planner import plan_dataflow
from ...plan.options import Options
from ...report.tiles import Tile
from ..package import Package
from ..protocol import Architecture, Description
from . import report as reported
from .describe import describe
from .files import dataflow_parts
from .simulators import ENGINES, default_simulator
from .verify import verify


class Dataflow(Architecture[DataflowPlan]):
    """See ``Architecture``."""

    name: ClassVar[str] = DataflowPlan.arch
    Options: ClassVar[type[Options]] = DataflowOptions
    simulators: ClassVar[tuple[str, ...]] = tuple(ENGINES)

    def check(self, options: DataflowOptions) -> None:
        """Everything about these options depends on the network."""

    def plan(
        self, graph: Graph, options: DataflowOptions, progress: Progress | None = None
    ) -> DataflowPlan:
        return plan_dataflow(graph, options.multipliers, options.interval, progress)

    def from_json(
        self,
        graph: Graph,
        choices: dict[str, Any],
        progress: Progress | None = None,
        file: Path | None = None,
    ) -> DataflowPlan:
        return dataflow_from_json(graph, choices, file)

    def unused(self, plan: DataflowPlan, options: DataflowOptions) -> str | None:
        return plan.unused(options.multipliers, options.interval)

    def parts(
        self, plan: DataflowPlan, inputs: Arrays, outputs: Arrays, progress: Progress | None
    ) -> Parts:
        return dataflow_parts(plan, inputs, outputs, progress)

    def default_simulator(self) -> str:
        return default_simulator()

    def verify(self, package: Package, request: VerifyRequest) -> Verification:
        return verify(package, request)

    def report(self, package: Package, verified: dict[str, Any]) -> dict[str, Any]:
        return reported.rows(package, verified)

    def summary(self, report: dict[str, Any], package: Package) -> list[Tile]:
        return reported.tiles(report, package.plan)

    def sections(self, report: dict[str, Any], package: Package) -> list[Markup]:
        return reported.sections(report, package)

    def describe(self, plan: DataflowPlan) -> Description:
        return describe(plan)
