"""Counts what is left of random cases, so that a test can not pass because all were left out."""

from __future__ import annotations

from collections import Counter


class Drawn:
    """Cases of a random test: those it took, and why it left out the others."""

    def __init__(self) -> None:
        self.taken = 0
        self.left_out: list[tuple[object, str]] = []

    def take(self) -> None:
        """The test holds for one more."""
        self.taken += 1

    def leave_out(self, case: object, why: object) -> None:
        """A case (its seed) that the test says nothing of."""
        self.left_out.append((case, str(why)))

    def enough(self, part: float = 0.9, least: int = 10) -> None:
        """AssertionError unless ``part`` of all cases and ``least`` of them were taken."""
        drawn = self.taken + len(self.left_out)
        kinds = Counter(why for _, why in self.left_out).most_common(5)
        cases = [case for case, _ in self.left_out[:10]]
        said = f"only {self.taken} of {drawn} cases were taken; left out: {kinds}, such as {cases}"
        assert self.taken >= max(least, part * drawn), said
