"""A package with its architecture and its plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..aliases import Progress
from ..emit.package import design_files
from ..errors import UserError, shown
from ..flow.package_files import AGAIN, PackageFiles
from ..ir import Graph
from ..plan.protocol import Plan
from .protocol import Architecture
from .registry import ARCHITECTURES, architecture


def files_of(
    source: Graph, plan: Plan, progress: Progress | None = None, with_c: bool = False
) -> dict[str, bytes]:
    """The files of a plan's package by their path in it; see ``emit.package.design_files``."""
    own = architecture(plan.arch)
    return design_files(
        source, plan.graph, lambda x, y: own.parts(plan, x, y, progress), with_c, own.keep
    )


@dataclass(frozen=True, repr=False)
class Package(PackageFiles):
    """A package directory that has been checked to be one; see ``PackageFiles``."""

    @property
    def architecture(self) -> Architecture[Any]:
        """The architecture of the design. Raises UserError where it is not known."""
        if self.arch not in ARCHITECTURES:
            known = ", ".join(ARCHITECTURES)
            raise UserError(
                f"is damaged (arch: {shown(self.arch)} is not one of {known})",
                file=self.path / "plan.json",
                hint=AGAIN,
            )
        return architecture(self.arch)

    @cached_property
    def plan(self) -> Any:
        """The plan that the RTL was made from. Raises UserError where the file is no plan."""
        file = self.path / "plan.json"
        return self.architecture.from_json(self.graph, self.plan_json, file=file)

    def check(self) -> None:
        """Read what a report needs, before work of minutes. Raises UserError if it is damaged."""
        _ = self.plan, self.certificate
