"""Event process of a drain: shadow words taken apart and requantized."""

from __future__ import annotations

from collections.abc import Iterator

from .events import Process, Queue


def drain_process(
    shadow: Queue, out: Queue, words: int, word_beats: Iterator[int], delay: int
) -> Process:
    """Beats leave one a cycle while the output has room; ``delay`` cycles to the output."""
    ready, taken, push, pop = shadow.push, shadow.pop, out.push, out.pop
    time, waits = -1, -out.depth
    for word in range(words):
        while len(ready) <= word:
            yield
        if ready[word] > time:
            time = ready[word]
        for _ in range(next(word_beats)):
            time += 1
            if waits >= 0:
                while len(pop) <= waits:
                    yield
                if pop[waits] >= time:
                    time = pop[waits] + 1
            waits += 1
            push.append(time + delay)
        taken.append(time)
