"""Units that run together in the event model: a whole network, or a part of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .events.recurrences import Kind
from .events.simulation import Deadlock, Events, Queue, Simulation, steady_interval
from .units import Unit

INPUT_FIFO = 2
"""Beats held behind the input port; two sustain one a cycle."""


class Run(NamedTuple):
    """What a run of some units gives.

    first : of each stream from outside the cycles in which a frame's first beat comes. ends : of
    each stream to the outside the cycles in which a frame's last beat leaves.
    """

    sim: Simulation
    events: Events
    first: dict[str, tuple[int, ...]]
    ends: dict[str, tuple[int, ...]]


def run_units(units: Sequence[Unit], frames: int, cycles: int = 0) -> Run:
    """Run units, given in topological order, for so many frames.

    Streams that none of them gives come from sources that are always ready, and those that none of
    them reads go to sinks that are. cycles : that a frame takes at the least to come from a source,
    its beats one like the other. Raises Deadlock when a buffer is too small.
    """
    sim = Simulation(frames)
    queues: dict[str, Queue] = {}
    beats: dict[str, int] = {}
    outside: list[str] = []
    for unit in units:
        for number, name in enumerate(unit.sources):
            if name not in queues:
                beats[name] = size = unit.input_of(number).beats
                queues[name] = queue = sim.queue(f"{name}.fifo", INPUT_FIFO, size)
                sim.process(
                    Kind.SOURCE, size, queue.push, queue.pop, queue.depth, cycles, size
                )  # fmt: skip
                outside.append(name)
        outputs = unit.run(sim, [queues[name] for name in unit.sources])
        queues.update(zip(unit.streams, outputs, strict=True))
        beats.update(dict.fromkeys(unit.streams, unit.output.beats))
    read = {name for unit in units for name in unit.sources}
    results = [name for name in queues if name not in read]
    for name in results:
        sim.process(Kind.SINK, beats[name], queues[name].push, queues[name].pop)
    events = sim.run()
    first, ends = {}, {}
    for name in outside:
        first[name] = tuple(events.entries(queues[name].push)[:: beats[name]].tolist())
    for name in results:
        popped = events.entries(queues[name].pop)
        ends[name] = tuple(popped[beats[name] - 1 :: beats[name]].tolist())
    return Run(sim, events, first, ends)


def interval_of(units: Sequence[Unit], frames: int, last: int = 2) -> float:
    """Interval of units after so many frames, infinite where a buffer is too small to go on: the
    mean of the ``last`` ones.

    That of a part of a network is never more than that of the whole, since what is around it is
    never late.
    """
    try:
        return max(steady_interval(ends, last) for ends in run_units(units, frames).ends.values())
    except Deadlock:
        return float("inf")
