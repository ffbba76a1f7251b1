"""External memory of a simulation."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import OptionError


@dataclass(frozen=True)
class Memory:
    """How external memory answers.

    latency : cycles from an address to its first beat. rate : beats a cycle, at most 1. gaps : a
    seed: both sides pause at random.
    """

    latency: int = 20
    rate: float = 1.0
    gaps: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.latency <= 10_000:
            raise OptionError(f"--mem-latency {self.latency}: give 1 to 10000 cycles")
        if not 0.01 <= self.rate <= 1:
            raise OptionError(f"--mem-rate {self.rate:g}: give 0.01 to 1 beats a cycle")

    @property
    def regular(self) -> bool:
        """Whether latency and rate alone say when it answers."""
        return self.gaps is None

    def arguments(self) -> list[str]:
        """Its words on the command line of the bench."""
        values = {"--latency": self.latency, "--rate": self.rate, "--gaps": self.gaps}
        return [str(a) for pair in values.items() if pair[1] is not None for a in pair]
