"""Units of the dataflow architecture as data: sizes, bounds, and their event processes.

Here are what several of them share, and those that no op asks for. The others are beside the rules
of their ops.
"""

from .base import BeatUnit, StreamShape, Unit
from .join_fork import ForkUnit, JoinUnit
from .mac import MacUnit
from .regroup import RegroupUnit
from .windowed import WindowedUnit, row_burst

__all__ = [
    "BeatUnit",
    "ForkUnit",
    "JoinUnit",
    "MacUnit",
    "RegroupUnit",
    "StreamShape",
    "Unit",
    "WindowedUnit",
    "row_burst",
]
