"""Routers of nextpnr: how each is asked for, how far it is, and when it gets no further.

A router that has begun to go round in circles never ends by itself. Its log tells how much is left
to do; where that finds no new least value for long, it has stalled, and another one gets its turn.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from re import Pattern


@dataclass(frozen=True)
class Router:
    """A router of nextpnr.

    Parameters
    ----------
    name : nextpnr's own. options : of its command line, those of the placement that suits the
    router included. step : matches a line of the log that tells how far it is, with the groups
    ``step`` and ``left``. left : what is counted. patience : steps without a new least count after
    which it has stalled. On an engine of 4x4 router2 had its least count after pass 22, and 62 %
    more after pass 39, while router1 had a new one after each of its 127 steps; on the shipped CNN
    with 64 multipliers router2 was done after 21 passes, and waited two for a new one at most.
    """

    name: str
    options: tuple[str, ...]
    step: Pattern[str]
    left: str
    patience: int


ROUTERS = (
    Router(
        "router2",
        ("--router", "router2", "--placer-heap-timingweight", "30"),
        re.compile(r"Info:\s+iter=(?P<step>\d+) .*\boverused=(?P<left>\d+)"),
        "wires with two signals",
        12,
    ),
    # It is slower, but gives way where many signals want the same wires. Placed by timing less.
    Router(
        "router1",
        ("--router", "router1"),
        re.compile(r"Info:\s+(?P<step>\d+) \|.*\|\s*(?P<left>\d+)\|[^|]*\|\s*$"),
        "connections without a route",
        40,
    ),
)
"""They are tried in this order: the first is the quicker one, and reaches higher clocks."""


class Stalled(Exception):
    """A router gets no further; its text says how far it came."""


class Convergence:
    """How far a router is, from the lines of its log.

    ``steps`` are pairs: a step's number as the router counts it, and how much was left after it.
    """

    def __init__(self, router: Router) -> None:
        self.router = router
        self.steps: list[tuple[int, int]] = []

    def read(self, line: str) -> str | None:
        """What a person may want to know of a line, None where it tells no progress.

        Raises Stalled where the router has found no new least count for ``patience`` steps.
        """
        found = self.router.step.match(line)
        if found is None:
            return None
        self.steps.append((int(found["step"]), int(found["left"])))
        step, left = self.steps[-1]
        if left and self._idle() >= self.router.patience:
            least = min(self.steps, key=lambda pair: pair[1])
            raise Stalled(
                f"{self.router.name} stalled: {self.router.left}: {least[1]:,} after step "
                f"{least[0]:,}, {left:,} after step {step:,}"
            )
        return f"step {step:,}, {left:,} {self.router.left}"

    def _idle(self) -> int:
        """Steps since the count was least."""
        counts = [left for _, left in self.steps]
        return len(counts) - 1 - counts.index(min(counts))
