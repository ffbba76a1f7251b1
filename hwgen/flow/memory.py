"""External memory of a simulation."""

from __future__ import annotations

from dataclasses import dataclass

from ..values import LARGEST_SEED, integer, number


@dataclass(frozen=True)
class Memory:
    """How external memory answers.

    latency : cycles from an address to its first beat. rate : beats a cycle, at most 1. gaps : a
    seed: both sides pause at random. Raises OptionError for what none of them can be.
    """

    latency: int = 20
    rate: float = 1.0
    gaps: int | None = None

    def __post_init__(self) -> None:
        checked = {
            "latency": integer("--mem-latency", self.latency, 1, 10_000, "cycles"),
            "rate": number("--mem-rate", self.rate, 0.01, 1, "beats a cycle"),
            "gaps": None
            if self.gaps is None
            else integer("--mem-gaps", self.gaps, 0, LARGEST_SEED),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def regular(self) -> bool:
        """Whether latency and rate alone say when it answers."""
        return self.gaps is None

    def arguments(self) -> list[str]:
        """Its words on the command line of the bench."""
        values = {"--latency": self.latency, "--rate": self.rate, "--gaps": self.gaps}
        return [str(a) for pair in values.items() if pair[1] is not None for a in pair]
