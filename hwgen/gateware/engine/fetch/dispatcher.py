"""Gives descriptors to their units, each when what it waits for is finished."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.isa import (
    COMPUTE,
    COUNTER_BITS,
    HEADER,
    RECORDS,
    SLOT,
    TRANSFER,
    Opcode,
    Record,
    slots,
)
from ...bus.axi import LAYER_BITS
from ...common.counter import reg
from ...common.fifo import CreditFifo
from .descriptor_layout import layout
from .prefetch import program_beat

UNITS = {"load": Opcode.LOAD, "compute": Opcode.COMPUTE, "store": Opcode.STORE}
"""The order in which units are asked for the layer that a stalled program waits in."""
QUEUE = {"load": 4, "compute": 2, "store": 4}
"""Descriptors that wait for each unit, that which is offered to it among them: so many for each
tile unit, all of which a full queue would keep from work."""
COUNTS = data.ArrayLayout(COUNTER_BITS, len(UNITS))
QUIET_CYCLES = 16
"""Cycles without any sign of life after which a program is stalled."""
UNDER_WAY_BITS = 8
OP_BITS = HEADER[0].width


class DescriptorQueue(wiring.Component):
    """Descriptors of one unit: beats in, one descriptor after the other out.

    Parameters
    ----------
    record : what they are. bus_bytes : of a beat. depth : descriptors, that at the output included.

    Members
    -------
    i (in stream of beats), o (out stream of the record's layout). counts (in): of what is finished,
    in the order of UNITS. empty (out): nothing is here. waits (out): a descriptor is here whole
    and waits for a counter. layer (out): its layer.

    The last beat of a descriptor that comes in t, or a counter that changes then, can be seen by a
    unit, with ``o.valid``, in t+WHOLE and t+OFFER. A descriptor takes a cycle for each of its
    beats, and one, from the descriptor before it.
    """

    WHOLE = 4
    OFFER = 1

    def __init__(self, record: Record, bus_bytes: int, depth: int) -> None:
        if depth < 2:
            raise ValueError(f"a queue has at least 2 descriptors, got {depth}")
        self.record, self.bus_bytes, self.depth = record, bus_bytes, depth
        self.beats = record.size // (8 * bus_bytes)
        super().__init__(
            {
                "i": In(stream.Signature(8 * bus_bytes)),
                "o": Out(stream.Signature(layout(record))),
                "counts": In(COUNTS),
                "empty": Out(1),
                "waits": Out(1),
                "layer": Out(LAYER_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.beats = beats = CreditFifo(
            self.i.payload.shape(), (self.depth - 1) * self.beats, block=True
        )
        # All its beats were taken, are in their places; all that it waits for is finished.
        taken, whole, reached = (Signal(name=name) for name in ("taken", "whole", "reached"))
        word = reg(8 * self.bus_bytes * self.beats, "descriptor")
        fields = data.View(layout(self.record), word[: layout(self.record).size])
        take, leaves = Signal(name="take"), Signal(name="leaves")
        # The place of the next beat, a bit for each: it enables what is written by itself.
        place = Signal(self.beats, name="place_of_beat", init=1)
        m.d.comb += [
            self.i.ready.eq(beats.room),
            beats.take.eq(self.i.valid & beats.room),
            beats.push.eq(self.i.valid & beats.room),
            beats.data.eq(self.i.payload),
            beats.o.ready.eq(~taken),
            take.eq(beats.o.valid & ~taken),
            self.o.valid.eq(reached),
            self.o.payload.eq(word),
            leaves.eq(reached & self.o.ready),
            self.waits.eq(whole & ~reached),
            self.empty.eq(~taken & ~beats.o.valid & place[0]),
            self.layer.eq(fields.layer),
        ]
        with m.If(take):
            m.d.sync += [taken.eq(place[-1]), place.eq(place.rotate_left(1))]
        # Between a block RAM, which gives its words late in a cycle, and all the places.
        beat = reg(8 * self.bus_bytes, "beat")
        goes_to = Signal(self.beats, name="goes_to")
        m.d.sync += [
            beat.eq(beats.o.payload),
            goes_to.eq(Mux(take, place, 0)),
            whole.eq(taken & ~leaves),
        ]
        for n in range(self.beats):
            with m.If(goes_to[n]):
                m.d.sync += word.word_select(n, 8 * self.bus_bytes).eq(beat)
        # What was offered stays offered, though counters go on.
        m.d.sync += reached.eq(~leaves & (reached | (whole & self._reached(m, fields))))
        with m.If(leaves):
            m.d.sync += taken.eq(0)
        return m

    def _reached(self, m: Module, fields) -> Value:
        """All counters are at, or at most half their range beyond, what is waited for."""
        reached: Value = Const(1)
        for n, unit in enumerate(UNITS):
            ahead = Signal(COUNTER_BITS, name=f"ahead_{unit}")
            m.d.comb += ahead.eq(self.counts[n] - getattr(fields, f"wait_{unit}"))
            reached = reached & ~ahead[-1]
        return reached


class Dispatcher(wiring.Component):
    """Takes a program apart, counts what is finished, sees that a program ends or never will.

    Parameters
    ----------
    bus_bytes : of a beat. tiles : tile units that share the compute queue.

    Members
    -------
    i (in stream of program_beat). load, compute, store (out streams of the records' layouts).
    finished_load, finished_compute, finished_store (in): a unit, or all tile units together, has
    finished its oldest descriptor, for one cycle. starved (in): nothing more comes at ``i``. moving
    (in): something is under way that units do not show. layer (out): of the last descriptor that
    came. stalled_layer (out): that which waits, first of all among loads. finished (out): END came,
    all is done. unknown, broken, runs_out, stalled (out): no such op; a beat could not be read; the
    program has no END; nothing that is waited for ever comes. They stay until the reset.

    Descriptors leave in the program's order for their queues: one behind a full queue waits. A
    beat at ``i`` in t is in its queue in t+1, see DescriptorQueue; a finished descriptor in t
    counts in t+1 and lets those that wait for it be offered in t+OFFER.
    """

    OFFER = 1 + DescriptorQueue.OFFER

    def __init__(self, bus_bytes: int, tiles: int = 1) -> None:
        self.bus_bytes, self.tiles = bus_bytes, tiles
        super().__init__(
            {
                "i": In(stream.Signature(program_beat(bus_bytes))),
                "starved": In(1),
                "moving": In(1),
                "layer": Out(LAYER_BITS),
                "stalled_layer": Out(LAYER_BITS),
            }
            | {f"finished_{unit}": In(1) for unit in UNITS}
            | {
                unit: Out(stream.Signature(layout(COMPUTE if unit == "compute" else TRANSFER)))
                for unit in UNITS
            }
            | {
                name: Out(1) for name in ("finished", "unknown", "broken", "runs_out", "stalled")
            }
        )  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        queues = {
            unit: DescriptorQueue(RECORDS[op], self.bus_bytes, self.tiles * QUEUE[unit])
            for unit, op in UNITS.items()
        }
        counts = Signal(COUNTS, name="counts")
        idle = []
        for n, (unit, queue) in enumerate(queues.items()):
            m.submodules[f"{unit}_queue"] = queue
            port, finished = getattr(self, unit), getattr(self, f"finished_{unit}")
            under_way = Signal(UNDER_WAY_BITS, name=f"{unit}_under_way")
            begins = Signal(name=f"{unit}_begins")
            m.d.comb += [
                port.valid.eq(queue.o.valid),
                port.payload.eq(queue.o.payload),
                queue.o.ready.eq(port.ready),
                queue.counts.eq(counts),
                begins.eq(port.valid & port.ready),
            ]
            m.d.sync += [
                counts[n].eq(counts[n] + finished),
                under_way.eq(under_way + begins - finished),
            ]
            idle.append(under_way == 0)
        ended, blocked = self._sort(m, queues)
        self._watch(m, queues, idle, ended, blocked)
        return m

    def _sort(self, m: Module, queues: dict[str, DescriptorQueue]) -> tuple[Signal, Signal]:
        """Beats into their queues; the first of a descriptor says which one."""
        beat = self.i.payload
        known = Signal(name="known")
        longest = max(slots(op) for op in UNITS.values()) * SLOT // self.bus_bytes
        left = Signal(range(longest), name="beats_left")
        # The next beat is a descriptor's first one; nothing has ended the program yet.
        begins, running = Signal(name="begins", init=1), Signal(name="running", init=1)
        take, room = Signal(name="take"), Signal(name="room")
        ended, blocked = Signal(name="ended"), Signal(name="blocked")
        m.d.comb += [
            self.i.ready.eq(running & ~beat.error & room),
            take.eq(self.i.valid & self.i.ready),
            blocked.eq(self.i.valid & ~room),
        ]
        with m.If(self.i.valid & running & beat.error):
            m.d.sync += [self.broken.eq(1), running.eq(0)]
        for unit, queue in queues.items():
            kept = Signal(name=f"for_{unit}")
            mine = Signal(name=f"goes_to_{unit}")
            m.d.comb += [
                mine.eq(Mux(begins, beat.ops[UNITS[unit]], kept)),
                # Whether there is room in another one does not matter.
                queue.i.valid.eq(self.i.valid & running & ~beat.error & mine),
                queue.i.payload.eq(beat.data),
            ]
            with m.If(mine):
                m.d.comb += [room.eq(queue.i.ready), known.eq(1)]
            with m.If(take & begins & mine):
                m.d.sync += [left.eq(queue.beats - 1), begins.eq(queue.beats == 1)]
            with m.If(take):
                m.d.sync += kept.eq(mine)
        with m.If(begins & beat.ops[Opcode.END]):
            m.d.comb += [room.eq(1), known.eq(1)]
            with m.If(take):
                m.d.sync += [ended.eq(1), running.eq(0)]
        with m.If(self.i.valid & running & ~beat.error & ~known):
            m.d.sync += [self.unknown.eq(1), running.eq(0)]
        with m.If(self.i.valid & running & begins):
            m.d.sync += self.layer.eq(beat.data[OP_BITS : OP_BITS + LAYER_BITS])
        with m.If(take & ~begins):
            m.d.sync += [left.eq(left - 1), begins.eq(left == 1)]
        return ended, blocked

    def _watch(self, m: Module, queues, idle: list[Value], ended: Signal, blocked: Signal) -> None:
        """Whether all is done, and whether anything still can be."""
        lists = {
            "all_idle": idle,
            "all_empty": [queue.empty for queue in queues.values()],
            "all_wait": [queue.empty | queue.waits for queue in queues.values()],
        }
        now = {name: Signal(name=name) for name in lists}
        for name, values in lists.items():
            m.d.comb += now[name].eq(values[0] & values[1] & values[2])
        still = Signal(name="still")
        quiet = Signal(range(QUIET_CYCLES), name="quiet_cycles")
        m.d.sync += [
            self.finished.eq(ended & now["all_empty"] & now["all_idle"]),
            self.runs_out.eq(self.starved & ~self.i.valid & ~ended),
            still.eq((blocked | ended) & now["all_wait"] & now["all_idle"] & ~now["all_empty"]),
        ]
        with m.If(~still | self.moving):
            m.d.sync += quiet.eq(0)
        with m.Elif(quiet == QUIET_CYCLES - 1):
            m.d.sync += self.stalled.eq(1)
        with m.Else():
            m.d.sync += quiet.eq(quiet + 1)
        layer = Signal(LAYER_BITS, name="waiting_layer")
        for queue in reversed(queues.values()):
            with m.If(queue.waits):
                m.d.comb += layer.eq(queue.layer)
        m.d.sync += self.stalled_layer.eq(layer)
