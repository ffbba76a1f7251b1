"""What a program of descriptors means: the tiled engine's memories and units in NumPy.

The model carries out descriptors one after the other, in any order that their waits allow. It
knows nothing of networks and of cycles. Plans are tried on it before there is hardware, and
hardware is held against it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from ..aliases import ByteArray
from .engine import EngineShape
from .identity import engine_hash
from .isa import COUNTER_BITS, RECORDS, SLOT, Opcode, Target, slots
from .tile_model import TileUnitModel
from .tile_walk import ProgramError, Values

Pick = Callable[[list[int]], int]


@dataclass
class MovedBytes:
    """Bytes moved to and from external memory, by what they belong to.

    What is loaded are whole beats of memory's port.
    """

    loaded: Counter[str]
    stored: int = 0


class EngineModel:
    """An engine: external memory and tile units.

    memory : external memory as uint8, which programs change. units : the tile units. traffic : what
    has been moved.
    """

    def __init__(self, shape: EngineShape, memory: ByteArray) -> None:
        self.shape, self.memory = shape, memory
        self.units = [TileUnitModel(shape) for _ in range(shape.tiles)]
        self.traffic = MovedBytes(Counter())

    def run(self, program: int, pick: Pick | None = None, made_for: int | None = None) -> None:
        """Carry out the program whose first descriptor lies at this place in external memory.

        ``pick`` chooses among the descriptors that may begin, given by their numbers in the
        program; without it the first one does. ``made_for`` : the identity of the engine that the
        program was made for; None: this one. Raises ProgramError where that is another engine, or
        no descriptor may begin.
        """
        if made_for not in (None, engine_hash(self.shape)):
            raise ProgramError("the program was made for another engine")
        descriptors = self.descriptors(program)
        waiting = {
            op: deque(n for n, d in enumerate(descriptors) if d["op"] == op) for op in RECORDS
        }
        work = {Opcode.LOAD: self.load, Opcode.STORE: self.store, Opcode.COMPUTE: self.compute}
        finished = dict.fromkeys(RECORDS, 0)
        tiles = list(waiting[Opcode.COMPUTE])
        given: list[deque[int]] = [deque() for _ in self.units]
        done: set[int] = set()
        while any((*waiting.values(), *given)):
            # Tiles are given out in order, each when what it waits for is finished.
            queue = waiting[Opcode.COMPUTE]
            while queue and may(descriptors[queue[0]], finished):
                d = descriptors[queue[0]]
                given[self._number(d)].append(queue.popleft())
            ready = [queue[0] for queue in given if queue]
            for op in (Opcode.LOAD, Opcode.STORE):
                if waiting[op] and may(descriptors[waiting[op][0]], finished):
                    ready.append(waiting[op][0])
            if not ready:
                raise ProgramError("every descriptor waits for another one")
            number = min(ready) if pick is None else pick(sorted(ready))
            d = descriptors[number]
            op = Opcode(d["op"])
            (given[d["unit"]] if op is Opcode.COMPUTE else waiting[op]).popleft()
            work[op](d)
            if op is not Opcode.COMPUTE:
                finished[op] += 1
                continue
            # They count in the program's order, whichever unit is the faster.
            done.add(number)
            while finished[op] < len(tiles) and tiles[finished[op]] in done:
                finished[op] += 1

    def descriptors(self, program: int) -> list[Values]:
        """All descriptors of a program."""
        found = []
        while (op := Opcode(int(self.memory[program]) & 15)) is not Opcode.END:
            size = slots(op) * SLOT
            found.append(RECORDS[op].unpack(self.memory[program : program + size].tobytes()))
            program += size
        return found

    def load(self, d: Values) -> None:
        """External memory to a buffer of one unit or several."""
        units = d["units"]
        if not 0 < units < 1 << len(self.units):
            raise ProgramError(f"a load to the units {units:#b}")
        target = Target(d["target"]).name.lower()
        self.traffic.loaded[target] += self._beats(d) * self.shape.bus_bytes
        for n, unit in enumerate(self.units):
            if units >> n & 1:
                unit.load(d, self.memory)

    def store(self, d: Values) -> None:
        """Feature maps of a unit to external memory."""
        self.traffic.stored += d["rows"] * d["bytes"]
        self.units[self._number(d)].store(d, self.memory)

    def compute(self, d: Values) -> None:
        """One tile of a layer."""
        self.units[self._number(d)].compute(d)

    def _beats(self, d: Values) -> int:
        """Beats of external memory that a load reads: rows begin and end inside of some."""
        bus = self.shape.bus_bytes
        starts = [d["address"] + row * d["pitch"] for row in range(d["rows"])]
        return sum((start + d["bytes"] - 1) // bus - start // bus + 1 for start in starts)

    def _number(self, d: Values) -> int:
        if d["unit"] >= len(self.units):
            raise ProgramError(f"unit {d['unit']} of {len(self.units)}")
        return d["unit"]


def may(d: Values, finished: dict[Opcode, int]) -> bool:
    """Whether all that a descriptor waits for is finished; counters wrap."""
    half = 1 << COUNTER_BITS - 1
    return all(
        (count - d[f"wait_{op.name.lower()}"]) % (2 * half) < half for op, count in finished.items()
    )
