"""Reads a program from external memory, ahead of what is carried out."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.isa import HEADER, SLOT, Opcode
from ...bus.axi import ADDRESS_BITS, REQUEST, read_beat
from ...common.counter import Counter, reg
from ...common.fifo import CreditFifo
from ...common.streams import connect

SLOTS = 16
"""Slots that are held or asked for."""
CHUNK = 4
"""Slots of a request."""


def program_beat(bus_bytes: int) -> data.StructLayout:
    """A beat of descriptors. ``error`` : it could not be read. ``ops`` : the bit of its Opcode, if
    it is the first one of a descriptor."""
    return data.StructLayout({"data": 8 * bus_bytes, "error": 1, "ops": max(Opcode) + 1})


class Prefetch(wiring.Component):
    """Reads slots from ``program`` on, CHUNK at a time, as long as there is room for them.

    Parameters
    ----------
    bus_bytes : of a beat.

    Members
    -------
    start (in), for one cycle; program (in): byte offset of the first slot, whose lowest bits are
    ignored. limit (in): of the memory; what lies beyond is not asked for. request (out stream of
    REQUEST), data (in stream of read_beat): of a ReadMaster; data are always taken. o (out stream
    of program_beat). starved (out): all that lies within the limit was given.

    After a start in t the first request is offered in t+START; one every three cycles. A beat that
    comes in t is at ``o`` in t+1. Stops when it is reset.
    """

    START = 3

    def __init__(self, bus_bytes: int) -> None:
        self.bus_bytes = bus_bytes
        super().__init__(
            {
                "start": In(1),
                "program": In(ADDRESS_BITS),
                "limit": In(ADDRESS_BITS),
                "request": Out(stream.Signature(REQUEST)),
                "data": In(stream.Signature(read_beat(bus_bytes))),
                "o": Out(stream.Signature(program_beat(bus_bytes))),
                "starved": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        beats = SLOT // self.bus_bytes
        left = self._hold(m, beats)
        slot_bits = (SLOT - 1).bit_length()
        slot = reg(ADDRESS_BITS - slot_bits, "slot")
        after_chunk, after_slot = (
            reg(ADDRESS_BITS + 1 - slot_bits, name) for name in ("after_chunk", "after_slot")
        )
        chunk_fits, slot_fits = reg(1, "chunk_fits"), reg(1, "slot_fits")
        free = Signal(range(SLOTS + 1), name="free", init=SLOTS)
        whole = self.limit[slot_bits:]
        exhausted, asked = Signal(name="exhausted"), Signal(name="asked")
        request = self.request.payload
        m.d.comb += [
            request.address.eq(Cat(Const(0, slot_bits), slot)),
            request.beats.eq(Mux(chunk_fits, CHUNK * beats, beats)),
            asked.eq(self.request.valid & self.request.ready),
            self.starved.eq(exhausted & (free == SLOTS)),
        ]
        taken = Mux(asked, Mux(chunk_fits, CHUNK, 1), 0)
        gone = Signal(name="slot_gone")
        m.d.sync += [gone.eq(left), free.eq(free + gone - taken)]
        with m.FSM(name="prefetch"):
            with m.State("OFF"):
                m.d.sync += slot.eq(self.program[slot_bits:])
                with m.If(self.start):
                    m.next = "PLACE"
            with m.State("PLACE"):
                m.d.sync += [after_chunk.eq(slot + CHUNK), after_slot.eq(slot + 1)]
                m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.sync += [chunk_fits.eq(after_chunk <= whole), slot_fits.eq(after_slot <= whole)]
                m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += [
                    exhausted.eq(~slot_fits),
                    self.request.valid.eq(Mux(chunk_fits, free >= CHUNK, slot_fits & (free != 0))),
                ]
                with m.If(asked):
                    m.d.sync += slot.eq(Mux(chunk_fits, after_chunk, after_slot))
                    m.next = "PLACE"
        return m

    def _hold(self, m: Module, beats: int) -> Signal:
        """What was read, up to the output; returns when a slot has left."""
        shape = self.o.payload.shape()
        m.submodules.held = held = CreditFifo(shape, SLOTS * beats, registered=True)
        connect(m, held.o, wiring.flipped(self.o))
        beat, left = Counter(beats, "beat_of_slot"), Signal(name="slot_left")
        # Before the block RAM, which gives its words late in a cycle.
        op = self.data.payload.data[: HEADER[0].width]
        m.d.comb += [
            self.data.ready.eq(1),
            held.take.eq(self.data.valid),
            held.push.eq(self.data.valid),
            held.data.data.eq(self.data.payload.data),
            held.data.error.eq(self.data.payload.error),
            held.data.ops.eq(Cat(op == n for n in range(len(held.data.ops)))),
            left.eq(self.o.valid & self.o.ready & beat.last),
        ]
        with m.If(self.o.valid & self.o.ready):
            beat.step(m)
        return left
