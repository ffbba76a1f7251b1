"""When each descriptor of a program is finished, without carrying it out.

All that happens follows from what happened before it, but for the order in which bursts of loads
and of the program begin to be read: they are begun one after the other, each when everything that
can be said of the time before it has been said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....contract.engine import EngineShape
from ....contract.isa import Opcode
from .channels import MemoryTiming, ReadChannel
from .front import UNITS, Front, Values
from .pipeline import CLOSE
from .tiles import Tiles
from .transfers import Loads, Stores

__all__ = ["MemoryTiming", "Times", "times"]


NEVER = 1 << 62


@dataclass(frozen=True)
class Times:
    """Cycles from the start of a program.

    finished : of each unit's descriptors, in their order. total : until the program is done.
    begun : the first address of each load is at the bus, and the first beat of each store; the
    array has each tile.
    """

    finished: Mapping[Opcode, Sequence[int]]
    total: int
    begun: Mapping[Opcode, Sequence[int]]


def times(
    descriptors: Sequence[Values], start: int, shape: EngineShape, memory: MemoryTiming
) -> Times:
    """The cycles of a program that begins at the byte ``start`` of the memory's image."""
    channel = ReadChannel(memory)
    front = Front(list(descriptors), start, shape, channel)
    tiles = Tiles(shape, front.queues)
    loads = Loads(shape, front.queues, channel, tiles)
    stores = Stores(shape, front.queues, memory, tiles)
    while True:
        while any([front.advance(), loads.advance(), tiles.advance()]):
            pass
        following = channel.next()
        # What is not known yet begins after the next burst.
        if stores.advance(NEVER if following is None else following):
            continue
        if following is None:
            break
        channel.begin(following)
    if not _done(front):
        raise AssertionError("a program that never ends")
    finished = {op: queue.finished for op, queue in front.queues.items()}
    ends = [cycles[-1] for cycles in finished.values() if cycles]
    begun = {op: queue.begun for op, queue in front.queues.items()}
    return Times(finished, max([*ends, front.ended or 0]) + CLOSE, begun)


def _done(front: Front) -> bool:
    if front.ended is None:
        return False
    return all(len(front.queues[op].finished) == len(front.queues[op].descriptors) for op in UNITS)
