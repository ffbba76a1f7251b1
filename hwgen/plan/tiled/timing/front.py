"""The program's way to its units: read ahead, sorted into queues, offered in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ....contract.engine import EngineShape
from ....contract.isa import SLOT, Opcode, slots
from .channels import Burst, ReadChannel, Taken, bursts
from .pipeline import CHUNK, COUNTED, FETCHED, PLACED, PREFETCH_START, QUEUES, SLOTS, SPLITTER

Values = Mapping[str, int]
UNITS = {Opcode.LOAD: "wait_load", Opcode.COMPUTE: "wait_compute", Opcode.STORE: "wait_store"}
"""Units, with the field of what is waited for of each."""


class QueueTiming:
    """Descriptors of one unit. All lists hold cycles, as far as they are known.

    accepted : in which the unit took each one. begun : in which its first address (of a store: its
    first beat) was at the bus, or the array had it. finished : in which it was done. waits : for
    each, the descriptors of each unit that must be finished.
    """

    def __init__(self, op: Opcode, shape: EngineShape) -> None:
        self._beats = slots(op) * SLOT // shape.bus_bytes
        depth = QUEUES[op] * shape.tiles
        self._room = (depth - 1) * self._beats
        self._pushed: list[int] = []
        self._popped: list[int] = []
        self.descriptors: list[Values] = []
        self.waits: list[dict[Opcode, int]] = []
        self.accepted: list[int] = []
        self.begun: list[int] = []
        self.finished: list[int] = []

    def room(self) -> int | None:
        """The cycle from which on there is room for the next beat; None: not known yet."""
        place = len(self._pushed) - self._room
        if place < 0:
            return 0
        self._settle()
        return self._popped[place] + 1 if place < len(self._popped) else None

    def push(self, cycle: int) -> None:
        """A beat comes."""
        self._pushed.append(cycle)

    def _settle(self) -> None:
        """Beats go to the descriptor that is offered next, when the one before it has left."""
        while len(self._popped) < len(self._pushed):
            number = len(self._popped)
            descriptor = number // self._beats
            if descriptor > len(self.accepted):
                return
            free = self.accepted[descriptor - 1] + 1 if descriptor else 0
            before = self._popped[-1] + 1 if self._popped else 0
            self._popped.append(max(self._pushed[number] + 1, before, free))

    def accept(
        self, queues: Mapping[Opcode, QueueTiming], ready: Callable[[Values], int]
    ) -> Values | None:
        """Give the next descriptor to its unit; None where none is there, or it is not known when.

        ready : from which cycle on the unit takes a descriptor. The last of ``accepted`` is then
        the cycle in which it does.
        """
        number = len(self.accepted)
        if number == len(self.descriptors):
            return None
        offered = self._offered(number, queues)
        if offered is None:
            return None
        d = self.descriptors[number]
        self.accepted.append(max(offered, ready(d)))
        return d

    def _offered(self, number: int, queues: Mapping[Opcode, QueueTiming]) -> int | None:
        """The cycle from which on a descriptor is offered to its unit; None: not known yet."""
        self._settle()
        last = (number + 1) * self._beats - 1
        if last >= len(self._popped):
            return None
        cycle = self._popped[last] + PLACED
        for op, count in self.waits[number].items():
            finished = queues[op].finished
            if count > len(finished):
                return None
            if count:
                cycle = max(cycle, finished[count - 1] + COUNTED)
        return cycle


class Front:
    """Prefetch and dispatcher: beats of the program, one after the other, to their queues."""

    def __init__(
        self, descriptors: list[Values], start: int, shape: EngineShape, channel: ReadChannel
    ) -> None:
        bus = shape.bus_bytes
        self.queues = {op: QueueTiming(op, shape) for op in UNITS}
        self._descriptors, self._address, self._channel = descriptors, start, channel
        self._slot_beats, self._bus = SLOT // bus, bus
        self._next, self._beat, self._passed = 0, 0, -1
        self._taken: list[int] = []
        self._left: list[int] = []
        self._slots = sum(slots(Opcode(d["op"])) for d in descriptors) + slots(Opcode.END)
        self._asked, self._asks = 0, PREFETCH_START
        self.ended: int | None = None

    def advance(self) -> bool:
        """Do what is known by now; whether something was."""
        asked = self._ask()
        moved = False
        while self.ended is None and self._descriptor():
            moved = True
        return asked or moved

    def _ask(self) -> bool:
        """Ask for the next slots: some of them, or one where the program ends sooner."""
        left = self._slots - self._asked
        count = CHUNK if left >= CHUNK else min(1, left)
        must_leave = self._asked + count - SLOTS
        if not count or must_leave > len(self._left):
            return False
        if must_leave > 0:
            self._asks = max(self._asks, self._left[must_leave - 1] + 2)
        address = self._address + SLOT * self._asked
        for beats in bursts(address, count * self._slot_beats, self._bus):
            self._channel.program.append(Burst(self._asks + SPLITTER, beats, self._came))
        self._asked += count
        self._asks += PREFETCH_START
        return True

    def _came(self, cycle: int, taken: Taken) -> None:
        self._taken += [taken.at(n) for n in range(taken.count)]

    def _descriptor(self) -> bool:
        """Pass the beats of the next descriptor on; False where its next one can not yet."""
        if self._next == len(self._descriptors):
            return self._end()
        d = self._descriptors[self._next]
        queue, before = self.queues[Opcode(d["op"])], self._beat
        if not self._beat:
            self._announce(d, queue)
        while self._beat < slots(Opcode(d["op"])) * self._slot_beats:
            room = queue.room()
            if room is None or not self._arrived_next():
                break
            self._pass(room)
            queue.push(self._passed)
            self._beat += 1
        else:
            self._next, self._beat = self._next + 1, 0
            return True
        if self._beat == 0:
            self._withdraw(queue)
        return self._beat > before

    def _announce(self, d: Values, queue: QueueTiming) -> None:
        waits = {}
        for op, name in UNITS.items():
            count = len(self.queues[op].descriptors)
            waits[op] = count - (count - d[name]) % (1 << 16)
        queue.descriptors.append(d)
        queue.waits.append(waits)

    def _withdraw(self, queue: QueueTiming) -> None:
        queue.descriptors.pop()
        queue.waits.pop()

    def _arrived_next(self) -> bool:
        return len(self._left) * self._slot_beats + self._in_slot() < len(self._taken)

    def _in_slot(self) -> int:
        return self._beat % self._slot_beats

    def _pass(self, room: int) -> None:
        beat = len(self._left) * self._slot_beats + self._in_slot()
        self._passed = max(self._passed + 1, self._taken[beat] + FETCHED, room)
        if self._in_slot() == self._slot_beats - 1:
            self._left.append(self._passed)

    def _end(self) -> bool:
        if not self._arrived_next():
            return False
        self._pass(0)
        self.ended = self._passed
        return True
