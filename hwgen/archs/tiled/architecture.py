"""The tiled architecture to everybody else: one engine for any network of its op set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from markupsafe import Markup

from ...aliases import Arrays, Progress
from ...emit.parts import Parts
from ...flow.comparison import Verification, VerifyRequest
from ...ir import Graph
from ...numeric import Scaling
from ...plan.options import Options
from ...plan.tiled.network.requant import CARRIED_OUT
from ...plan.tiled.options import TiledOptions
from ...plan.tiled.plan import TiledPlan, plan_tiled
from ...plan.tiled.plan_file import tiled_from_json
from ...report.tiles import Tile
from ..package import Package
from ..protocol import Architecture, Description
from . import report as reported
from .cocotb_run import SIMULATORS
from .describe import describe, options_told
from .files import tiled_parts
from .verify import SIMULATOR, verify


class Tiled(Architecture[TiledPlan]):
    """See ``Architecture``."""

    name: ClassVar[str] = TiledPlan.arch
    Options: ClassVar[type[Options]] = TiledOptions
    simulators: ClassVar[tuple[str, ...]] = SIMULATORS
    keep: ClassVar[frozenset[Scaling]] = CARRIED_OUT

    def check(self, options: TiledOptions) -> None:
        options.engine()
        _ = options.preferred

    def plan(
        self, graph: Graph, options: TiledOptions, progress: Progress | None = None
    ) -> TiledPlan:
        return plan_tiled(graph, *options.engine(), progress, options.preferred)

    def from_json(
        self,
        graph: Graph,
        choices: dict[str, Any],
        progress: Progress | None = None,
        file: Path | None = None,
    ) -> TiledPlan:
        return tiled_from_json(graph, choices, progress, file)

    def unused(self, plan: TiledPlan, options: TiledOptions) -> str | None:
        return plan.unused(options.multipliers)

    def told(self, plan: TiledPlan) -> str:
        return options_told(plan)

    def parts(
        self, plan: TiledPlan, inputs: Arrays, outputs: Arrays, progress: Progress | None
    ) -> Parts:
        return tiled_parts(plan, inputs, outputs, progress)

    def default_simulator(self) -> str:
        return SIMULATOR

    def verify(self, package: Package, request: VerifyRequest) -> Verification:
        return verify(package, request)

    def report(self, package: Package, verified: dict[str, Any]) -> dict[str, Any]:
        return reported.rows(package, verified)

    def summary(self, report: dict[str, Any], package: Package) -> list[Tile]:
        return reported.tiles(report, package.plan)

    def sections(self, report: dict[str, Any], package: Package) -> list[Markup]:
        return reported.sections(report, package)

    def describe(self, plan: TiledPlan) -> Description:
        return describe(plan)
