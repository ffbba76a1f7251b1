"""What every plan is, whichever architecture it is of."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from ..ir import Graph


class Plan(Protocol):
    """An architecture as data, with models of its costs; members are read only."""

    arch: ClassVar[str]
    """The name of the architecture."""

    @property
    def graph(self) -> Graph:
        """The legal graph that the plan carries out."""
        ...

    @property
    def multipliers(self) -> int:
        """MAC lanes of the whole design."""
        ...

    @property
    def requant_multipliers(self) -> int:
        """Multipliers of all requantizers."""
        ...

    @property
    def memory_bits(self) -> int:
        """Bits of all buffers and parameter memories on chip."""
        ...

    @property
    def interval_bound(self) -> int:
        """Cycles between frames that no schedule of these resources goes below."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The choices of the plan, ``schema`` and ``arch``; the graph and they give it again."""
        ...
