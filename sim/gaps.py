"""When a side of a stream is ready: always, at random, in bursts."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

GAPS = ("always", "random", "bursty")


def gaps(mode: str, seed: int) -> Iterator[bool]:
    """For each cycle, whether this side is willing. Seeded, endless."""
    if mode == "always":
        return itertools.repeat(True)
    generator = random.Random(seed)
    if mode == "random":
        return iter(lambda: generator.random() < 0.5, None)
    if mode == "bursty":
        return _bursts(generator)
    raise ValueError(f"gap mode {mode!r} is not one of {', '.join(GAPS)}")


def _bursts(generator: random.Random) -> Iterator[bool]:
    while True:
        yield from itertools.repeat(True, generator.randint(1, 20))
        yield from itertools.repeat(False, generator.randint(1, 20))
