"""A package with its architecture and its plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..emit.package import design_files
from ..errors import UserError
from ..flow.package_files import PackageFiles
from ..ir import Graph
from ..plan.protocol import Plan, Progress
from .protocol import Architecture
from .registry import architecture


def files_of(
    source: Graph, plan: Plan, progress: Progress | None = None, with_c: bool = False
) -> dict[str, bytes]:
    """The files of a plan's package by their path in it; see ``emit.package.design_files``."""
    own = architecture(plan.arch)
    return design_files(source, plan.graph, lambda x, y: own.parts(plan, x, y, progress), with_c)


@dataclass(frozen=True)
class Package(PackageFiles):
    """A package directory that has been checked to be one; see ``PackageFiles``."""

    @property
    def architecture(self) -> Architecture[Any]:
        """The architecture of the design. Raises UserError where it is not known."""
        return architecture(self.arch)

    @cached_property
    def plan(self) -> Any:
        """The plan that the RTL was made from. Raises UserError where the file is no plan."""
        try:
            return self.architecture.from_json(self.graph, self.plan_json)
        except UserError as error:
            raise error.within(self.path / "plan.json") from None
