"""Event process of a drain: shadow words taken apart and requantized."""

from __future__ import annotations

from .events import Process, Queue, Times, add, at, count, process


def drain_process(shadow: Queue, out: Queue, words: int, beats: Times, delay: int) -> Process:
    """Beats leave one a cycle while the output has room; ``delay`` cycles to the output.

    beats : of each of ``words`` shadow words, over and over.
    """
    return _drain(shadow.push, shadow.pop, out.push, out.pop, out.depth, words, beats, delay)


@process
def _drain(
    ready: Times, taken: Times, push: Times, pop: Times, depth: int, words: int, beats: Times,
    delay: int,
) -> Process:  # fmt: skip
    time, waits = -1, -depth
    for word in range(words):
        while count(ready) <= word:
            yield 0
        time = max(time, at(ready, word))
        for _ in range(beats[word % beats.size]):
            time += 1
            if waits >= 0:
                while count(pop) <= waits:
                    yield 0
                time = max(time, at(pop, waits) + 1)
            waits += 1
            add(push, time + delay)
        add(taken, time)
