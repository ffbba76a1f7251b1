"""Event process of a drain: shadow words taken apart and requantized."""

from __future__ import annotations

from collections.abc import Iterator

from .events import Process, Queue


def drain_process(
    shadow: Queue, out: Queue, words: int, word_beats: Iterator[int], delay: int
) -> Process:
    """Beats leave one a cycle while the output has room; ``delay`` cycles to the output."""
    ready, taken, push, pop = shadow.push, shadow.pop, out.push, out.pop
    depth = out.depth
    time, beat = -1, 0
    for word in range(words):
        while len(ready) <= word:
            yield
        time = max(time, ready[word])
        for _ in range(next(word_beats)):
            time += 1
            if beat >= depth:
                while len(pop) <= beat - depth:
                    yield
                time = max(time, pop[beat - depth] + 1)
            push.append(time + delay)
            beat += 1
        taken.append(time)
