"""What a user asks of a dataflow design."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..options import Options, option

DEFAULT_MULTIPLIERS = 64


@dataclass(frozen=True)
class DataflowOptions(Options):
    """Options of the command line under the same names; None: not given.

    multipliers : MAC lanes of all units together, at most. interval : cycles between frames to
    reach with as few as possible.
    """

    exclusive: ClassVar[tuple[str, ...]] = ("multipliers", "interval")

    multipliers: int | None = option(
        f"most multipliers of all layers together (default {DEFAULT_MULTIPLIERS})",
        metavar="N",
        convert=int,
    )
    interval: int | None = option(
        "cycles between frames that the design must reach, with as few multipliers as possible",
        metavar="CYCLES",
        convert=int,
    )
