"""What an architecture is to everybody else: one object that knows all that is its own.

Its folder holds its top component, the files of its packages, its simulation and its part of the
report. Commands, packages and reports ask the object; nobody asks which architecture it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from markupsafe import Markup

from ..aliases import Arrays, Progress
from ..emit.parts import Parts
from ..flow.comparison import Verification, VerifyRequest
from ..ir import Graph
from ..numeric import Scaling
from ..plan.options import Options
from ..plan.protocol import Plan
from ..report.tiles import Tile

if TYPE_CHECKING:
    from .package import Package

P = TypeVar("P", bound=Plan)


@dataclass(frozen=True)
class Table:
    """A table for a person. Each row has a cell for each column."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Description:
    """A plan as a person reads it (lines, then tables), and as a JSON value."""

    lines: Sequence[str]
    tables: Sequence[Table]
    json: dict[str, Any]


class Architecture(ABC, Generic[P]):
    """One way to carry out a network in hardware.

    ``name`` is its name on the command line, in plan files and in reports. ``Options`` are what a
    user may ask of it. ``simulators`` are those that ``verify`` takes. ``keep`` are the rules of
    runtimes that it carries out as they are: no multiply, add and shift needs to equal them.
    """

    name: ClassVar[str]
    Options: ClassVar[type[Options]]
    simulators: ClassVar[tuple[str, ...]]
    keep: ClassVar[frozenset[Scaling]] = frozenset()

    @abstractmethod
    def plan(self, graph: Graph, options: Any, progress: Progress | None = None) -> P:
        """Plan a legal graph for ``options``, an instance of ``Options``.

        Raises UserError where an option is wrong, or the architecture can not carry it out.
        """

    @abstractmethod
    def check(self, options: Any) -> None:
        """Raise UserError where an option is wrong, whatever the network."""

    @abstractmethod
    def from_json(
        self,
        graph: Graph,
        choices: dict[str, Any],
        progress: Progress | None = None,
        file: Path | None = None,
    ) -> P:
        """The plan that a plan file states for a legal graph.

        Parameters: ``choices`` is any JSON object; ``file`` is what errors name where the plan is
        at fault, not the network.

        Raises UserError that names the place in the file, for what no plan may state and for what
        does not fit the graph.
        """

    def unused(self, plan: P, options: Any) -> str | None:
        """A sentence where ``options`` ask for more than the plan can use, None where not."""
        return None

    def told(self, plan: P) -> str | None:
        """A sentence about options of the hardware that the plan needs or could do without, None
        where there is nothing to tell."""
        return None

    @abstractmethod
    def parts(self, plan: P, inputs: Arrays, outputs: Arrays, progress: Progress | None) -> Parts:
        """The design and the files of a package that are this architecture's own.

        Parameters: ``inputs`` and ``outputs`` are the test vectors, integers (frames, *shape) by
        the names of inputs and outputs.
        """

    @abstractmethod
    def default_simulator(self) -> str:
        """The quickest simulator that is there."""

    @abstractmethod
    def verify(self, package: Package, request: VerifyRequest) -> Verification:
        """Simulate a package's RTL and compare it with its own graph; keeps results/verify.json.

        Raises UserError for what the request can not ask of it, ToolError where a simulator fails.
        """

    @abstractmethod
    def report(self, package: Package, verified: dict[str, Any]) -> dict[str, Any]:
        """What report.json says of this architecture alone, with at least ``layers``.

        Parameters: ``verified`` is the content of results/verify.json, empty until there is one.
        """

    @abstractmethod
    def summary(self, report: dict[str, Any], package: Package) -> list[Tile]:
        """The figures at the top of the report's page.

        Parameters: ``report`` is the content of report.json.
        """

    @abstractmethod
    def sections(self, report: dict[str, Any], package: Package) -> list[Markup]:
        """The sections of the report's page, in HTML, that are about this architecture alone."""

    @abstractmethod
    def describe(self, plan: P) -> Description:
        """A plan as ``hwgen inspect --plan`` shows it."""
