"""A package with its architecture and its plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import UserError
from ..flow.package_files import PackageFiles
from .protocol import Architecture
from .registry import architecture


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
